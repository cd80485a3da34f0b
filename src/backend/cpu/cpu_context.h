// What every CPU op is given besides its operands.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

#include "virgil/base/error.h"

namespace virgil::cpu {

class OneDnnMatmul;

struct CpuContext {
  int num_threads = 1;             // every parallel region has exactly so many threads
  std::span<std::byte> workspace;  // 64-byte aligned; its contents mean nothing between ops
  bool native_bfloat16 = false;    // the processor's bfloat16 products may be used
  const OneDnnMatmul* products = nullptr;
};

/// The first `count` elements of type T of the workspace. Throws InternalError when it is too small.
template <typename T>
[[nodiscard]] std::span<T> workspace_as(const CpuContext& context, std::string_view op, std::size_t count) {
  VIRGIL_CHECK(context.workspace.size() >= count * sizeof(T), "{}: the workspace has {} bytes, {} are needed", op,
               context.workspace.size(), count * sizeof(T));
  return {reinterpret_cast<T*>(context.workspace.data()), count};
}

}  // namespace virgil::cpu

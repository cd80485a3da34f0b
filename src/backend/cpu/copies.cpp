#include "backend/cpu/copies.h"

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "backend/cpu/parallel.h"

namespace virgil::cpu {

namespace {

/// In bytes: whole pages.
constexpr std::int64_t kByteGrain = std::int64_t{1} << 16;

}  // namespace

void copy_bytes(void* dst, const void* src, std::int64_t size_bytes, int num_threads) {
  parallel_ranges(size_bytes, kByteGrain, num_threads, [&](std::int64_t begin, std::int64_t end) {
    std::memcpy(static_cast<std::byte*>(dst) + begin, static_cast<const std::byte*>(src) + begin,
                static_cast<std::size_t>(end - begin));
  });
}

void run(const ops::SetZero& op, const CpuContext& context) {
  op.check();
  parallel_ranges(op.dst.size_bytes(), kByteGrain, context.num_threads, [&](std::int64_t begin, std::int64_t end) {
    std::memset(static_cast<std::byte*>(op.dst.data()) + begin, 0, static_cast<std::size_t>(end - begin));
  });
}

void run(const ops::Copy& op, const CpuContext& context) {
  op.check();
  copy_bytes(op.dst.data(), op.src.data(), op.dst.size_bytes(), context.num_threads);
}

}  // namespace virgil::cpu

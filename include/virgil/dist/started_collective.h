// What a rank has started: checked, told to other ranks, and compared with theirs.
#pragma once

#include <cstdint>
#include <string>

#include "virgil/memory/tensor_view.h"

namespace virgil {

enum class CollectiveKind : std::int32_t { kReduceScatter, kAllGather, kBroadcast, kGather, kBarrier, kNewCommunicator };

/// Equal on all ranks, or the program is wrong. Sent as its bytes.
struct StartedCollective {
  CollectiveKind kind = CollectiveKind::kBarrier;
  std::int32_t root = 0;
  std::int64_t number = 0;  // of the collectives before it
  std::int64_t size_bytes = 0;
  std::int32_t wire_bytes = 0;  // of one summand that travels
  std::int32_t reserved = 0;    // no byte of it is undefined

  friend bool operator==(const StartedCollective&, const StartedCollective&) = default;
};

/// "all-gather 12 of 4096 bytes".
[[nodiscard]] std::string to_string(const StartedCollective& collective);

/// These describe what a Communicator's functions are given, and throw InternalError where it breaks their contract.
[[nodiscard]] StartedCollective check_reduce_scatter(TensorView data, DType wire, int size);
[[nodiscard]] StartedCollective check_all_gather(TensorView data, int size);
[[nodiscard]] StartedCollective check_broadcast(TensorView data, int root, int size);

}  // namespace virgil

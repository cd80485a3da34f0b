#include "virgil/dist/started_collective.h"

#include <fmt/format.h>

namespace virgil {

namespace {

const char* name_of(CollectiveKind kind) {
  switch (kind) {
    case CollectiveKind::kReduceScatter:
      return "reduce-scatter";
    case CollectiveKind::kAllGather:
      return "all-gather";
    case CollectiveKind::kBroadcast:
      return "broadcast";
    case CollectiveKind::kGather:
      return "gather";
    case CollectiveKind::kBarrier:
      return "barrier";
    case CollectiveKind::kNewCommunicator:
      return "making of a communicator";
  }
  return "unknown collective";
}

void check_parts(TensorView data, int size) {
  VIRGIL_CHECK(data.num_elements() % size == 0, "a tensor of {} elements has no {} equal parts", data.num_elements(), size);
}

}  // namespace

std::string to_string(const StartedCollective& collective) {
  std::string text = fmt::format("{} {}", name_of(collective.kind), collective.number);
  if (collective.size_bytes > 0) text += fmt::format(" of {} bytes", collective.size_bytes);
  if (collective.kind == CollectiveKind::kReduceScatter) text += fmt::format(" ({} a summand)", collective.wire_bytes);
  if (collective.kind == CollectiveKind::kBroadcast) text += fmt::format(" from rank {}", collective.root);
  if (collective.kind == CollectiveKind::kGather) text += fmt::format(" to rank {}", collective.root);
  return text;
}

StartedCollective check_reduce_scatter(TensorView data, DType wire, int size) {
  VIRGIL_CHECK(data.dtype() == DType::kFloat32, "sums are of float32, and this is a tensor of {}",
               ::virgil::name_of(data.dtype()));
  VIRGIL_CHECK(wire == DType::kFloat32 || wire == DType::kBFloat16, "summands travel as float32 or bfloat16, not as {}",
               ::virgil::name_of(wire));
  check_parts(data, size);
  return {.kind = CollectiveKind::kReduceScatter,
          .size_bytes = data.size_bytes(),
          .wire_bytes = static_cast<std::int32_t>(size_of(wire))};
}

StartedCollective check_all_gather(TensorView data, int size) {
  check_parts(data, size);
  return {.kind = CollectiveKind::kAllGather, .size_bytes = data.size_bytes()};
}

StartedCollective check_broadcast(TensorView data, int root, int size) {
  VIRGIL_CHECK(root >= 0 && root < size, "root {} of {} ranks", root, size);
  return {.kind = CollectiveKind::kBroadcast, .root = root, .size_bytes = data.size_bytes()};
}

}  // namespace virgil

#include "virgil/train/ranks.h"

#include <cstddef>
#include <cstring>

namespace virgil {

namespace {

/// What travels, before the losses.
struct Message {
  RankStep step;
  std::int64_t stop_requested = 0;
};

}  // namespace

StepExchange exchange_step(const Ranks& ranks, std::span<const double> losses, const RankStep& mine, bool stop_requested) {
  StepExchange result;
  if (ranks.size() == 1) {
    result.losses.assign(losses.begin(), losses.end());
    result.ranks = {mine};
    result.stop_requested = stop_requested;
    return result;
  }
  const auto size = static_cast<std::size_t>(ranks.size());
  const Message message{mine, stop_requested ? 1 : 0};
  std::vector<std::byte> sent;
  for (const auto bytes : {std::as_bytes(std::span(&message, 1)), std::as_bytes(losses)}) {
    sent.insert(sent.end(), bytes.begin(), bytes.end());
  }
  std::vector<std::byte> received(sent.size() * size);
  ranks.group->all_gather(received, sent);
  result.losses.resize(losses.size() * size);
  for (std::size_t rank = 0; rank < size; ++rank) {
    const std::byte* from = received.data() + rank * sent.size();
    Message theirs;
    std::memcpy(&theirs, from, sizeof(Message));
    result.ranks.push_back(theirs.step);
    result.stop_requested = result.stop_requested || theirs.stop_requested != 0;
    // Micro-step m of rank r is micro-batch m R + r.
    for (std::size_t micro = 0; micro < losses.size(); ++micro) {
      std::memcpy(&result.losses[micro * size + rank], from + sizeof(Message) + micro * sizeof(double), sizeof(double));
    }
  }
  return result;
}

}  // namespace virgil

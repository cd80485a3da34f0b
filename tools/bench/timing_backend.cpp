#include "bench/timing_backend.h"

#include <cstddef>
#include <string>

namespace virgil::bench {

namespace {

void tell(OpTimer& timer, const Call& call, const char* phase, double ms) {
  const auto [flops, bytes] = cost_of(call);
  timer.add(
      {.phase = phase, .name = std::string(name_of(call)), .shape = sizes_text(call), .family = std::string(family_of(call))},
      {flops, bytes}, ms);
}

}  // namespace

void TimingBackend::run(const Call& call) {
  if (device_timer_ != nullptr) {
    const std::size_t first = device_timer_->mark();
    inner_.run(call);
    pending_.push_back({call, phase_, first, device_timer_->mark()});
    return;
  }
  inner_.synchronize();  // copies from the host, which are not timed, may still be under way
  const Clock::time_point start = Clock::now();
  inner_.run(call);
  inner_.synchronize();
  tell(timer_, call, phase_, milliseconds_since(start));
}

void TimingBackend::end_round() {
  for (const Pending& op : pending_) {
    tell(timer_, op.call, op.phase, device_timer_->milliseconds_between(op.first_mark, op.last_mark));
  }
  pending_.clear();
  if (device_timer_ != nullptr) device_timer_->reset();
}

}  // namespace virgil::bench

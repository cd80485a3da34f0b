#include "cuda/sim/streams.h"

#include <algorithm>
#include <chrono>

#include "cuda/sim/race_detector.h"
#include "cuda/sim/simulator.h"

namespace virgil::simt {

Streams& streams() {
  static Streams instance;
  return instance;
}

Streams::Streams() { static_cast<void>(create()); }

int Streams::create() {
  streams_.push_back(std::make_unique<Stream>());
  return static_cast<int>(streams_.size()) - 1;
}

void Streams::destroy(int stream) {
  synchronize(stream);
  at(stream).alive = false;
}

bool Streams::exists(int stream) const {
  return stream >= 0 && static_cast<std::size_t>(stream) < streams_.size() && at(stream).alive;
}

void Streams::join(Clock& clock, const Clock& other) {
  if (clock.size() < other.size()) clock.resize(other.size());
  for (std::size_t i = 0; i < other.size(); ++i) clock[i] = std::max(clock[i], other[i]);
}

void Streams::set_at_least(Clock& clock, int stream, std::uint64_t number) {
  const auto i = static_cast<std::size_t>(stream);
  if (clock.size() <= i) clock.resize(i + 1);
  clock[i] = std::max(clock[i], number);
}

void Streams::submit(int stream, Work work) {
  Stream& target = at(stream);
  if (stream == 0) synchronize_all();
  join(target.clock, host_);
  target.queue.push_back({std::move(work), ++target.submitted});
  if (stream == 0) return synchronize(stream);
  if (!simulator().schedule().lazy_streams) drain(stream);  // early, but the host has not waited for it
}

void Streams::advance(int stream) {
  Stream& running = at(stream);
  Queued queued = std::move(running.queue.front());
  running.queue.pop_front();
  if (const auto& awaited = queued.work.wait_for; awaited != nullptr) {
    while (!reached(*awaited)) advance(awaited->stream);
    join(running.clock, awaited->clock);
  }
  set_at_least(running.clock, stream, queued.number - 1);
  if (queued.work.run) {
    if (race_detector().enabled()) race_detector().begin_task(stream, queued.number, running.clock);
    queued.work.run();
  }
  running.finished = queued.number;
  set_at_least(running.clock, stream, queued.number);
  if (queued.work.reach != nullptr) {
    queued.work.reach->clock = running.clock;
    queued.work.reach->time_ms =
        std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now().time_since_epoch()).count();
  }
}

bool Streams::reached(const Milestone& milestone) const { return at(milestone.stream).finished >= milestone.number; }

void Streams::drain(int stream) {
  while (!at(stream).queue.empty()) advance(stream);
}

void Streams::synchronize(int stream) {
  if (!at(stream).queue.empty()) ++simulator().statistics().host_waits;
  drain(stream);
  join(host_, at(stream).clock);
}

void Streams::synchronize_all() {
  for (;;) {
    std::vector<int> waiting;
    for (std::size_t i = 0; i < streams_.size(); ++i) {
      if (!streams_[i]->queue.empty()) waiting.push_back(static_cast<int>(i));
    }
    if (waiting.empty()) break;
    const bool seeded = simulator().schedule().seed != 0;
    advance(waiting[seeded ? simulator().random().below(static_cast<std::uint32_t>(waiting.size())) : 0]);
  }
  for (std::size_t i = 0; i < streams_.size(); ++i) join(host_, streams_[i]->clock);
}

void Streams::synchronize(const Milestone& milestone) {
  if (!reached(milestone)) ++simulator().statistics().host_waits;
  while (!reached(milestone)) advance(milestone.stream);
  join(host_, milestone.clock);
}

std::shared_ptr<const Milestone> Streams::record(int stream) {
  auto milestone = std::make_shared<Milestone>();
  milestone->stream = stream;
  milestone->number = at(stream).submitted + 1;
  submit(stream, {nullptr, nullptr, milestone});
  return milestone;
}

}  // namespace virgil::simt

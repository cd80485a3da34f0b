#include "cuda/sim/streams.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "cuda/sim/played_device.h"

namespace virgil::simt {

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
  if (simulator().schedule().lazy_streams) return;
  while (!target.queue.empty() && advance(stream)) {  // early, but the host has not waited for it
  }
}

bool Streams::advance(int stream) {
  Stream& running = at(stream);
  const Work& first = running.queue.front().work;
  if (first.wait_for != nullptr && !reached(*first.wait_for)) return advance(first.wait_for->stream);
  if (first.meet != nullptr && !first.meet->ready() && !simulator().failed()) return false;
  Queued queued = std::move(running.queue.front());
  running.queue.pop_front();
  if (queued.work.wait_for != nullptr) join(running.clock, queued.work.wait_for->clock);
  set_at_least(running.clock, stream, queued.number - 1);
  if (queued.work.run) {
    if (RaceDetector::enabled()) race_detector().begin_task(stream, queued.number, running.clock);
    queued.work.run();
  }
  running.finished = queued.number;
  set_at_least(running.clock, stream, queued.number);
  if (queued.work.reach != nullptr) {
    queued.work.reach->clock = running.clock;
    queued.work.reach->time_ms =
        std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now().time_since_epoch()).count() +
        played_device().played_ms;
  }
  return true;
}

bool Streams::progress() {
  const bool seeded = simulator().schedule().seed != 0;
  const std::size_t count = streams_.size();
  const std::size_t first = seeded ? simulator().random().below(static_cast<std::uint32_t>(count)) : 0;
  for (std::size_t i = 0; i < count; ++i) {
    const auto stream = static_cast<int>((first + i) % count);
    if (!at(stream).queue.empty() && advance(stream)) return true;
  }
  return false;
}

std::string Streams::missing(int stream) const {
  if (at(stream).queue.empty()) return "nothing";
  const Work& first = at(stream).queue.front().work;
  if (first.wait_for != nullptr && !reached(*first.wait_for)) return missing(first.wait_for->stream);
  return first.meet != nullptr ? first.meet->missing() : "nothing";
}

void Streams::wait_for_others(int stream, int& moments) {
  constexpr int kMoments = 3000;  // of 20 ms: a host may be busy meanwhile
  if (help_another_device()) {
    moments = 0;
    return;
  }
  if (++moments > kMoments)
    return simulator().record("deadlock: the host waits for stream " + std::to_string(stream) + ", where " + missing(stream));
  let_others_play();
}

bool Streams::reached(const Milestone& milestone) const { return at(milestone.stream).finished >= milestone.number; }

void Streams::synchronize(int stream) {
  if (!at(stream).queue.empty()) ++simulator().statistics().host_waits;
  int moments = 0;
  while (!at(stream).queue.empty()) {
    if (!advance(stream)) wait_for_others(stream, moments);
  }
  join(host_, at(stream).clock);
}

void Streams::synchronize_all() {
  int moments = 0;
  for (;;) {
    const auto busy = std::ranges::find_if(streams_, [](const auto& stream) { return !stream->queue.empty(); });
    if (busy == streams_.end()) break;
    if (!progress()) wait_for_others(static_cast<int>(busy - streams_.begin()), moments);
  }
  for (std::size_t i = 0; i < streams_.size(); ++i) join(host_, streams_[i]->clock);
}

void Streams::synchronize(const Milestone& milestone) {
  if (!reached(milestone)) ++simulator().statistics().host_waits;
  int moments = 0;
  while (!reached(milestone)) {
    if (!advance(milestone.stream)) wait_for_others(milestone.stream, moments);
  }
  join(host_, milestone.clock);
}

std::shared_ptr<const Milestone> Streams::record(int stream) {
  auto milestone = std::make_shared<Milestone>();
  milestone->stream = stream;
  milestone->number = at(stream).submitted + 1;
  submit(stream, {.reach = milestone});
  return milestone;
}

}  // namespace virgil::simt

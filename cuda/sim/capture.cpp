#include "cuda/sim/capture.h"

#include <algorithm>
#include <utility>

#include "cuda/sim/simulator.h"

namespace virgil::simt {

namespace {

void raise_to(Clock& clock, const Clock& other) {
  if (clock.size() < other.size()) clock.resize(other.size());
  for (std::size_t i = 0; i < other.size(); ++i) clock[i] = std::max(clock[i], other[i]);
}

}  // namespace

int Capture::lane_of(int stream) const {
  const auto found = std::ranges::find(lanes_, stream, &Lane::stream);
  return found == lanes_.end() ? -1 : static_cast<int>(found - lanes_.begin());
}

int Capture::add_lane(int stream) {
  lanes_.push_back({.stream = stream, .recorded = 0, .knows = {}});
  program_.num_lanes = static_cast<int>(lanes_.size());
  return program_.num_lanes - 1;
}

void Capture::run(int stream, std::function<void()> work) {
  const int lane = lane_of(stream);
  ++lanes_[static_cast<std::size_t>(lane)].recorded;
  program_.steps.push_back({.lane = lane, .kind = Recorded::Kind::kRun, .run = std::move(work), .mark = 0});
}

std::size_t Capture::mark(int stream) {
  const int number = lane_of(stream);
  const Lane& lane = lanes_[static_cast<std::size_t>(number)];
  Clock& clock = marks_.emplace_back(lane.knows);
  clock.resize(std::max(clock.size(), lanes_.size()));
  clock[static_cast<std::size_t>(number)] = lane.recorded;
  program_.steps.push_back({.lane = number, .kind = Recorded::Kind::kMark, .run = {}, .mark = program_.num_marks});
  return program_.num_marks++;
}

void Capture::wait(int stream, std::size_t mark) {
  const int lane = has(stream) ? lane_of(stream) : add_lane(stream);
  Lane& waiting = lanes_[static_cast<std::size_t>(lane)];
  ++waiting.recorded;  // so that a stream which joins and does nothing must be waited for too: it is captured until then
  raise_to(waiting.knows, marks_[mark]);
  program_.steps.push_back({.lane = lane, .kind = Recorded::Kind::kWait, .run = {}, .mark = mark});
}

bool Capture::is_joined() const {
  const Clock& known = lanes_.front().knows;
  for (std::size_t i = 1; i < lanes_.size(); ++i) {
    if (i >= known.size() || known[i] < lanes_[i].recorded) return false;
  }
  return true;
}

std::shared_ptr<Capture> Captures::of(int stream) const {
  const auto found = std::ranges::find_if(under_way_, [&](const auto& capture) { return capture->has(stream); });
  return found == under_way_.end() ? nullptr : *found;
}

cudaError_t Captures::begin(int stream, cudaStreamCaptureMode mode) {
  // The default stream cannot be captured, nor one that already is.
  if (stream == 0 || of(stream) != nullptr) return cudaErrorStreamCaptureUnsupported;
  under_way_.push_back(std::make_shared<Capture>(stream, mode));
  return cudaSuccess;
}

cudaError_t Captures::end(int stream, GraphProgram* program) {
  const std::shared_ptr<Capture> capture = of(stream);
  if (capture == nullptr) return cudaErrorInvalidValue;
  if (capture->origin() != stream) {
    capture->invalidate();
    return cudaErrorStreamCaptureUnmatched;
  }
  std::erase(under_way_, capture);
  if (capture->invalid()) return cudaErrorStreamCaptureInvalidated;
  if (!capture->is_joined()) return cudaErrorStreamCaptureUnjoined;
  *program = capture->take();
  return cudaSuccess;
}

cudaError_t Captures::allow_unsafe_call() {
  cudaError_t status = cudaSuccess;
  for (const auto& capture : under_way_) {
    if (capture->mode() == cudaStreamCaptureModeRelaxed) continue;
    capture->invalidate();
    status = cudaErrorStreamCaptureUnsupported;
  }
  return status;
}

cudaError_t Captures::allow_uncapturable(int stream) {
  const std::shared_ptr<Capture> capture = of(stream);
  if (capture == nullptr) return cudaSuccess;
  capture->invalidate();
  return cudaErrorStreamCaptureUnsupported;
}

cudaError_t Captures::wait(int stream, const std::shared_ptr<Capture>& capture, std::size_t mark) {
  const std::shared_ptr<Capture> own = of(stream);
  if (own != nullptr && own != capture) {
    own->invalidate();
    capture->invalidate();
    return cudaErrorStreamCaptureMerge;
  }
  if (std::ranges::find(under_way_, capture) == under_way_.end()) return cudaErrorCapturedEvent;  // it has ended
  if (capture->invalid()) return cudaErrorStreamCaptureInvalidated;
  capture->wait(stream, mark);
  return cudaSuccess;
}

cudaError_t Captures::refuse_outside_event(int stream) {
  of(stream)->invalidate();
  return cudaErrorStreamCaptureIsolation;
}

ExecutableGraph::ExecutableGraph(GraphProgram program) : program_(std::move(program)) {
  for (int lane = 1; lane < program_.num_lanes; ++lane) lane_streams_.push_back(streams().create());
}

ExecutableGraph::~ExecutableGraph() {
  for (const int stream : lane_streams_) streams().destroy(stream);
}

void ExecutableGraph::launch(int stream) {
  ++simulator().statistics().graph_launches;
  std::vector<std::shared_ptr<const Milestone>> milestones(program_.num_marks);
  for (const Recorded& step : program_.steps) {
    const int target = step.lane == 0 ? stream : lane_streams_[static_cast<std::size_t>(step.lane - 1)];
    switch (step.kind) {
      case Recorded::Kind::kRun:
        streams().submit(target, {.run = step.run});
        break;
      case Recorded::Kind::kMark:
        milestones[step.mark] = streams().record(target);
        break;
      case Recorded::Kind::kWait:
        streams().submit(target, {.wait_for = milestones[step.mark]});
        break;
    }
  }
}

}  // namespace virgil::simt

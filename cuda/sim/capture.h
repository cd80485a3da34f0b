// Work that streams record as a graph instead of doing it.
//
// What a capture refuses follows the CUDA C++ Programming Guide, "Prohibited and Unhandled Operations"; where the guide leaves
// room the simulator is the stricter: nothing waits, asks for the state of work, or allocates while a capture other than a
// relaxed one is under way, and nothing but a relaxed capture takes copies from or to pageable memory.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "cuda/sim/streams.h"

namespace virgil::simt {

/// What a graph does, in the order in which it was recorded: on which of its lanes (0: the stream that was captured first), and
/// with which of its marks (events) lanes wait for each other.
struct Recorded {
  enum class Kind : std::uint8_t { kRun, kMark, kWait };
  int lane = 0;
  Kind kind = Kind::kRun;
  std::function<void()> run;
  std::size_t mark = 0;
};
struct GraphProgram {
  std::vector<Recorded> steps;
  int num_lanes = 1;
  std::size_t num_marks = 0;
};

/// Between cudaStreamBeginCapture and cudaStreamEndCapture of one stream. Other streams join by waiting for its events.
class Capture {
 public:
  Capture(int stream, cudaStreamCaptureMode mode) : mode_(mode) { static_cast<void>(add_lane(stream)); }

  [[nodiscard]] cudaStreamCaptureMode mode() const { return mode_; }
  [[nodiscard]] int origin() const { return lanes_.front().stream; }
  [[nodiscard]] bool invalid() const { return invalid_; }
  void invalidate() { invalid_ = true; }
  [[nodiscard]] bool has(int stream) const { return lane_of(stream) >= 0; }

  void run(int stream, std::function<void()> work);
  /// A new mark after what the stream has recorded.
  [[nodiscard]] std::size_t mark(int stream);
  /// The stream joins the capture, if it has not yet.
  void wait(int stream, std::size_t mark);
  /// Whether the first stream has waited for all that the others recorded.
  [[nodiscard]] bool is_joined() const;
  [[nodiscard]] GraphProgram take() { return std::move(program_); }

 private:
  struct Lane {
    int stream = 0;
    std::uint64_t recorded = 0;
    Clock knows;  // how much of each lane comes before what this one records next
  };
  [[nodiscard]] int lane_of(int stream) const;
  int add_lane(int stream);

  cudaStreamCaptureMode mode_;
  bool invalid_ = false;
  GraphProgram program_;
  std::vector<Lane> lanes_;
  std::vector<Clock> marks_;
};

/// The captures under way. Each function gives the error that CUDA gives; a refused call invalidates the capture that it hurts.
class Captures {
 public:
  [[nodiscard]] cudaError_t begin(int stream, cudaStreamCaptureMode mode);
  [[nodiscard]] cudaError_t end(int stream, GraphProgram* program);
  /// The capture that a stream takes part in, or null.
  [[nodiscard]] std::shared_ptr<Capture> of(int stream) const;

  /// Whether a call that waits, asks or allocates may be made now.
  [[nodiscard]] cudaError_t allow_unsafe_call();
  /// Whether a call on the stream itself that no graph can hold may be made.
  [[nodiscard]] cudaError_t allow_uncapturable(int stream);
  /// A stream waits for what `event` marks in `capture`, its own or that which it joins.
  [[nodiscard]] cudaError_t wait(int stream, const std::shared_ptr<Capture>& capture, std::size_t mark);
  /// A capturing stream waits for an event from outside.
  [[nodiscard]] cudaError_t refuse_outside_event(int stream);

 private:
  std::vector<std::shared_ptr<Capture>> under_way_;
};

/// Those of the calling thread's device (played_device.h).
[[nodiscard]] Captures& captures();

/// A program that can run, with streams of its own for all lanes but the first.
class ExecutableGraph {
 public:
  explicit ExecutableGraph(GraphProgram program);
  ExecutableGraph(const ExecutableGraph&) = delete;
  ExecutableGraph& operator=(const ExecutableGraph&) = delete;
  ~ExecutableGraph();
  void launch(int stream);

 private:
  GraphProgram program_;
  std::vector<int> lane_streams_;
};

}  // namespace virgil::simt

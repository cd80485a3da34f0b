// Graphs in the simulator: what is recorded runs when it is launched, with the arguments it was recorded with, and what a
// capture does not allow is refused with CUDA's error.
#include <array>
#include <cmath>
#include <cstdint>
#include <stdexcept>

#include "cuda/graph_capture.h"
#include "cuda_sim/simulator_fixtures.h"

namespace virgil::cuda {
namespace {

using ::testing::HasSubstr;

class Capture : public Streams {
 protected:
  void TearDown() override {
    // Whatever a test left behind; fails where nothing is captured.
    cudaGraph_t graph = nullptr;
    static_cast<void>(cudaStreamEndCapture(context().stream, &graph));
    cudaGraphDestroy(graph);
    static_cast<void>(cudaGetLastError());
    Streams::TearDown();
  }
  void begin(cudaStreamCaptureMode mode = cudaStreamCaptureModeThreadLocal) {
    check(cudaStreamBeginCapture(context().stream, mode), "cudaStreamBeginCapture");
  }
  /// The status of the capture's end; nothing of it is kept.
  [[nodiscard]] cudaError_t end() {
    cudaGraph_t graph = nullptr;
    const cudaError_t status = cudaStreamEndCapture(context().stream, &graph);
    EXPECT_EQ(graph != nullptr, status == cudaSuccess);
    cudaGraphDestroy(graph);
    return status;
  }
  void launch(const GraphExec& graph) { check(cudaGraphLaunch(graph.get(), context().stream), "cudaGraphLaunch"); }
  /// Whether the call is refused with `error` during a capture, which it spoils.
  template <typename Call>
  void expect_refused(const char* what, cudaError_t error, Call&& call) {
    SCOPED_TRACE(what);
    begin();
    EXPECT_EQ(call(), error);
    EXPECT_EQ(end(), cudaErrorStreamCaptureInvalidated);
    static_cast<void>(cudaGetLastError());
  }
};

TEST_F(Capture, RunsNothingUntilALaunchAndEverythingAtEach) {
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
    DeviceArray<float> out(100), copy(100);
    const auto fault = fault_of(seed, [&] {
      float value = 4.0F;
      const GraphExec graph = capture_graph(context().stream, [&] {
        faulty::fill(context(), out.data(), value, 50);
        check(cudaMemsetAsync(out.data() + 50, 0, 50 * sizeof(float), context().stream), "cudaMemsetAsync");
        check(cudaMemcpyAsync(copy.data(), out.data(), 100 * sizeof(float), cudaMemcpyDeviceToDevice, context().stream),
              "cudaMemcpyAsync");
      });
      EXPECT_TRUE(std::isnan(out.values()[0]));
      for (int round = 0; round < 3; ++round) {
        value = -1.0F;  // what was recorded keeps its arguments
        faulty::fill(context(), out.data(), value, 100);
        launch(graph);
      }
      check(cudaStreamSynchronize(context().stream), "cudaStreamSynchronize");
    });
    EXPECT_EQ(fault, "") << "seed " << seed;
    EXPECT_EQ(copy.values()[0], 4.0F);
    EXPECT_EQ(copy.values()[49], 4.0F);
    EXPECT_EQ(copy.values()[99], 0.0F);
  }
}

TEST_F(Capture, ReadsDeviceMemoryAsItIsAtEachLaunch) {
  DeviceArray<float> in(counting(64)), out(64);
  const GraphExec graph =
      capture_graph(context().stream, [&] { faulty::rotate(context(), out.data(), in.data(), faulty::Fault::kNone); });
  for (const float value : {3.0F, 5.0F}) {
    faulty::fill(context(), in.data(), value, 64);
    launch(graph);
    check(cudaStreamSynchronize(context().stream), "cudaStreamSynchronize");
    EXPECT_EQ(out.values()[7], value);
  }
}

TEST_F(Capture, ForksAndJoinsAnotherStream) {
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
    DeviceArray<float> a(100), b(100), out(200);
    const auto fault = fault_of(seed, [&] {
      Event forked = make_event(), joined = make_event();
      const GraphExec graph = capture_graph(context().stream, [&] {
        faulty::fill(context(), a.data(), 1.0F, 100);
        check(cudaEventRecord(forked.get(), context().stream), "cudaEventRecord");
        check(cudaStreamWaitEvent(other_.stream, forked.get(), 0), "cudaStreamWaitEvent");
        check(cudaMemcpyAsync(b.data(), a.data(), 400, cudaMemcpyDeviceToDevice, other_.stream), "cudaMemcpyAsync");
        faulty::fill(context(), out.data() + 100, 2.0F, 100);  // beside it
        check(cudaEventRecord(joined.get(), other_.stream), "cudaEventRecord");
        check(cudaStreamWaitEvent(context().stream, joined.get(), 0), "cudaStreamWaitEvent");
        check(cudaMemcpyAsync(out.data(), b.data(), 400, cudaMemcpyDeviceToDevice, context().stream), "cudaMemcpyAsync");
      });
      for (int round = 0; round < 3; ++round) launch(graph);
      check(cudaStreamSynchronize(context().stream), "cudaStreamSynchronize");
    });
    EXPECT_EQ(fault, "") << "seed " << seed;
    EXPECT_EQ(out.values()[99], 1.0F);
    EXPECT_EQ(out.values()[199], 2.0F);
  }
}

TEST_F(Capture, KeepsBranchesWithoutAnEventApart) {
  // Two branches write one place: in some order, or as a race where the race build looks.
  bool first_was_last = false, second_was_last = false;
  for (std::uint64_t seed = 1; seed < 40; ++seed) {
    DeviceArray<float> out(100);
    GraphExec graph;
    const auto fault = fault_of(seed, [&] {
      Event forked = make_event(), joined = make_event();
      graph = capture_graph(context().stream, [&] {
        check(cudaEventRecord(forked.get(), context().stream), "cudaEventRecord");
        check(cudaStreamWaitEvent(other_.stream, forked.get(), 0), "cudaStreamWaitEvent");
        faulty::fill(context(), out.data(), 1.0F, 100);
        faulty::fill(other_, out.data(), 2.0F, 100);
        check(cudaEventRecord(joined.get(), other_.stream), "cudaEventRecord");
        check(cudaStreamWaitEvent(context().stream, joined.get(), 0), "cudaStreamWaitEvent");
      });
      launch(graph);
      check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
    });
    if (simt::racing()) {
      EXPECT_THAT(fault, HasSubstr("earlier work of another stream")) << "seed " << seed;
      continue;
    }
    (out.values()[99] == 1.0F ? first_was_last : second_was_last) = true;
  }
  EXPECT_TRUE(simt::racing() || (first_was_last && second_was_last));
}

TEST_F(Capture, RefusesWhatWaitsAsksOrAllocates) {
  DeviceArray<float> out(100);
  void* memory = nullptr;
  std::array<float, 4> pageable{};
  const cudaError_t unsupported = cudaErrorStreamCaptureUnsupported;
  expect_refused("cudaStreamSynchronize", unsupported, [&] { return cudaStreamSynchronize(context().stream); });
  expect_refused("of another stream", unsupported, [&] { return cudaStreamSynchronize(other_.stream); });
  expect_refused("cudaDeviceSynchronize", unsupported, [&] { return cudaDeviceSynchronize(); });
  expect_refused("cudaEventSynchronize", unsupported, [&] { return cudaEventSynchronize(event_); });
  expect_refused("cudaEventQuery", unsupported, [&] { return cudaEventQuery(event_); });
  expect_refused("cudaMalloc", unsupported, [&] { return cudaMalloc(&memory, 16); });
  expect_refused("cudaFree", unsupported, [&] { return cudaFree(out.data()); });
  expect_refused("cudaMallocHost", unsupported, [&] { return cudaMallocHost(&memory, 16); });
  expect_refused("cudaMemcpy", unsupported,
                 [&] { return cudaMemcpy(pageable.data(), out.data(), sizeof pageable, cudaMemcpyDeviceToHost); });
  expect_refused("a copy to pageable memory", unsupported, [&] {
    return cudaMemcpyAsync(pageable.data(), out.data(), sizeof pageable, cudaMemcpyDeviceToHost, context().stream);
  });
  expect_refused("a copy from pageable memory", unsupported, [&] {
    return cudaMemcpyAsync(out.data(), pageable.data(), sizeof pageable, cudaMemcpyHostToDevice, context().stream);
  });
  expect_refused("a second capture", unsupported, [&] {
    const cudaError_t status = cudaStreamBeginCapture(context().stream, cudaStreamCaptureModeThreadLocal);
    static_cast<void>(cudaStreamSynchronize(context().stream));  // which spoils the first
    return status;
  });
  EXPECT_EQ(cudaStreamBeginCapture(nullptr, cudaStreamCaptureModeThreadLocal), unsupported) << "the default stream";
}

TEST_F(Capture, AnEventInsideIsNotTheHostsToWaitFor) {
  for (const auto ask : {&cudaEventSynchronize, &cudaEventQuery}) {
    Event inside = make_event();
    expect_refused("captured event", cudaErrorCapturedEvent, [&] {
      check(cudaEventRecord(inside.get(), context().stream), "cudaEventRecord");
      return ask(inside.get());
    });
  }
}

TEST_F(Capture, RefusesAnEventFromOutsideAndAStreamThatIsNotJoined) {
  check(cudaEventRecord(event_, other_.stream), "cudaEventRecord");
  expect_refused("an event from outside", cudaErrorStreamCaptureIsolation,
                 [&] { return cudaStreamWaitEvent(context().stream, event_, 0); });
  DeviceArray<float> out(100);
  begin();
  check(cudaEventRecord(event_, context().stream), "cudaEventRecord");
  check(cudaStreamWaitEvent(other_.stream, event_, 0), "cudaStreamWaitEvent");
  faulty::fill(other_, out.data(), 1.0F, 100);
  cudaGraph_t graph = nullptr;
  EXPECT_EQ(cudaStreamEndCapture(other_.stream, &graph), cudaErrorStreamCaptureUnmatched) << "not where it began";
  EXPECT_EQ(end(), cudaErrorStreamCaptureInvalidated);
  begin();
  check(cudaEventRecord(event_, context().stream), "cudaEventRecord");
  check(cudaStreamWaitEvent(other_.stream, event_, 0), "cudaStreamWaitEvent");
  faulty::fill(other_, out.data(), 1.0F, 100);
  EXPECT_EQ(end(), cudaErrorStreamCaptureUnjoined);
}

TEST_F(Capture, ASpoiledCaptureTakesNothingMore) {
  DeviceArray<float> out(100);
  begin();
  EXPECT_EQ(cudaStreamSynchronize(context().stream), cudaErrorStreamCaptureUnsupported);
  EXPECT_THROW(faulty::fill(context(), out.data(), 1.0F, 100), CudaError);
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  check(cudaStreamIsCapturing(context().stream, &status), "cudaStreamIsCapturing");
  EXPECT_EQ(status, cudaStreamCaptureStatusInvalidated);
  EXPECT_EQ(end(), cudaErrorStreamCaptureInvalidated);
  static_cast<void>(cudaGetLastError());
  // And the stream is as before.
  faulty::fill(context(), out.data(), 7.0F, 100);
  check(cudaStreamSynchronize(context().stream), "cudaStreamSynchronize");
  EXPECT_EQ(out.values()[0], 7.0F);
}

TEST_F(Capture, ARelaxedOneAllowsTheHostToAllocate) {
  begin(cudaStreamCaptureModeRelaxed);
  void* memory = nullptr;
  EXPECT_EQ(cudaMalloc(&memory, 16), cudaSuccess);
  EXPECT_EQ(cudaStreamSynchronize(context().stream), cudaErrorStreamCaptureUnsupported) << "of the stream itself it never may";
  EXPECT_EQ(end(), cudaErrorStreamCaptureInvalidated);
  static_cast<void>(cudaGetLastError());
  EXPECT_EQ(cudaFree(memory), cudaSuccess);
}

TEST_F(Capture, CaptureGraphSaysWhatToDoAndLeavesTheStreamUsable) {
  DeviceArray<float> out(100);
  try {
    static_cast<void>(capture_graph(context().stream, [&] { static_cast<void>(cudaStreamSynchronize(context().stream)); }));
    FAIL() << "nothing thrown";
  } catch (const CudaError& error) {
    EXPECT_EQ(error.code(), cudaErrorStreamCaptureInvalidated);
    EXPECT_THAT(error.what(), HasSubstr("--cuda_graph false"));
  }
  EXPECT_THROW(static_cast<void>(capture_graph(context().stream, [] { throw std::runtime_error("ours"); })),
               std::runtime_error);
  faulty::fill(context(), out.data(), 7.0F, 100);
  check(cudaStreamSynchronize(context().stream), "cudaStreamSynchronize");
  EXPECT_EQ(out.values()[0], 7.0F);
}

}  // namespace
}  // namespace virgil::cuda

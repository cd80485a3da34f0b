// Sequences of the CUDA backend: when they are graphs, and what a recording refuses.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "cuda/device/launch.h"
#include "cuda/sim/control.h"
#include "virgil/backend/cuda_backend.h"
#include "virgil/base/error.h"
#include "virgil/memory/buffer.h"

namespace virgil::cuda {
namespace {

using testing::HasSubstr;

class GraphSequence : public testing::Test {
 protected:
  explicit GraphSequence(bool graphs = true)
      : backend_(make_cuda_backend({.graphs = graphs})), memory_(backend_->memory(), 1024, {MemoryCategory::kData, "test"}) {}
  ~GraphSequence() override { simt::reset_error(); }

  /// Runs the sequence so often that it repeats a recording, if it makes one.
  void run_thrice(OpSequence& sequence, const std::function<void()>& ops) {
    for (std::uint32_t step = 0; step < 3; ++step) sequence.run({step, 0}, ops);
  }
  [[nodiscard]] TensorView x() const { return {memory_.data(), DType::kFloat32, {8}}; }
  [[nodiscard]] std::vector<float> values() const {
    std::vector<float> result(8);
    backend_->copy_to_host(std::as_writable_bytes(std::span(result)), x());
    return result;
  }
  /// What the run that records says of ops() that a graph cannot hold; the backend is usable afterwards.
  [[nodiscard]] std::string refusal(const std::function<void()>& ops) {
    const auto sequence = backend_->make_sequence();
    sequence->run({}, ops);
    std::string message = "nothing thrown";
    try {
      sequence->run({}, ops);
    } catch (const std::exception& error) {
      message = error.what();
    }
    backend_->run(ops::SetZero{x()});
    EXPECT_EQ(values(), std::vector<float>(8, 0.0F));
    return message;
  }

  std::unique_ptr<Backend> backend_;
  Buffer memory_;
};

class WithoutGraphs : public GraphSequence {
 protected:
  WithoutGraphs() : GraphSequence(false) {}
};

TEST_F(GraphSequence, AreLaunchedFromTheSecondRunOn) {
  const std::uint64_t before = simt::statistics().graph_launches, uploads_before = simt::statistics().graph_uploads;
  const auto sequence = backend_->make_sequence();
  run_thrice(*sequence, [&] { backend_->run(ops::SetZero{x()}); });
  EXPECT_EQ(simt::statistics().graph_uploads - uploads_before, 1U);  // not by a launch, while the device waits
  EXPECT_EQ(simt::statistics().graph_launches - before, 2U);
  EXPECT_EQ(values(), std::vector<float>(8, 0.0F));
}

TEST_F(WithoutGraphs, OpsAreCalledEachTime) {
  const std::uint64_t before = simt::statistics().graph_launches;
  int calls = 0;
  const auto sequence = backend_->make_sequence();
  run_thrice(*sequence, [&] {
    ++calls;
    backend_->run(ops::SetZero{x()});
  });
  EXPECT_EQ(calls, 3);
  EXPECT_EQ(simt::statistics().graph_launches, before);
}

TEST_F(GraphSequence, RefuseToWaitAndToCopyFromOrToTheHost) {
  std::vector<float> host(8);
  EXPECT_THAT(refusal([&] { backend_->synchronize(); }), HasSubstr("synchronize while a sequence of ops is recorded"));
  EXPECT_THAT(refusal([&] { backend_->copy_to_host(std::as_writable_bytes(std::span(host)), x()); }),
              HasSubstr("copy_to_host while"));
  EXPECT_THAT(refusal([&] { backend_->copy_from_host(x(), std::as_bytes(std::span(host))); }),
              HasSubstr("copy_from_host while"));
  const auto inner = backend_->make_sequence();
  EXPECT_THAT(refusal([&] { inner->run({}, [] {}); }), HasSubstr("OpSequence::run while"));
}

TEST_F(GraphSequence, SayHowToDoWithoutWhatTheDriverRefuses) {
  const std::string message = refusal([&] {
    // Refused by the driver; the recording is spoilt.
    try {
      const Buffer more(backend_->memory(), 64, {MemoryCategory::kData, "more"});
    } catch (const CudaError&) {
    }
  });
  EXPECT_THAT(message, HasSubstr("cudaErrorStreamCaptureInvalidated; --cuda_graph false runs without one"));
}

TEST_F(GraphSequence, KeepTheirWorkspace) {
  const auto sequence = backend_->make_sequence();
  backend_->bind_workspace({memory_.data(), 512});
  run_thrice(*sequence, [&] { backend_->run(ops::SetZero{x()}); });
  backend_->bind_workspace({memory_.data() + 512, 512});
  EXPECT_THROW(sequence->run({}, [&] { backend_->run(ops::SetZero{x()}); }), InternalError);
}

TEST_F(GraphSequence, MayGoWhileTheyRun) {
  simt::Schedule lazy;
  lazy.lazy_streams = true;
  simt::set_schedule(lazy);
  {
    const auto sequence = backend_->make_sequence();
    run_thrice(*sequence, [&] { backend_->run(ops::SetZero{x()}); });
  }
  EXPECT_EQ(values(), std::vector<float>(8, 0.0F));
  simt::set_schedule({});
}

}  // namespace
}  // namespace virgil::cuda

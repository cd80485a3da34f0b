#include "cuda/product_timing.h"

#include <algorithm>
#include <cstddef>
#include <limits>
#include <span>
#include <vector>

#include "cuda/device/launch.h"
#include "virgil/base/error.h"

namespace virgil::cuda {

namespace {

constexpr int kRounds = 3;
constexpr int kRunsAtATime = 5;
/// Another algorithm must be so much faster than one that comes before it, so that chance does not choose.
constexpr double kNoticeable = 0.98;

/// The output of a product that accumulates, on the host: no memory of the device's is planned for trying, and any pattern of
/// bits comes back.
class KeptOutput {
 public:
  KeptOutput(const LtProduct& product, void* out, cudaStream_t stream) : out_(out), stream_(stream) {
    const MatmulShape& shape = product.shape();
    if (shape.options.accumulate) bytes_.resize(static_cast<std::size_t>(shape.m * shape.n * size_of(shape.out_dtype)));
    copy(bytes_.data(), out_, cudaMemcpyDeviceToHost);
  }
  void restore() { copy(out_, bytes_.data(), cudaMemcpyHostToDevice); }

 private:
  void copy(void* to, const void* from, cudaMemcpyKind kind) {
    if (bytes_.empty()) return;
    check(cudaMemcpyAsync(to, from, bytes_.size(), kind, stream_), "cudaMemcpyAsync");
    check(cudaStreamSynchronize(stream_), "cudaStreamSynchronize");
  }

  void* out_;
  cudaStream_t stream_;
  std::vector<std::byte> bytes_;
};

}  // namespace

ProductChoice fastest(const LtProduct& product, const std::vector<ProductAlgorithm>& candidates,
                      const ProductOperands& operands, std::span<std::byte> workspace, cublasLtHandle_t handle,
                      cudaStream_t stream) {
  constexpr double kFails = std::numeric_limits<double>::infinity();
  const Event start = make_timed_event(), end = make_timed_event();
  const auto milliseconds = [&](const ProductAlgorithm& algorithm, int runs) {
    try {
      check(cudaEventRecord(start.get(), stream), "cudaEventRecord");
      for (int i = 0; i < runs; ++i) product.run(handle, algorithm, operands, workspace, stream);
      check(cudaEventRecord(end.get(), stream), "cudaEventRecord");
      check(cudaEventSynchronize(end.get()), "cudaEventSynchronize");
    } catch (const CudaError&) {
      return kFails;
    } catch (const OutOfMemoryError&) {
      return kFails;
    }
    float elapsed = 0;
    check(cudaEventElapsedTime(&elapsed, start.get(), end.get()), "cudaEventElapsedTime");
    return static_cast<double>(elapsed) / runs;
  };

  KeptOutput kept(product, operands.out, stream);
  std::vector<double> least(candidates.size());
  // The first run of each loads its code. Then in turns, so that what else the GPU does meets all.
  for (std::size_t i = 0; i < candidates.size(); ++i) least[i] = milliseconds(candidates[i], 1) == kFails ? -1 : kFails;
  for (int round = 0; round < kRounds; ++round) {
    for (std::size_t i = 0; i < candidates.size(); ++i) {
      if (least[i] > 0) least[i] = std::min(least[i], milliseconds(candidates[i], kRunsAtATime));
    }
  }
  kept.restore();

  std::size_t best = 0;
  for (std::size_t i = 1; i < candidates.size(); ++i) {
    const bool is_better = least[i] >= 0 && (least[best] < 0 || least[i] < kNoticeable * least[best]);
    if (is_better) best = i;
  }
  constexpr double kMicrosecondsOfOne = 1e3;
  const bool is_timed = least[best] >= 0 && least[best] < kFails;
  return {candidates[best].settings, is_timed ? kMicrosecondsOfOne * least[best] : 0};
}

}  // namespace virgil::cuda

// Sums over rows and over whole tensors, and the way back through dropout.
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <vector>

#include "backend_conformance/harness.h"
#include "backend_conformance/reference_basic.h"

namespace virgil::conformance {
namespace {

class BiasBackward : public Conformance {};
VIRGIL_CONFORMANCE_SUITE(BiasBackward);

TEST_P(BiasBackward, AccumulatesTheReference) {
  struct Sizes {
    std::int64_t rows, channels;
  };
  for (const auto& [N, C] : {Sizes{1, 8}, {257, 24}, {5, 7}, {19, 384}, {1300, 40}, {3, 771}, {5003, 8}}) {
    const auto dout = normal_values(N * C, 1), dbias = normal_values(C, 2);
    check({{"dbias", reference::bias_backward(to_double(dbias), to_double(dout))}}, [&](OpRun& run) {
      run.workspace(run.backend().traits().column_sums_workspace_bytes(N, C));
      run.backend().run(ops::BiasBackward{run.in_out("dbias", {C}, dbias, DType::kFloat32), run.input({N, C}, dout)});
    });
  }
}

class DropoutBackward : public Conformance {};
VIRGIL_CONFORMANCE_SUITE(DropoutBackward);

TEST_P(DropoutBackward, MatchesReference) {
  for (const auto& [B, T, C] : {reference::SequenceShape{1, 1, 8}, {2, 257, 24}, {3, 5, 7}, {1, 2, 1035}}) {
    for (const float p : {0.1F, 0.9F}) {
      const auto dout = normal_values(B * T * C, 1);
      const Dropout dropout = test_dropout(p);
      check({{"dinp", reference::dropout_backward(to_double(dout), {B, T, C}, dropout)}}, [&](OpRun& run) {
        run.backend().run(ops::DropoutBackward{run.output("dinp", {B, T, C}), run.input({B, T, C}, dout), dropout});
      });
    }
  }
}

TEST_P(DropoutBackward, MasksDoNotDependOnTheSplitIntoMicroBatches) {
  const std::vector<float> ones(4 * 3 * 12, 1.0F);
  const auto mask_of = [&](std::int64_t first_sequence, std::int64_t B) {
    return results_of([&](OpRun& run) {
             const std::vector<float> dout(ones.begin(), ones.begin() + B * 3 * 12);
             run.backend().run(ops::DropoutBackward{run.output("dinp", {B, 3, 12}), run.input({B, 3, 12}, dout),
                                                    test_dropout(0.5F, first_sequence)});
           })
        .at("dinp");
  };
  auto halves = mask_of(0, 2);
  const auto second = mask_of(2, 2);
  halves.insert(halves.end(), second.begin(), second.end());
  expect_same_bits("mask", mask_of(0, 4), halves);
}

class Reductions : public Conformance {
 protected:
  using Op = std::function<void(Backend&, TensorView out, ConstTensorView inp)>;

  void check_reduction(const std::vector<float>& inp, const Tracked& expected, const Op& op) {
    check({{"out", {expected}}}, [&](OpRun& run) {
      run.workspace(run.backend().traits().reduction_workspace_bytes(std::ssize(inp)));
      op(run.backend(), run.output("out", {1}, DType::kFloat32), run.input({std::ssize(inp)}, inp));
    });
  }
};
VIRGIL_CONFORMANCE_SUITE(Reductions);

TEST_P(Reductions, SumMatchesReference) {
  for (const std::int64_t count : {1, 7, 24, 257, 16384, 50003}) {
    const auto inp = normal_values(count, 1, 1, 0.5F);
    check_reduction(inp, reference::reduce_sum(to_double(inp)), [](Backend& backend, TensorView out, ConstTensorView values) {
      backend.run(ops::ReduceSum{out, values});
    });
  }
}

TEST_P(Reductions, NormMatchesReference) {
  for (const std::int64_t count : {1, 7, 24, 257, 16384, 50003}) {
    const auto inp = normal_values(count, 1);
    check_reduction(inp, reference::l2_norm(to_double(inp), 0.25F),
                    [](Backend& backend, TensorView out, ConstTensorView values) {
                      backend.run(ops::L2Norm{out, values, 0.25F});
                    });
  }
}

TEST_P(Reductions, NormOfHugeElementsDoesNotOverflow) {
  const std::vector<float> inp(100, huge());
  check_reduction(inp, reference::l2_norm(to_double(inp), 1), [](Backend& backend, TensorView out, ConstTensorView values) {
    backend.run(ops::L2Norm{out, values, 1});
  });
}

TEST_P(Reductions, NormIsNotFiniteWhenAnElementIsNot) {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    auto inp = normal_values(1000, 1);
    inp[777] = bad;
    const auto results = results_of([&](OpRun& run) {
      run.workspace(run.backend().traits().reduction_workspace_bytes(1000));
      run.backend().run(ops::L2Norm{run.in_out("out", {1}, {0.0F}, DType::kFloat32), run.input({1000}, inp), 1});
    });
    EXPECT_FALSE(std::isfinite(results.at("out")[0])) << bad;
  }
}

}  // namespace
}  // namespace virgil::conformance

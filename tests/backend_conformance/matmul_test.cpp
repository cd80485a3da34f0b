#include <fmt/format.h>
#include <omp.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "backend_conformance/harness.h"
#include "backend_conformance/reference_basic.h"
#include "virgil/base/error.h"

namespace virgil::conformance {
namespace {

/// out = op(a) * op(b) + bias [+ out], each element a sum of k + 1 terms.
std::vector<Tracked> reference_matmul(const std::vector<double>& out, const std::vector<double>& a,
                                      const std::vector<double>& b, const std::vector<double>& bias, const MatmulShape& s) {
  std::vector<Tracked> result;
  for (std::int64_t i = 0; i < s.m; ++i) {
    for (std::int64_t j = 0; j < s.n; ++j) {
      double value = 0, magnitude = 0;
      const auto add = [&](double term) {
        value += term;
        magnitude += std::abs(term);
      };
      if (s.has_bias) add(bias[static_cast<std::size_t>(j)]);
      if (s.options.accumulate) add(out[static_cast<std::size_t>(i * s.n + j)]);
      for (std::int64_t p = 0; p < s.k; ++p) {
        add(a[static_cast<std::size_t>(s.options.transpose_a ? p * s.m + i : i * s.k + p)] *
            b[static_cast<std::size_t>(s.options.transpose_b ? j * s.k + p : p * s.n + j)]);
      }
      // Each term passes through its product's rounding and at most k + 1 additions, in any order.
      result.emplace_back(value, gamma(static_cast<double>(s.k) + 2) * magnitude);
    }
  }
  return result;
}

class Matmul : public Conformance {
 protected:
  /// In the case's dtype; a product that accumulates does so in float32, as gradients of weights do.
  void check_product(MatmulShape s) {
    s.dtype = dtype();
    s.out_dtype = s.options.accumulate ? DType::kFloat32 : dtype();
    check_product_of(s);
  }

  void check_product_of(const MatmulShape& s) {
    const auto [ta, tb, accumulate] = s.options;
    SCOPED_TRACE(fmt::format("m={} n={} k={} ta={} tb={} accumulate={} bias={} to {}", s.m, s.n, s.k, ta, tb, accumulate,
                             s.has_bias, name_of(s.out_dtype)));
    const auto a = normal_values(s.m * s.k, 1), b = normal_values(s.k * s.n, 2), bias = normal_values(s.n, 3);
    const auto out = normal_values(s.m * s.n, 4);
    const auto run_once = [&](OpRun& run) {
      run.workspace(run.backend().traits().matmul_workspace_bytes(s));
      const Shape out_shape{s.m, s.n};
      const TensorView result =
          accumulate ? run.in_out("out", out_shape, out, s.out_dtype) : run.output("out", out_shape, s.out_dtype);
      run.backend().run(ops::Matmul{result, run.input(ta ? Shape{s.k, s.m} : Shape{s.m, s.k}, a),
                                    run.input(tb ? Shape{s.n, s.k} : Shape{s.k, s.n}, b),
                                    s.has_bias ? run.input({s.n}, bias) : ConstTensorView{}, s.options});
    };
    // Not check(): another number of threads may divide a library's sums otherwise, unless it is told not to.
    const auto results = results_of(run_once);
    const auto expected = reference_matmul(to_double(out), to_double(a), to_double(b), to_double(bias), s);
    expect_within_bounds("out", results.at("out"), stored_as(s.out_dtype, expected));
    expect_same_bits("out, run again", results_of(run_once).at("out"), results.at("out"));
    if (GetParam().same_products) expect_same_bits("out of the twin", results_of_twin(run_once).at("out"), results.at("out"));
  }
};
VIRGIL_CONFORMANCE_SUITE(Matmul);

TEST_P(Matmul, MatchesReferenceWithAllOptions) {
  for (const bool transpose_a : {false, true}) {
    for (const bool transpose_b : {false, true}) {
      const MatmulOptions options{transpose_a, transpose_b, false}, accumulating{transpose_a, transpose_b, true};
      check_product({.m = 37, .n = 29, .k = 53, .options = options});
      check_product({.m = 37, .n = 29, .k = 53, .has_bias = true, .options = options});
      check_product({.m = 37, .n = 29, .k = 53, .options = accumulating});
    }
  }
}

TEST_P(Matmul, MatchesReferenceOnVectorsAndScalars) {
  check_product({.m = 1, .n = 1, .k = 1, .options = {}});
  check_product({.m = 1, .n = 65, .k = 130, .has_bias = true, .options = {}});
  check_product({.m = 130, .n = 1, .k = 7, .options = {.transpose_b = true}});
  check_product({.m = 24, .n = 40, .k = 1, .options = {.transpose_a = true, .accumulate = true}});
}

TEST_P(Matmul, MatchesReferenceWhenOperandsAreReordered) {
  check_product({.m = 260, .n = 1024, .k = 9, .has_bias = true, .options = {}});
  check_product({.m = 260, .n = 1024, .k = 9, .options = {.transpose_a = true, .accumulate = true}});
  check_product({.m = 1030, .n = 33, .k = 17, .options = {.transpose_b = true}});
  check_product({.m = 1030, .n = 256, .k = 5, .options = {}});
}

// Rows in several blocks, the last one smaller, for products that one thread computes in blocks.
TEST_P(Matmul, MatchesReferenceInBlocksOfRows) {
  check_product({.m = 200, .n = 48, .k = 300, .has_bias = true, .options = {}});
  check_product({.m = 192, .n = 33, .k = 130, .options = {.transpose_b = true}});
  check_product({.m = 130, .n = 64, .k = 257, .options = {.transpose_a = true, .accumulate = true}});
}

TEST_P(Matmul, MayHaveAFloat32Result) {
  const MatmulShape s{.m = 37, .n = 29, .k = 53, .dtype = dtype(), .options = {.transpose_b = true}};
  check_product_of(s);
}

TEST_P(Matmul, FlattensLeadingDimensions) {
  const auto a = normal_values(2 * 3 * 4, 1), b = normal_values(4 * 5, 2);
  const MatmulShape s{.m = 6, .n = 5, .k = 4, .dtype = dtype(), .out_dtype = dtype(), .options = {}};
  const auto results = results_of([&](OpRun& run) {
    run.workspace(run.backend().traits().matmul_workspace_bytes(s));
    run.backend().run(ops::Matmul{run.output("out", {2, 3, 5}), run.input({2, 3, 4}, a), run.input({4, 5}, b), {}, {}});
  });
  const auto expected = reference_matmul({}, to_double(a), to_double(b), {}, s);
  expect_within_bounds("out", results.at("out"), stored_as(dtype(), expected));
}

TEST_P(Matmul, ThrowsWhenTheWorkspaceIsTooSmall) {
  const MatmulShape s{.m = 1030, .n = 33, .k = 17, .dtype = dtype(), .out_dtype = dtype(), .options = {.transpose_b = true}};
  ASSERT_GT(backend().traits().matmul_workspace_bytes(s), 64);
  OpRun run(backend(), dtype());
  const auto out = run.output("out", {s.m, s.n});
  const auto a = run.input({s.m, s.k}, normal_values(s.m * s.k)), b = run.input({s.n, s.k}, normal_values(s.n * s.k));
  run.workspace(backend().traits().matmul_workspace_bytes(s) - 64);
  EXPECT_THROW(run.backend().run(ops::Matmul{out, a, b, {}, s.options}), InternalError);
}

// The product may be rounded to the type before it is multiplied, or not. With 16 bits the derivative may be a library's, of a
// tanh that the hardware approximates: to 2^-11 (PTX ISA, tanh.approx.f32) plus float32's rounding of it.
TEST_P(Matmul, GeluBackwardMatchesReference) {
  // Widths that vectors fit and such that they do not; more rows than a block has; one to three rows, for which the played
  // cuBLASLt refuses the epilogue, in each of its ways.
  const std::vector<MatmulShape> shapes = {
      {.m = 37, .n = 40, .k = 24}, {.m = 130, .n = 264, .k = 66}, {.m = 5, .n = 29, .k = 53}, {.m = 1, .n = 64, .k = 16},
      {.m = 7, .n = 8, .k = 1},    {.m = 1, .n = 1, .k = 1},      {.m = 2, .n = 64, .k = 16}, {.m = 3, .n = 64, .k = 16}};
  const double tanh_error = dtype() == DType::kFloat32 ? 0 : 0x1.0p-11 + 4 * kUnitRoundoff;
  for (MatmulShape s : shapes) {
    s.dtype = s.out_dtype = dtype();
    s.options.transpose_b = true;
    SCOPED_TRACE(fmt::format("m={} n={} k={}", s.m, s.n, s.k));
    const auto dout = normal_values(s.m * s.k, 1), weight = normal_values(s.k * s.n, 2),
               hidden = normal_values(s.m * s.n, 3, 2.0F);
    const auto run_once = [&](OpRun& run) {
      run.workspace(run.backend().traits().matmul_workspace_bytes(s));
      run.backend().run(ops::MatmulGeluBackward{run.output("dinp", {1, s.m, s.n}), run.input({1, s.m, s.k}, dout),
                                                run.input({s.n, s.k}, weight), run.input({1, s.m, s.n}, hidden)});
    };
    const auto results = results_of(run_once);
    const auto product = reference_matmul({}, to_double(dout), to_double(weight), {}, s);
    const auto expected = reference::gelu_backward(stored_as(dtype(), product), to_double(hidden), tanh_error);
    expect_within_bounds("dinp", results.at("dinp"), stored_as(dtype(), expected));
    expect_same_bits("dinp, run again", results_of(run_once).at("dinp"), results.at("dinp"));
    if (GetParam().same_products)
      expect_same_bits("dinp of the twin", results_of_twin(run_once).at("dinp"), results.at("dinp"));
  }
}

TEST_P(Matmul, GeluBackwardThrowsWhereShapesDoNotAgree) {
  OpRun run(backend(), dtype());
  const auto tensor = [&](const Shape& shape) { return run.input(shape, normal_values(shape.num_elements())); };
  const TensorView dinp = run.output("dinp", {6, 16});
  const auto dout = tensor({6, 8}), weight = tensor({16, 8}), hidden = tensor({6, 16});
  EXPECT_THROW(backend().run(ops::MatmulGeluBackward{dinp, tensor({5, 8}), weight, hidden}), InternalError);
  EXPECT_THROW(backend().run(ops::MatmulGeluBackward{dinp, dout, tensor({8, 16}), hidden}), InternalError);
  EXPECT_THROW(backend().run(ops::MatmulGeluBackward{dinp, dout, weight, tensor({6, 8})}), InternalError);
  EXPECT_THROW(backend().run(ops::MatmulGeluBackward{dinp, dout, weight, {}}), InternalError);
}

TEST_P(Matmul, LeavesTheCallersNumberOfThreads) {
  const int before = omp_get_max_threads();
  check_product({.m = 37, .n = 29, .k = 53, .options = {}});
  EXPECT_EQ(omp_get_max_threads(), before);
}

}  // namespace
}  // namespace virgil::conformance

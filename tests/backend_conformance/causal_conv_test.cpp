// Causal depthwise convolutions, and the same row by row with a cache.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "backend_conformance/harness.h"
#include "backend_conformance/reference_basic.h"

namespace virgil::conformance {
namespace {

using reference::SequenceShape;

struct ConvCase {
  SequenceShape shape;
  std::int64_t taps;
};

/// Sequences shorter than the taps, runs of rows that end within one, channels that fill no pack, many pieces.
const std::vector<ConvCase>& cases() {
  static const std::vector<ConvCase> all = {{{1, 1, 8}, 1},    {{2, 2, 7}, 3},  {{3, 5, 24}, 7},  {{1, 40, 16}, 4},
                                            {{2, 33, 40}, 3},  {{5, 67, 8}, 2}, {{1, 700, 3}, 5}, {{7, 96, 136}, 3},
                                            {{1, 3, 1035}, 2}, {{40, 31, 8}, 6}};
  return all;
}

class CausalConv : public Conformance {};
VIRGIL_CONFORMANCE_SUITE(CausalConv);

TEST_P(CausalConv, ForwardMatchesReference) {
  for (const auto& [shape, K] : cases()) {
    const auto [B, T, C] = shape;
    const auto inp = normal_values(B * T * C, 1), weight = normal_values(K * C, 2);
    check({{"out", reference::causal_conv_forward(to_double(inp), to_double(weight), shape)}},
          [&, B = B, T = T, C = C, K = K](OpRun& run) {
            run.backend().run(
                ops::CausalConvForward{run.output("out", {B, T, C}), run.input({B, T, C}, inp), run.input({K * C}, weight)});
          });
  }
}

TEST_P(CausalConv, BackwardMatchesReference) {
  for (const auto& [shape, K] : cases()) {
    const auto [B, T, C] = shape;
    const auto inp = normal_values(B * T * C, 1), weight = normal_values(K * C, 2), dout = normal_values(B * T * C, 3);
    const auto dweight = normal_values(K * C, 4);
    const auto expected =
        reference::causal_conv_backward(to_double(dweight), to_double(dout), to_double(inp), to_double(weight), shape);
    check({{"dinp", expected.dinp}, {"dweight", expected.dweight}}, [&, B = B, T = T, C = C, K = K](OpRun& run) {
      const Call call = ops::CausalConvBackward{.dinp = run.output("dinp", {B, T, C}),
                                                .dweight = run.in_out("dweight", {K * C}, dweight, DType::kFloat32),
                                                .dout = run.input({B, T, C}, dout),
                                                .inp = run.input({B, T, C}, inp),
                                                .weight = run.input({K * C}, weight)};
      run.workspace(run.backend().traits().workspace_bytes(call));
      run.backend().run(call);
    });
  }
}

/// Pieces of a prompt and single rows, as generation cuts them: each call's rows follow what the cache holds.
TEST_P(CausalConv, DecodeMatchesTheForwardPass) {
  constexpr std::int64_t S = 3, L = 19, K = 3;
  for (const std::int64_t C : {8, 7, 520}) {
    const auto inp = normal_values(S * L * C, 1), weight = normal_values(K * C, 2);
    const auto whole = reference::causal_conv_forward(to_double(inp), to_double(weight), {S, L, C});
    for (const auto& [first, n] : {std::pair<std::int64_t, std::int64_t>{0, 1}, {0, 16}, {1, 1}, {2, 4}, {18, 1}, {3, 16}}) {
      std::vector<float> rows, cache(inp.size(), std::numeric_limits<float>::quiet_NaN());
      std::vector<Tracked> expected, left;
      for (std::int64_t s = 0; s < S; ++s) {
        const auto begin = inp.begin() + s * L * C;
        std::copy_n(begin, first * C, cache.begin() + s * L * C);
        rows.insert(rows.end(), begin + first * C, begin + (first + n) * C);
        expected.insert(expected.end(), whole.begin() + (s * L + first) * C, whole.begin() + (s * L + first + n) * C);
      }
      const auto results = results_of([&, first = first, n = n](OpRun& run) {
        run.backend().run(ops::CausalConvDecode{run.output("out", {S, n, C}), run.in_out("cache", {S, L, C}, cache),
                                                run.input({S, n, C}, rows), run.input({K * C}, weight), first});
      });
      for (std::int64_t s = 0; s < S; ++s) {
        for (std::int64_t i = 0; i < (first + n) * C; ++i) {
          const auto at = static_cast<std::size_t>(s * L * C + i);
          EXPECT_EQ(results.at("cache")[at], inp[at]) << "sequence " << s << " element " << i;
        }
      }
      check({{"out", expected}}, [&, first = first, n = n](OpRun& run) {
        std::vector<float> held = cache;
        for (float& value : held) value = std::isnan(value) ? 0.0F : value;
        run.backend().run(ops::CausalConvDecode{run.output("out", {S, n, C}), run.in_out("cache", {S, L, C}, held),
                                                run.input({S, n, C}, rows), run.input({K * C}, weight), first});
      });
    }
  }
}

TEST_P(CausalConv, CarriesNanThrough) {
  std::vector<float> inp(40, 1.0F);
  inp[8] = std::numeric_limits<float>::quiet_NaN();  // the second position's first channel
  const std::vector<float> weight(16, 0.0F);
  const auto results = results_of([&](OpRun& run) {
    run.backend().run(ops::CausalConvForward{run.in_out("out", {1, 5, 8}, std::vector<float>(40, 1.0F)),
                                             run.input({1, 5, 8}, inp), run.input({16}, weight)});
  });
  // Even with weights of zero: 0 * NaN is NaN, at its own position and the two that read it.
  for (std::size_t t = 0; t < 5; ++t) EXPECT_EQ(std::isnan(results.at("out")[t * 8]), t >= 1 && t <= 3) << t;
}

}  // namespace
}  // namespace virgil::conformance

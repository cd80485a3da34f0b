#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <numeric>
#include <tuple>
#include <vector>

#include "backend_conformance/harness.h"
#include "backend_conformance/reference_attention.h"
#include "virgil/base/error.h"

namespace virgil::conformance {
namespace {

std::vector<double> values_of(const std::vector<Tracked>& tracked) {
  std::vector<double> values;
  values.reserve(tracked.size());
  for (const Tracked& t : tracked) values.push_back(t.value);
  return values;
}

std::vector<float> to_float(const std::vector<Tracked>& tracked) {
  std::vector<float> values;
  values.reserve(tracked.size());
  for (const Tracked& t : tracked) values.push_back(static_cast<float>(t.value));
  return values;
}

/// Shapes that end inside a vector, inside a register tile and inside a block of 64; with more and fewer heads than threads.
const std::vector<AttentionShape> kAttentionShapes = {
    {.batch = 1, .length = 1, .num_heads = 1, .head_size = 8},    {.batch = 2, .length = 7, .num_heads = 2, .head_size = 24},
    {.batch = 1, .length = 64, .num_heads = 2, .head_size = 64},  {.batch = 1, .length = 65, .num_heads = 1, .head_size = 128},
    {.batch = 1, .length = 129, .num_heads = 3, .head_size = 16}, {.batch = 1, .length = 100, .num_heads = 1, .head_size = 80},
    {.batch = 1, .length = 257, .num_heads = 1, .head_size = 24}, {.batch = 1, .length = 150, .num_heads = 1, .head_size = 96}};

/// Grouped heads, and all query heads on one: groups of two to five, more and fewer than threads, heads divided among threads.
const std::vector<AttentionShape> kGroupedShapes = {
    {.batch = 2, .length = 7, .num_heads = 4, .head_size = 24, .num_kv_heads = 2},
    {.batch = 1, .length = 65, .num_heads = 5, .head_size = 16, .num_kv_heads = 1},
    {.batch = 1, .length = 130, .num_heads = 6, .head_size = 8, .num_kv_heads = 2},
    {.batch = 1, .length = 96, .num_heads = 4, .head_size = 64, .num_kv_heads = 2},
    {.batch = 1, .length = 70, .num_heads = 2, .head_size = 128, .num_kv_heads = 1}};

class Attention : public Conformance {
 protected:
  static Shape out_shape(const AttentionShape& s) { return {s.batch, s.length, s.num_heads * s.head_size}; }
  static Shape qkv_shape(const AttentionShape& s) { return {s.batch, s.length, s.qkv_width()}; }
  static Shape lse_shape(const AttentionShape& s) { return {s.batch, s.num_heads, s.length}; }

  void check_forward(AttentionShape shape, const Dropout& dropout, float stddev = 1) {
    shape.dtype = dtype();
    const auto qkv = normal_values(qkv_shape(shape).num_elements(), 1, stddev);
    const auto expected = reference::attention_forward(to_double(qkv), shape, dropout);
    SCOPED_TRACE(fmt::format("qkv {}, {} heads", qkv_shape(shape).to_string(), shape.num_heads));
    check({{"out", expected.out}, {"lse", expected.lse}}, [&](OpRun& run) {
      run.workspace(run.backend().traits().attention_forward_workspace_bytes(shape));
      run.backend().run(
          ops::AttentionForward{run.output("out", out_shape(shape)), run.output("lse", lse_shape(shape), DType::kFloat32),
                                run.input(qkv_shape(shape), qkv), shape.num_heads, dropout, shape.num_kv_heads, shape.window});
    });
  }

  void check_backward(AttentionShape shape, const Dropout& dropout, float stddev = 1) {
    shape.dtype = dtype();
    const auto qkv = normal_values(qkv_shape(shape).num_elements(), 1, stddev);
    const auto dout = normal_values(out_shape(shape).num_elements(), 2);
    const auto forward = reference::attention_forward(to_double(qkv), shape, dropout);
    const auto out = representable(to_float(forward.out));
    const auto lse = to_float(forward.lse);
    const auto expected =
        reference::attention_backward(to_double(dout), to_double(out), to_double(qkv), to_double(lse), shape, dropout);
    SCOPED_TRACE(fmt::format("qkv {}, {} heads", qkv_shape(shape).to_string(), shape.num_heads));
    check({{"dqkv", expected}}, [&](OpRun& run) {
      run.workspace(run.backend().traits().attention_backward_workspace_bytes(shape));
      run.backend().run(ops::AttentionBackward{run.output("dqkv", qkv_shape(shape)), run.input(out_shape(shape), dout),
                                               run.input(out_shape(shape), out), run.input(qkv_shape(shape), qkv),
                                               run.input(lse_shape(shape), lse, DType::kFloat32), shape.num_heads, dropout,
                                               shape.num_kv_heads, shape.window});
    });
  }
};
VIRGIL_CONFORMANCE_SUITE(Attention);

TEST_P(Attention, ForwardMatchesReference) {
  for (const AttentionShape& shape : kAttentionShapes) check_forward(shape, Dropout{});
}

TEST_P(Attention, BackwardMatchesReference) {
  for (const AttentionShape& shape : kAttentionShapes) {
    if (shape.length >= GetParam().shortest_attention) check_backward(shape, Dropout{});
  }
}

TEST_P(Attention, GroupedHeadsMatchReference) {
  if (!GetParam().grouped_heads) GTEST_SKIP() << "it computes attention without grouped heads";
  for (const AttentionShape& shape : kGroupedShapes) {
    check_forward(shape, Dropout{});
    if (shape.length >= GetParam().shortest_attention) check_backward(shape, Dropout{});
  }
}

// Windows that end inside a tile, on its border and tiles before it, of one position, and longer than the sequence.
TEST_P(Attention, WindowsMatchReference) {
  if (!GetParam().windows) GTEST_SKIP() << "it computes attention without windows";
  for (const std::int64_t window : {1, 5, 32, 64, 65, 127, 200}) {
    const AttentionShape shape{.batch = 1, .length = 190, .num_heads = 2, .head_size = 16, .window = window};
    check_forward(shape, Dropout{});
    check_backward(shape, Dropout{});
  }
  const AttentionShape grouped{.batch = 2, .length = 100, .num_heads = 4, .head_size = 80, .num_kv_heads = 2, .window = 33};
  check_forward(grouped, Dropout{});
  check_backward(grouped, Dropout{});
  if (!GetParam().attention_dropout) return;
  check_forward(grouped, test_dropout(0.25F));
  check_backward(grouped, test_dropout(0.25F));
}

TEST_P(Attention, DropsTheElementsThatDropoutNumbers) {
  if (!GetParam().attention_dropout) GTEST_SKIP() << "it computes attention without dropout";
  const Dropout dropout = test_dropout(0.25F);
  for (const std::int64_t length : {7, 70, 135}) {
    const AttentionShape shape{.batch = 2, .length = length, .num_heads = 2, .head_size = 8};
    check_forward(shape, dropout);
    check_backward(shape, dropout);
  }
  const AttentionShape grouped{.batch = 2, .length = 70, .num_heads = 6, .head_size = 8, .num_kv_heads = 2};
  check_forward(grouped, dropout);
  check_backward(grouped, dropout);
}

TEST_P(Attention, MatchesReferenceWhenScoresAreFarApart) {
  // Scores reach several hundred: all but a few probabilities underflow.
  const AttentionShape shape{.batch = 1, .length = 70, .num_heads = 1, .head_size = 40};
  check_forward(shape, Dropout{}, 10);
  check_backward(shape, Dropout{}, 10);
}

TEST_P(Attention, KeepsNanFromHiding) {
  const AttentionShape shape{.batch = 1, .length = 70, .num_heads = 1, .head_size = 8, .dtype = dtype()};
  auto qkv = normal_values(qkv_shape(shape).num_elements());
  constexpr std::size_t kPosition = 66;
  qkv[kPosition * 24 + 8] = std::numeric_limits<float>::quiet_NaN();  // an element of k
  const auto results = results_of([&](OpRun& run) {
    run.workspace(run.backend().traits().attention_forward_workspace_bytes(shape));
    run.backend().run(ops::AttentionForward{run.output("out", out_shape(shape)),
                                            run.output("lse", lse_shape(shape), DType::kFloat32),
                                            run.input(qkv_shape(shape), qkv), 1, Dropout{}});
  });
  for (std::size_t t = 0; t < 70; ++t) EXPECT_EQ(std::isnan(results.at("out")[t * 8]), t >= kPosition) << t;
}

TEST_P(Attention, ThrowsWhenTheWorkspaceIsTooSmall) {
  const AttentionShape shape{.batch = 1, .length = 4, .num_heads = 1, .head_size = 8, .dtype = dtype()};
  OpRun run(backend(), dtype());
  const auto dqkv = run.output("dqkv", qkv_shape(shape));
  const auto dout = run.input(out_shape(shape), normal_values(32)), out = run.input(out_shape(shape), normal_values(32));
  const auto qkv = run.input(qkv_shape(shape), normal_values(96));
  const auto lse = run.input(lse_shape(shape), std::vector<float>(4), DType::kFloat32);
  run.workspace(run.backend().traits().attention_backward_workspace_bytes(shape) - 64);
  EXPECT_THROW(run.backend().run(ops::AttentionBackward{dqkv, dout, out, qkv, lse, 1, Dropout{}}), InternalError);
}

/// A cache that holds the first positions, and new rows behind them.
struct DecodeCase {
  AttentionShape shape;  // length: cached and new positions together
  std::int64_t new_rows;
  std::int64_t capacity;
};

class AttentionDecode : public Attention {
 protected:
  /// Rows [first, first + count) of every sequence of a (B, T, channels) tensor.
  template <typename T>
  static std::vector<T> rows_of(const std::vector<T>& all, const AttentionShape& s, std::int64_t channels, std::int64_t first,
                                std::int64_t count) {
    std::vector<T> rows;
    for (std::int64_t b = 0; b < s.batch; ++b) {
      const auto begin = all.begin() + (b * s.length + first) * channels;
      rows.insert(rows.end(), begin, begin + count * channels);
    }
    return rows;
  }

  /// k (part 1) or v (part 2) of the first `count` positions as a (S, NKV, L, HS) cache, -1 elsewhere.
  static std::vector<float> cache_of(const std::vector<float>& qkv, const DecodeCase& c, int part, std::int64_t count) {
    const AttentionShape& s = c.shape;
    const std::int64_t NKV = s.kv_heads();
    std::vector<float> cache(static_cast<std::size_t>(s.batch * NKV * c.capacity * s.head_size), -1.0F);
    for (std::int64_t row = 0; row < s.batch * NKV * count; ++row) {
      const std::int64_t head = row / count, t = row % count;
      const std::int64_t b = head / NKV, at = s.num_heads + (part - 1) * NKV + head % NKV;
      const auto from = qkv.begin() + (b * s.length + t) * s.qkv_width() + at * s.head_size;
      std::copy(from, from + s.head_size, cache.begin() + (head * c.capacity + t) * s.head_size);
    }
    return cache;
  }

  void check_decode(const DecodeCase& c) {
    AttentionShape s = c.shape;
    s.dtype = dtype();
    const std::int64_t C = s.num_heads * s.head_size;
    const std::int64_t first = s.length - c.new_rows;
    const auto qkv = normal_values(qkv_shape(s).num_elements());
    const auto forward = reference::attention_forward(to_double(qkv), s, Dropout{});
    const auto k_after = to_double(cache_of(qkv, c, 1, s.length)), v_after = to_double(cache_of(qkv, c, 2, s.length));
    AttentionShape cache = s;
    cache.length = c.capacity;
    SCOPED_TRACE(fmt::format("qkv {}, {} new rows", qkv_shape(s).to_string(), c.new_rows));
    check({{"out", rows_of(forward.out, s, C, first, c.new_rows)},
           {"k_cache", {k_after.begin(), k_after.end()}},
           {"v_cache", {v_after.begin(), v_after.end()}}},
          [&](OpRun& run) {
            const Shape cache_shape{s.batch, s.kv_heads(), c.capacity, s.head_size};
            run.workspace(run.backend().traits().attention_decode_workspace_bytes(cache));
            run.backend().run(ops::AttentionDecode{
                run.output("out", {s.batch, c.new_rows, C}), run.in_out("k_cache", cache_shape, cache_of(qkv, c, 1, first)),
                run.in_out("v_cache", cache_shape, cache_of(qkv, c, 2, first)),
                run.input({s.batch, c.new_rows, s.qkv_width()}, rows_of(qkv, s, s.qkv_width(), first, c.new_rows)), s.num_heads,
                first, s.num_kv_heads, s.window});
          });
  }
};
VIRGIL_CONFORMANCE_SUITE(AttentionDecode);

TEST_P(AttentionDecode, EqualsTheForwardPassForOneRow) {
  for (const std::int64_t length : {1, 2, 70}) {
    check_decode({{.batch = 2, .length = length, .num_heads = 3, .head_size = 24}, 1, 70});
  }
  check_decode({{.batch = 1, .length = 33, .num_heads = 1, .head_size = 128}, 1, 40});
}

TEST_P(AttentionDecode, EqualsTheForwardPassAcrossSplits) {
  check_decode({{.batch = 1, .length = 521, .num_heads = 1, .head_size = 8}, 1, 600});
  check_decode({{.batch = 1, .length = 258, .num_heads = 2, .head_size = 8}, 3, 258});
}

TEST_P(AttentionDecode, EqualsTheForwardPassForManyRows) {
  check_decode({{.batch = 2, .length = 12, .num_heads = 1, .head_size = 40}, 12, 64});
  check_decode({{.batch = 1, .length = 170, .num_heads = 1, .head_size = 16}, 133, 171});
}

TEST_P(AttentionDecode, EqualsTheForwardPassOfGroupedHeads) {
  for (const std::int64_t new_rows : {1, 3, 12, 33}) {
    check_decode({{.batch = 2, .length = 70, .num_heads = 6, .head_size = 24, .num_kv_heads = 2}, new_rows, 75});
  }
  check_decode({{.batch = 1, .length = 300, .num_heads = 4, .head_size = 8, .num_kv_heads = 1}, 2, 310});
}

TEST_P(AttentionDecode, EqualsTheForwardPassOfAWindow) {
  for (const std::int64_t window : {1, 60, 256, 300, 1000}) {
    check_decode({{.batch = 1, .length = 530, .num_heads = 2, .head_size = 8, .num_kv_heads = 1, .window = window}, 2, 540});
    check_decode({{.batch = 1, .length = 330, .num_heads = 2, .head_size = 8, .window = window}, 30, 330});
  }
}

TEST_P(AttentionDecode, ThrowsWhenTheCacheIsFull) {
  OpRun run(backend(), dtype());
  const AttentionShape cache{.batch = 1, .length = 4, .num_heads = 1, .head_size = 8, .dtype = dtype()};
  const auto out = run.output("out", {1, 1, 8});
  const auto k = run.output("k", {1, 1, 4, 8}), v = run.output("v", {1, 1, 4, 8});
  const auto qkv = run.input({1, 1, 24}, normal_values(24));
  run.workspace(run.backend().traits().attention_decode_workspace_bytes(cache));
  EXPECT_THROW(run.backend().run(ops::AttentionDecode{out, k, v, qkv, 1, 4}), InternalError);
}

TEST(AttentionReference, BackwardMatchesFiniteDifferences) {
  // Central differences of loss = sum(weights * out): the truncation error is about h^2 times a third derivative of order 1 to
  // 100, the rounding error about 2^-53 |loss| / h; with h = 1e-4 both stay below 1e-6.
  constexpr double kStep = 1e-4, kBound = 1e-6;
  AttentionShape shape{.batch = 1, .length = 6, .num_heads = 2, .head_size = 8};
  for (const auto& [p, kv_heads, window] : {std::tuple{0.0F, 2, 0}, {0.25F, 2, 0}, {0.0F, 1, 0}, {0.25F, 1, 3}}) {
    shape.num_kv_heads = kv_heads;
    shape.window = window;
    const Dropout dropout = test_dropout(p);
    auto qkv = to_double(normal_values(shape.length * shape.qkv_width(), 1, 0.7F));
    const auto weights = to_double(normal_values(6 * 16, 2));
    const auto loss = [&] {
      const auto out = values_of(reference::attention_forward(qkv, shape, dropout).out);
      return std::inner_product(out.begin(), out.end(), weights.begin(), 0.0);
    };
    const auto forward = reference::attention_forward(qkv, shape, dropout);
    const auto dqkv =
        reference::attention_backward(weights, values_of(forward.out), qkv, values_of(forward.lse), shape, dropout);
    for (std::size_t i = 0; i < qkv.size(); ++i) {
      const double kept = qkv[i];
      qkv[i] = kept + kStep;
      const double above = loss();
      qkv[i] = kept - kStep;
      const double below = loss();
      qkv[i] = kept;
      EXPECT_NEAR((above - below) / (2 * kStep), dqkv[i].value, kBound)
          << "element " << i << ", p = " << p << ", " << kv_heads << " heads of keys, window " << window;
    }
  }
}

}  // namespace
}  // namespace virgil::conformance

#include "virgil/ops/attention.h"

#include <fmt/format.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "ops/operand_bytes.h"
#include "virgil/base/error.h"
#include "virgil/ops/expectations.h"

namespace virgil {

namespace ops {

namespace {

/// What the ops' fields say of their heads and of what these see.
struct Heads {
  std::int64_t queries = 0;
  std::int64_t keys = 0;  // 0: as many
  std::int64_t window = 0;

  [[nodiscard]] std::int64_t kv_heads() const { return keys == 0 ? queries : keys; }
  /// Side by side in qkv.
  [[nodiscard]] std::int64_t total() const { return queries + 2 * kv_heads(); }
};

/// From qkv (B, T, (NH + 2 NKV) * HS).
AttentionShape check_qkv(std::string_view op, const ConstTensorView& qkv, const Heads& heads, const Dropout& dropout) {
  constexpr std::int64_t kHeadSizeStep = 8;
  constexpr std::int64_t kMaxHeadSize = 128;
  const SequenceSizes sizes = expect_sequence(op, "qkv", qkv);
  VIRGIL_CHECK(heads.queries > 0 && heads.kv_heads() > 0 && heads.queries % heads.kv_heads() == 0,
               "{}: {} query heads do not share {} key and value heads", op, heads.queries, heads.kv_heads());
  VIRGIL_CHECK(sizes.channels % heads.total() == 0, "{}: qkv {} does not hold q, k and v of {} heads", op,
               qkv.shape().to_string(), heads.queries);
  const std::int64_t head_size = sizes.channels / heads.total();
  VIRGIL_CHECK(head_size > 0 && head_size <= kMaxHeadSize && head_size % kHeadSizeStep == 0,
               "{}: head size {} is not a multiple of {} up to {}", op, head_size, kHeadSizeStep, kMaxHeadSize);
  expect_dropout(op, dropout);
  VIRGIL_CHECK(heads.window >= 0, "{}: a window of {} positions", op, heads.window);
  return {sizes.batch, sizes.length, heads.queries, head_size, sizes.dtype, heads.kv_heads(), heads.window};
}

/// Pairs of one of `rows` queries from position `first` on and a key that it sees.
double visible_pairs(std::int64_t first, std::int64_t rows, std::int64_t window) {
  const auto triangle = [](double n) { return n * (n + 1) / 2; };
  const auto up_to = [&](std::int64_t length) {
    const auto all = static_cast<double>(length);
    if (window == 0 || length <= window) return triangle(all);
    const auto w = static_cast<double>(window);
    return triangle(w) + (all - w) * w;
  };
  return up_to(first + rows) - up_to(first);
}

/// Of one product of queries and the keys that they see.
double causal_product_flops(const ConstTensorView& qkv, const Heads& heads) {
  const Shape& s = qkv.shape();
  const double pairs = visible_pairs(0, s[1], heads.window);
  const std::int64_t query_width = s[2] / heads.total() * heads.queries;
  return 2 * pairs * static_cast<double>(s[0]) * static_cast<double>(query_width);
}

std::string heads_text(const ConstTensorView& qkv, const Heads& heads) {
  const std::string grouped = heads.kv_heads() == heads.queries ? "" : fmt::format(", {} of keys and values", heads.kv_heads());
  const std::string window = heads.window == 0 ? "" : fmt::format(", window {}", heads.window);
  return fmt::format("{} {} heads{}{}", qkv.shape().to_string(), heads.queries, grouped, window);
}

}  // namespace

AttentionShape AttentionForward::check() const {
  const AttentionShape shape = check_qkv(kName, qkv, {num_heads, num_kv_heads, window}, dropout);
  expect(kName, "out", out, {shape.batch, shape.length, num_heads * shape.head_size}, shape.dtype);
  expect(kName, "lse", lse, {shape.batch, num_heads, shape.length}, DType::kFloat32);
  return shape;
}

Cost AttentionForward::cost() const {
  return {2 * causal_product_flops(qkv, {num_heads, num_kv_heads, window}), operand_bytes(*this)};
}

std::string AttentionForward::sizes_text() const { return heads_text(qkv, {num_heads, num_kv_heads, window}); }

AttentionShape AttentionBackward::check() const {
  const AttentionShape shape = check_qkv(kName, qkv, {num_heads, num_kv_heads, window}, dropout);
  const Shape head_outputs{shape.batch, shape.length, num_heads * shape.head_size};
  expect(kName, "dqkv", dqkv, qkv.shape(), shape.dtype);
  expect(kName, "dout", dout, head_outputs, shape.dtype);
  expect(kName, "out", out, head_outputs, shape.dtype);
  expect(kName, "lse", lse, {shape.batch, num_heads, shape.length}, DType::kFloat32);
  return shape;
}

Cost AttentionBackward::cost() const {
  return {5 * causal_product_flops(qkv, {num_heads, num_kv_heads, window}), operand_bytes(*this)};
}

std::string AttentionBackward::sizes_text() const { return heads_text(qkv, {num_heads, num_kv_heads, window}); }

AttentionShape AttentionDecode::check() const {
  const AttentionShape shape = check_qkv(kName, qkv, {num_heads, num_kv_heads, window}, {});
  expect(kName, "out", out, {shape.batch, shape.length, num_heads * shape.head_size}, shape.dtype);
  VIRGIL_CHECK(k_cache.present() && k_cache.shape().rank() == 4, "{}: k_cache {} is not (S, NKV, L, HS)", kName,
               k_cache.shape().to_string());
  const std::int64_t L = k_cache.shape()[2];
  const Shape caches{shape.batch, shape.kv_heads(), L, shape.head_size};
  expect(kName, "k_cache", k_cache, caches, shape.dtype);
  expect(kName, "v_cache", v_cache, caches, shape.dtype);
  VIRGIL_CHECK(first_position >= 0 && first_position + shape.length <= L, "{}: positions {} to {} leave the cache of {}", kName,
               first_position, first_position + shape.length - 1, L);
  return shape;
}

AttentionShape AttentionDecode::cache_shape() const {
  AttentionShape shape = check();
  shape.length = k_cache.shape()[2];
  return shape;
}

Cost AttentionDecode::cost() const {
  const AttentionShape shape = check();
  const auto [S, n, NH, HS, dtype, NKV, w] = shape;
  const auto channels = static_cast<double>(NH * HS);
  const auto cached_channels = static_cast<double>(NKV * HS);
  const std::int64_t positions = first_position + n - shape.first_key(first_position);  // that any row sees
  const double cache_bytes = 2 * static_cast<double>(S * positions) * cached_channels * static_cast<double>(size_of(dtype));
  return {4 * static_cast<double>(S) * visible_pairs(first_position, n, window) * channels,
          cache_bytes + static_cast<double>(out.size_bytes() + qkv.size_bytes())};
}

std::string AttentionDecode::sizes_text() const { return heads_text(qkv, {num_heads, num_kv_heads, window}); }

}  // namespace ops

}  // namespace virgil

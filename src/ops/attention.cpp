#include "virgil/ops/attention.h"

#include <fmt/format.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "ops/operand_bytes.h"
#include "virgil/base/error.h"
#include "virgil/ops/expectations.h"

namespace virgil {

void refuse_grouped_heads(std::string_view op, const AttentionShape& shape) {
  VIRGIL_CHECK(!shape.has_grouped_heads(), "{}: {} query heads share {} key and value heads, which is not computed yet", op,
               shape.num_heads, shape.kv_heads());
}

namespace ops {

namespace {

struct Heads {
  std::int64_t queries = 0;
  std::int64_t keys = 0;  // 0: as many

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
  return {sizes.batch, sizes.length, heads.queries, head_size, sizes.dtype, heads.kv_heads()};
}

/// Of one product over the causal half, such as that of queries and keys.
double causal_product_flops(const ConstTensorView& qkv, const Heads& heads) {
  const Shape& s = qkv.shape();
  const double pairs = static_cast<double>(s[1]) * static_cast<double>(s[1] + 1) / 2;
  const std::int64_t query_width = s[2] / heads.total() * heads.queries;
  return 2 * pairs * static_cast<double>(s[0]) * static_cast<double>(query_width);
}

std::string heads_text(const ConstTensorView& qkv, const Heads& heads) {
  const std::string grouped = heads.kv_heads() == heads.queries ? "" : fmt::format(", {} of keys and values", heads.kv_heads());
  return fmt::format("{} {} heads{}", qkv.shape().to_string(), heads.queries, grouped);
}

}  // namespace

AttentionShape AttentionForward::check() const {
  const AttentionShape shape = check_qkv(kName, qkv, {num_heads, num_kv_heads}, dropout);
  expect(kName, "out", out, {shape.batch, shape.length, num_heads * shape.head_size}, shape.dtype);
  expect(kName, "lse", lse, {shape.batch, num_heads, shape.length}, DType::kFloat32);
  return shape;
}

Cost AttentionForward::cost() const { return {2 * causal_product_flops(qkv, {num_heads, num_kv_heads}), operand_bytes(*this)}; }

std::string AttentionForward::sizes_text() const { return heads_text(qkv, {num_heads, num_kv_heads}); }

AttentionShape AttentionBackward::check() const {
  const AttentionShape shape = check_qkv(kName, qkv, {num_heads, num_kv_heads}, dropout);
  const Shape head_outputs{shape.batch, shape.length, num_heads * shape.head_size};
  expect(kName, "dqkv", dqkv, qkv.shape(), shape.dtype);
  expect(kName, "dout", dout, head_outputs, shape.dtype);
  expect(kName, "out", out, head_outputs, shape.dtype);
  expect(kName, "lse", lse, {shape.batch, num_heads, shape.length}, DType::kFloat32);
  return shape;
}

Cost AttentionBackward::cost() const {
  return {5 * causal_product_flops(qkv, {num_heads, num_kv_heads}), operand_bytes(*this)};
}

std::string AttentionBackward::sizes_text() const { return heads_text(qkv, {num_heads, num_kv_heads}); }

AttentionShape AttentionDecode::check() const {
  const AttentionShape shape = check_qkv(kName, qkv, {num_heads, num_kv_heads}, {});
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
  const auto [S, n, NH, HS, dtype, NKV] = check();
  const auto channels = static_cast<double>(NH * HS);
  const auto cached_channels = static_cast<double>(NKV * HS);
  const double keys = static_cast<double>(first_position) + static_cast<double>(n + 1) / 2;  // of a row, on average
  const double cache_bytes =
      2 * static_cast<double>(S * (first_position + n)) * cached_channels * static_cast<double>(size_of(dtype));
  return {4 * static_cast<double>(S * n) * keys * channels,
          cache_bytes + static_cast<double>(out.size_bytes() + qkv.size_bytes())};
}

std::string AttentionDecode::sizes_text() const { return heads_text(qkv, {num_heads, num_kv_heads}); }

}  // namespace ops

}  // namespace virgil

#include "backend_conformance/reference_attention.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <numbers>

namespace virgil::conformance::reference {

namespace {

/// Tiles of 64 keys at the least: how often a backend may rescale what it has summed (the online softmax), and once more for
/// each of the splits of a cache.
double num_rescalings(std::int64_t length) { return 2 + static_cast<double>(length) / 64; }

/// A sum of products in float32, in any order, by running error analysis.
class DotProduct {
 public:
  void add(const Tracked& a, const Tracked& b) {
    const Tracked product = a * b;
    value_ += product.value;
    inherited_ += product.error;
    magnitude_ += product.magnitude();
    count_ += 1;
  }
  /// After `extra` roundings of partial sums besides the additions.
  [[nodiscard]] Tracked result(double extra = 0) const { return {value_, inherited_ + gamma(count_ + extra) * magnitude_}; }

 private:
  double value_ = 0;
  double inherited_ = 0;
  double magnitude_ = 0;
  double count_ = 0;
};

/// What a backend may round to the tensors' type before it multiplies. `later` is a factor in `value` by which a backend may
/// multiply afterwards: dropout's scale. That matters only to float16, whose subnormals round with an absolute error.
Tracked as_operand(const Tracked& value, const AttentionShape& shape, double later = 1) {
  switch (shape.dtype) {
    case DType::kBFloat16:
      return rounded_to_bfloat16(value);
    case DType::kFloat16: {
      Tracked operand = rounded_to_float16(value);
      operand.error += std::max(later - 1, 0.0) * kFloat16SubnormalRoundoff;
      return operand;
    }
    default:
      return value;
  }
}

/// One query head of one sequence, and the head of keys and values that it attends to; rows are positions.
class Head {
 public:
  Head(const std::vector<double>& qkv, const AttentionShape& shape, const Dropout& dropout, std::int64_t b, std::int64_t h)
      : qkv_(qkv), shape_(shape), dropout_(dropout), b_(b), h_(h) {}

  /// Index of element d of position t in a (B, T, C) tensor.
  [[nodiscard]] std::size_t at(std::int64_t t, std::int64_t d) const {
    return static_cast<std::size_t>(((b_ * shape_.length + t) * shape_.num_heads + h_) * shape_.head_size + d);
  }
  /// The same of q, k or v (part 0, 1, 2) in a (B, T, (NH + 2 NKV) HS) tensor.
  [[nodiscard]] std::size_t at_qkv(int part, std::int64_t t, std::int64_t d) const {
    const std::int64_t keys = shape_.kv_heads(), heads = shape_.num_heads + 2 * keys;
    const std::int64_t head = part == 0 ? h_ : shape_.num_heads + (part - 1) * keys + h_ / (shape_.num_heads / keys);
    return static_cast<std::size_t>(((b_ * shape_.length + t) * heads + head) * shape_.head_size + d);
  }
  [[nodiscard]] std::size_t at_lse(std::int64_t t) const {
    return static_cast<std::size_t>((b_ * shape_.num_heads + h_) * shape_.length + t);
  }
  [[nodiscard]] double q(std::int64_t t, std::int64_t d) const { return qkv_[at_qkv(0, t, d)]; }
  [[nodiscard]] double k(std::int64_t t, std::int64_t d) const { return qkv_[at_qkv(1, t, d)]; }
  [[nodiscard]] double v(std::int64_t t, std::int64_t d) const { return qkv_[at_qkv(2, t, d)]; }

  /// 1 / sqrt(HS), rounded to float32; a backend may fold log2(e) into it.
  [[nodiscard]] Tracked scale() const { return rounded(1.0 / std::sqrt(static_cast<double>(shape_.head_size)), 0); }
  /// Scaled score of a query and a key. Scaling the query, the products, the score and a change of base round once each.
  [[nodiscard]] Tracked score(std::int64_t query, std::int64_t key) const {
    DotProduct dot;
    for (std::int64_t d = 0; d < shape_.head_size; ++d) dot.add(scale() * Tracked(q(query, d)), k(key, d));
    return dot.result(2);
  }
  [[nodiscard]] double multiplier(std::int64_t query, std::int64_t key) const {
    if (!dropout_.enabled()) return 1;
    const std::int64_t head = (dropout_.first_sequence + b_) * shape_.num_heads + h_;
    const std::int64_t index = (head * shape_.length + query) * round_up(shape_.length, 4) + key;
    return static_cast<double>(dropout_.multiplier(static_cast<std::uint64_t>(index)));
  }

 private:
  const std::vector<double>& qkv_;
  const AttentionShape& shape_;
  const Dropout& dropout_;
  std::int64_t b_, h_;
};

template <typename Body>
void for_each_head(const std::vector<double>& qkv, const AttentionShape& shape, const Dropout& dropout, const Body& body) {
  for (std::int64_t b = 0; b < shape.batch; ++b) {
    for (std::int64_t h = 0; h < shape.num_heads; ++h) body(Head(qkv, shape, dropout, b, h));
  }
}

/// e^(score - max), where max cancels in the quotient with the sum of such weights.
///
/// The online softmax computes the exponential of score - m1 and multiplies it by those of m1 - m2, m2 - m3, ..., the largest
/// scores so far. Each difference is rounded once; all have one sign, so these errors sum to u (max - score). Each of the r + 1
/// exponentials is off by 2 ulp (4 u), and each product rounds.
Tracked weight(const Tracked& score, double max, double rescalings) {
  const double value = std::exp(score.value - max);
  const double exponent_error = score.error + kUnitRoundoff * (max - score.value + 2 * score.error);
  const double relative = std::expm1(exponent_error + 5 * (rescalings + 1) * kUnitRoundoff);
  // Too small a weight may be flushed to zero.
  return {value, value * relative + kSmallestNormal};
}

}  // namespace

AttentionResult attention_forward(const std::vector<double>& qkv, const AttentionShape& shape, const Dropout& dropout) {
  const auto num_rows = static_cast<std::size_t>(shape.batch * shape.length * shape.num_heads);
  AttentionResult result{std::vector<Tracked>(num_rows * static_cast<std::size_t>(shape.head_size)),
                         std::vector<Tracked>(num_rows)};
  const double rescalings = num_rescalings(shape.length);
  for_each_head(qkv, shape, dropout, [&](const Head& head) {
    for (std::int64_t i = 0; i < shape.length; ++i) {
      std::vector<Tracked> weights;
      const std::int64_t first = shape.first_key(i);
      for (std::int64_t j = first; j <= i; ++j) weights.push_back(head.score(i, j));
      const double max = std::ranges::max_element(weights, {}, &Tracked::value)->value;
      for (Tracked& w : weights) w = weight(w, max, rescalings);
      DotProduct sum;
      for (const Tracked& w : weights) sum.add(w, 1.0);
      const Tracked total = sum.result(rescalings);
      result.lse[head.at_lse(i)] = rounded(max + std::log(total.value), -std::log1p(-total.error / total.value));
      for (std::int64_t d = 0; d < shape.head_size; ++d) {
        DotProduct weighted;
        for (std::int64_t j = first; j <= i; ++j) {
          const double z = head.multiplier(i, j);
          const Tracked dropped = weights[static_cast<std::size_t>(j - first)] * Tracked(z);
          weighted.add(as_operand(dropped, shape, z), head.v(j, d));
        }
        // A backend may multiply by the reciprocal: one rounding more than the quotient.
        result.out[head.at(i, d)] = weighted.result(rescalings) / rounded(total.value, total.error);
      }
    }
  });
  return result;
}

std::vector<Tracked> attention_backward(const std::vector<double>& dout, const std::vector<double>& out,
                                        const std::vector<double>& qkv, const std::vector<double>& lse,
                                        const AttentionShape& shape, const Dropout& dropout) {
  std::vector<Tracked> dqkv(qkv.size());
  std::vector<DotProduct> sums(qkv.size());  // of keys and values, over the query heads that share them
  const std::int64_t T = shape.length;
  for_each_head(qkv, shape, dropout, [&](const Head& head) {
    const auto at = [&](std::int64_t i, std::int64_t j) { return static_cast<std::size_t>(i * T + j); };
    std::vector<Tracked> dropped(static_cast<std::size_t>(T * T)), dscores(static_cast<std::size_t>(T * T));
    for (std::int64_t i = 0; i < T; ++i) {
      DotProduct delta;
      for (std::int64_t d = 0; d < shape.head_size; ++d) delta.add(dout[head.at(i, d)], out[head.at(i, d)]);
      for (std::int64_t j = shape.first_key(i); j <= i; ++j) {
        DotProduct dp;
        for (std::int64_t d = 0; d < shape.head_size; ++d) dp.add(dout[head.at(i, d)], head.v(j, d));
        // Two more roundings where a backend changes the base of lse.
        const double l = lse[head.at_lse(i)];
        Tracked p = exp(head.score(i, j) - Tracked(l, 2 * kUnitRoundoff * std::abs(l)));
        p.error += kSmallestNormal;  // too small a probability may be flushed to zero
        const double z = head.multiplier(i, j);
        dropped[at(i, j)] = as_operand(p * z, shape, z);
        dscores[at(i, j)] = as_operand(p * (dp.result() * z - delta.result()), shape);
      }
    }
    for (std::int64_t t = 0; t < T; ++t) {
      for (std::int64_t d = 0; d < shape.head_size; ++d) {
        DotProduct dq;
        DotProduct &dk = sums[head.at_qkv(1, t, d)], &dv = sums[head.at_qkv(2, t, d)];
        for (std::int64_t j = shape.first_key(t); j <= t; ++j) dq.add(dscores[at(t, j)], head.k(j, d));
        for (std::int64_t i = t; i < T && shape.first_key(i) <= t; ++i) {
          dk.add(dscores[at(i, t)], head.q(i, d));
          dv.add(dropped[at(i, t)], dout[head.at(i, d)]);
        }
        // Two more roundings where a backend scales in two factors.
        dqkv[head.at_qkv(0, t, d)] = dq.result(2) * head.scale();
        dqkv[head.at_qkv(1, t, d)] = dk.result(2) * head.scale();
        dqkv[head.at_qkv(2, t, d)] = dv.result();
      }
    }
  });
  return dqkv;
}

}  // namespace virgil::conformance::reference

// A backend that knows how far two orders of the same sums can be apart.
//
// Every element of a parameter's gradient is a sum of products over the tokens of a step: of a matrix the inputs times the
// gradients of the outputs, of a bias these gradients, and so on. However n such terms x_i are added in float32, with products
// rounded or fused, the result is within gamma_n sum |x_i| of the exact sum of the exact products, gamma_n = n u / (1 - n u),
// u = 2^-24 (Higham 2002, "Accuracy and Stability of Numerical Algorithms", sections 3.1 and 4.2).
#pragma once

#include <cmath>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <utility>
#include <variant>
#include <vector>

#include "support/half_backend.h"
#include "virgil/model/float_copy.h"

namespace virgil::test_support {

/// Computes as another backend and, beside it, counts the terms of each watched gradient and adds up their absolute values.
/// Its memory must be the host's.
class SummandsBackend final : public HalfBackend {
 public:
  explicit SummandsBackend(std::unique_ptr<Backend> inner) : HalfBackend(std::move(inner)) {}

  /// Called with the watched gradients before their norm is taken, and then counting starts anew.
  std::function<void(std::span<float> gradients)> before_norm;

  /// `gradients`, float32, are what parameters' gradients are added to.
  void watch(const TensorView& gradients) {
    gradients_ = {gradients.as<float>(), static_cast<std::size_t>(gradients.num_elements())};
    forget();
  }
  void forget() { sums_.assign(gradients_.size(), {}); }

  /// How far two float32 sums of element `index` of the watched gradients can be apart, if each adds the terms in an order of
  /// its own, and `zeros` zeros or other terms' sums among them.
  [[nodiscard]] double distance(std::size_t index, std::int64_t zeros = 0) const {
    // A norm's term is itself the result of four operations: x - mean, times rstd, times the gradient, and the last product.
    const double roundings = static_cast<double>(sums_[index].terms + zeros + 4) * 0x1.0p-24;
    return 2 * roundings / (1 - roundings) * sums_[index].magnitude;
  }
  /// The sum of the terms' absolute values.
  [[nodiscard]] double magnitude(std::size_t index) const { return sums_[index].magnitude; }

  void run(const Call& call) override {
    if (const auto* norm = std::get_if<ops::L2Norm>(&call)) report(*norm);
    HalfBackend::run(call);
    std::visit([&](const auto& op) { add_up(op); }, call);
  }

 private:
  void add_up(const auto& /*op*/) {}

  void add_up(const ops::Matmul& op) {
    if (!watched(op.out)) return;
    VIRGIL_CHECK(op.options.transpose_a && !op.options.transpose_b, "a gradient that is no product of a transpose");
    const std::int64_t m = op.out.shape()[0], n = op.out.shape()[1];
    const std::vector<float> left = read(op.a), right = read(op.b);
    const std::int64_t k = static_cast<std::int64_t>(right.size()) / n;
    Sum* sums = &sum_of(op.out, 0);
    for (std::int64_t i = 0; i < m * n; ++i) sums[i].terms += k;
    for (std::int64_t t = 0; t < k; ++t) {
      const float* factors = right.data() + t * n;
      for (std::int64_t i = 0; i < m; ++i) {
        const double x = left[static_cast<std::size_t>(t * m + i)];
        Sum* row = sums + i * n;  // pointers, since unoptimised builds spend their time here
        for (std::int64_t j = 0; j < n; ++j) row[j].magnitude += std::fabs(x * factors[j]);
      }
    }
  }

  void add_up(const ops::BiasBackward& op) {
    if (watched(op.dbias)) add_columns(op.dbias, read(op.dout));
  }

  void add_up(const ops::NormBackward& op) {
    if (!watched(op.dweight)) return;
    std::vector<float> terms = read(op.dout);
    if (op.dbias.present()) add_columns(op.dbias, terms);
    const std::vector<float> x = read(op.inp), means = read(op.mean), rstds = read(op.rstd);
    const std::size_t channels = x.size() / means.size();
    for (std::size_t i = 0; i < x.size(); ++i) terms[i] *= (x[i] - means[i / channels]) * rstds[i / channels];
    add_columns(op.dweight, terms);
  }

  void add_up(const ops::EmbeddingBackward& op) {
    if (!watched(op.dwte)) return;
    const std::int64_t channels = op.dwte.shape()[1], length = op.tokens.shape()[1];
    const std::vector<float> values = read(op.dout);
    for (std::int64_t row = 0; row < op.tokens.num_elements(); ++row) {
      for (std::int64_t c = 0; c < channels; ++c) {
        // As if none were dropped: too large, never too small.
        const double term = op.dropout.scale() * values[static_cast<std::size_t>(row * channels + c)];
        add(op.dwte, op.tokens.as<std::int32_t>()[row] * channels + c, term);
        add(op.dwpe, row % length * channels + c, term);
      }
    }
  }

  void report(const ops::L2Norm& op) {
    if (!before_norm || op.inp.data() != gradients_.data()) return;
    before_norm(gradients_);
    forget();
  }

  struct Sum {
    std::int64_t terms = 0;
    double magnitude = 0;
  };

  [[nodiscard]] bool watched(const TensorView& out) const {
    const auto* data = static_cast<const float*>(static_cast<const void*>(out.data()));
    return !gradients_.empty() && data >= gradients_.data() && data < gradients_.data() + gradients_.size();
  }
  /// That of element `index` of one parameter's gradient.
  [[nodiscard]] Sum& sum_of(const TensorView& out, std::int64_t index) {
    return sums_[static_cast<std::size_t>(out.as<float>() + index - gradients_.data())];
  }
  void add(const TensorView& out, std::int64_t index, double term) {
    Sum& sum = sum_of(out, index);
    ++sum.terms;
    sum.magnitude += std::fabs(term);
  }
  void add_columns(const TensorView& out, const std::vector<float>& terms) {
    for (std::size_t i = 0; i < terms.size(); ++i) add(out, static_cast<std::int64_t>(i) % out.num_elements(), terms[i]);
  }
  [[nodiscard]] std::vector<float> read(const ConstTensorView& view) {
    std::vector<float> values(static_cast<std::size_t>(view.num_elements()));
    copy_floats_to_host(*this, values, view);
    return values;
  }

  std::span<float> gradients_;
  std::vector<Sum> sums_;  // by element of gradients_
};

}  // namespace virgil::test_support

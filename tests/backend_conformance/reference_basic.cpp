#include "backend_conformance/reference_basic.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdlib>
#include <numbers>

namespace virgil::conformance::reference {

namespace {

std::size_t index(std::int64_t i) { return static_cast<std::size_t>(i); }

}  // namespace

TrackedValues exact(const Values& values) { return {values.begin(), values.end()}; }

Values values_of(const TrackedValues& tracked) {
  Values values;
  values.reserve(tracked.size());
  for (const Tracked& t : tracked) values.push_back(t.value);
  return values;
}

Values dropout_multipliers(const Dropout& dropout, const SequenceShape& shape) {
  const auto [B, T, C] = shape;
  Values multipliers(index(shape.num_elements()), 1.0);
  if (!dropout.enabled()) return multipliers;
  for (std::int64_t b = 0; b < B; ++b) {
    for (std::int64_t t = 0; t < T; ++t) {
      for (std::int64_t c = 0; c < C; ++c) {
        const std::int64_t element = ((dropout.first_sequence + b) * T + t) * ((C + 3) / 4 * 4) + c;
        const float multiplier = dropout.multiplier(static_cast<std::uint64_t>(element));
        multipliers[index((b * T + t) * C + c)] = static_cast<double>(multiplier);
      }
    }
  }
  return multipliers;
}

TrackedValues embedding_forward(const std::vector<std::int32_t>& tokens, const Values& wte, const Values& wpe,
                                const SequenceShape& shape, std::int64_t first_position, const Dropout& dropout) {
  const auto [B, T, C] = shape;
  const Values multipliers = dropout_multipliers(dropout, shape);
  TrackedValues out(multipliers.size());
  for (std::int64_t row = 0; row < B * T; ++row) {
    for (std::int64_t c = 0; c < C; ++c) {
      const Tracked sum =
          Tracked(wte[index(tokens[index(row)] * C + c)]) + Tracked(wpe[index((first_position + row % T) * C + c)]);
      out[index(row * C + c)] = sum * multipliers[index(row * C + c)];
    }
  }
  return out;
}

EmbeddingGradients embedding_backward(const Values& dwte, const Values& dwpe, const Values& dout,
                                      const std::vector<std::int32_t>& tokens, const SequenceShape& shape,
                                      const Dropout& dropout) {
  const auto [B, T, C] = shape;
  const Values multipliers = dropout_multipliers(dropout, shape);
  std::vector<TrackedValues> wte_terms(dwte.size()), wpe_terms(dwpe.size());
  for (std::size_t i = 0; i < dwte.size(); ++i) wte_terms[i] = {dwte[i]};
  for (std::size_t i = 0; i < dwpe.size(); ++i) wpe_terms[i] = {dwpe[i]};
  for (std::int64_t row = 0; row < B * T; ++row) {
    for (std::int64_t c = 0; c < C; ++c) {
      const Tracked d = Tracked(dout[index(row * C + c)]) * multipliers[index(row * C + c)];
      wte_terms[index(tokens[index(row)] * C + c)].push_back(d);
      wpe_terms[index(row % T * C + c)].push_back(d);
    }
  }
  EmbeddingGradients result;
  for (const TrackedValues& terms : wte_terms) result.dwte.push_back(sum(terms));
  for (const TrackedValues& terms : wpe_terms) result.dwpe.push_back(sum(terms));
  return result;
}

NormResult norm_forward(const TrackedValues& inp, const Values& weight, const Values& bias, const NormForm& form) {
  const std::size_t C = weight.size();
  const Tracked count(static_cast<double>(C));
  NormResult result;
  for (std::size_t first = 0; first < inp.size(); first += C) {
    const TrackedValues x(inp.begin() + static_cast<std::ptrdiff_t>(first),
                          inp.begin() + static_cast<std::ptrdiff_t>(first + C));
    const Tracked mean = form.centred ? sum(x) / count : Tracked(0.0);
    TrackedValues centred, squares;
    for (const Tracked& element : x) {
      centred.push_back(form.centred ? element - mean : element);
      squares.push_back(centred.back() * centred.back());
    }
    // Epsilon as a float is off by a rounding.
    const Tracked rstd = Tracked(1.0) / sqrt(sum(squares) / count + rounded(form.epsilon, 0));
    for (std::size_t c = 0; c < C; ++c) {
      const Tracked scaled = centred[c] * rstd * weight[c];
      result.out.push_back(bias.empty() ? scaled : scaled + Tracked(bias[c]));
    }
    if (form.centred) result.mean.push_back(mean);
    result.rstd.push_back(rstd);
  }
  return result;
}

TrackedValues residual(const Values& residual, const Values& branch, const SequenceShape& shape, const Dropout& dropout) {
  const Values multipliers = dropout_multipliers(dropout, shape);
  TrackedValues out;
  for (std::size_t i = 0; i < residual.size(); ++i) {
    out.push_back(Tracked(residual[i]) + (dropout.enabled() ? Tracked(branch[i]) * multipliers[i] : Tracked(branch[i])));
  }
  return out;
}

NormGradients norm_backward(const NormGradients& start, const Values& dout, const Values& inp, const Values& weight,
                            const Values& mean, const Values& rstd) {
  const std::size_t C = weight.size();
  const Tracked count(static_cast<double>(C));
  NormGradients result;
  std::vector<TrackedValues> dweight_terms(C), dbias_terms(C);
  for (std::size_t c = 0; c < C; ++c) {
    dweight_terms[c] = {start.dweight[c]};
    dbias_terms[c] = {start.dbias[c]};
  }
  const bool centred = !mean.empty();
  for (std::size_t row = 0; row < rstd.size(); ++row) {
    TrackedValues norm, dnorm, dnorm_norm;
    for (std::size_t c = 0; c < C; ++c) {
      const double dy = dout[row * C + c];
      const Tracked x(inp[row * C + c]);
      norm.push_back((centred ? x - Tracked(mean[row]) : x) * Tracked(rstd[row]));
      dnorm.push_back(Tracked(dy) * Tracked(weight[c]));
      dnorm_norm.push_back(dnorm[c] * norm[c]);
      dweight_terms[c].push_back(Tracked(dy) * norm[c]);
      dbias_terms[c].push_back(dy);
    }
    const Tracked mean_dnorm = centred ? sum(dnorm) / count : Tracked(0.0);
    const Tracked mean_dnorm_norm = sum(dnorm_norm) / count;
    for (std::size_t c = 0; c < C; ++c) {
      const Tracked from_mean = centred ? dnorm[c] - mean_dnorm : dnorm[c];
      const Tracked dx = (from_mean - norm[c] * mean_dnorm_norm) * Tracked(rstd[row]);
      result.dinp.push_back(start.dinp[row * C + c] + dx);
    }
  }
  for (std::size_t c = 0; c < C; ++c) {
    result.dweight.push_back(sum(dweight_terms[c]));
    result.dbias.push_back(sum(dbias_terms[c]));
  }
  return result;
}

TrackedValues dropout_backward(const Values& dout, const SequenceShape& shape, const Dropout& dropout) {
  const Values multipliers = dropout_multipliers(dropout, shape);
  TrackedValues dinp;
  for (std::size_t i = 0; i < dout.size(); ++i) dinp.push_back(Tracked(dout[i]) * multipliers[i]);
  return dinp;
}

TrackedValues bias_backward(const Values& dbias, const Values& dout) {
  const std::size_t C = dbias.size();
  TrackedValues result;
  for (std::size_t c = 0; c < C; ++c) {
    TrackedValues terms = {dbias[c]};
    for (std::size_t i = c; i < dout.size(); i += C) terms.push_back(dout[i]);
    result.push_back(sum(terms));
  }
  return result;
}

namespace {

constexpr double kCubic = 0.044715;

/// 1 / (1 + e^-y), which does not cancel for negative y. A result below e^-87 may be flushed to zero.
Tracked sigmoid(Tracked y) {
  constexpr double kSmallestExponent = -87;
  if (y.value < kSmallestExponent) return {0.0, std::exp(kSmallestExponent)};
  return Tracked(1.0) / (Tracked(1.0) + exp(-y));
}

/// An activation x s(x), with s a sigmoid.
struct Gate {
  Tracked s;
  Tracked other;  // 1 - s
  Tracked dy;     // of the sigmoid's argument

  [[nodiscard]] Tracked value(Tracked x) const { return x * s; }
  [[nodiscard]] Tracked slope(Tracked x) const { return s + x * (s * other * dy); }
};

/// GELU: s = 0.5 (1 + tanh u) = sigmoid(2u), u = sqrt(2/pi) (x + 0.044715 x^3). The constants are rounded to float.
Gate gelu_gate(Tracked x) {
  const double root = std::sqrt(2 * std::numbers::inv_pi);
  const auto two_u = [&](Tracked z) { return z * (rounded(2 * root, 0) + rounded(2 * root * kCubic, 0) * (z * z)); };
  const Tracked two_du = rounded(2 * root, 0) + rounded(6 * root * kCubic, 0) * (x * x);
  return {sigmoid(two_u(x)), sigmoid(two_u(-x)), two_du};
}

/// SiLU: s = sigmoid(x). A factor log2(e), rounded to float, may stand before the exponential of 2.
Gate silu_gate(Tracked x) {
  const Tracked y = rounded(x.value, x.error, 1.5);
  return {sigmoid(y), sigmoid(-y), Tracked(1.0)};
}

Gate gate_of(GluGate act, Tracked x) { return act == GluGate::kSilu ? silu_gate(x) : gelu_gate(x); }

}  // namespace

TrackedValues gelu_forward(const Values& inp) {
  TrackedValues out;
  for (const double x : inp) out.push_back(gelu_gate(x).value(x));
  return out;
}

TrackedValues gelu_backward(const TrackedValues& dout, const Values& inp, double tanh_error) {
  TrackedValues dinp;
  for (std::size_t i = 0; i < inp.size(); ++i) {
    Gate gate = gelu_gate(inp[i]);
    const double tanh = std::abs(gate.s.value - gate.other.value);
    gate.s.error += 0.5 * tanh_error * tanh;
    gate.other.error += 0.5 * tanh_error * tanh;
    dinp.push_back(dout[i] * gate.slope(inp[i]));
  }
  return dinp;
}

TrackedValues glu_forward(const Values& gate, const Values& up, GluGate act) {
  TrackedValues out;
  for (std::size_t i = 0; i < gate.size(); ++i) out.push_back(gate_of(act, gate[i]).value(gate[i]) * Tracked(up[i]));
  return out;
}

GluGradients glu_backward(const Values& dout, const Values& gate, const Values& up, GluGate act) {
  GluGradients result;
  for (std::size_t i = 0; i < gate.size(); ++i) {
    const Gate activated = gate_of(act, gate[i]);
    result.dgate.push_back(Tracked(dout[i]) * Tracked(up[i]) * activated.slope(gate[i]));
    result.dup.push_back(Tracked(dout[i]) * activated.value(gate[i]));
  }
  return result;
}

TrackedValues relu_squared_forward(const Values& inp) {
  TrackedValues out;
  for (const double x : inp) out.push_back(Tracked(std::max(x, 0.0)) * Tracked(std::max(x, 0.0)));
  return out;
}

TrackedValues relu_squared_backward(const Values& dout, const Values& inp) {
  TrackedValues dinp;
  for (std::size_t i = 0; i < inp.size(); ++i) dinp.push_back(Tracked(dout[i]) * Tracked(2 * std::max(inp[i], 0.0)));
  return dinp;
}

TrackedValues causal_conv_forward(const Values& inp, const Values& weight, const SequenceShape& shape) {
  const auto [B, T, C] = shape;
  const std::int64_t K = std::ssize(weight) / C;
  TrackedValues out;
  for (std::int64_t row = 0; row < B * T; ++row) {
    for (std::int64_t c = 0; c < C; ++c) {
      TrackedValues terms = {inp[index(row * C + c)]};
      for (std::int64_t k = 1; k <= std::min(K, row % T); ++k) {
        terms.push_back(Tracked(weight[index((k - 1) * C + c)]) * Tracked(inp[index((row - k) * C + c)]));
      }
      out.push_back(sum(terms));
    }
  }
  return out;
}

CausalConvGradients causal_conv_backward(const Values& dweight, const Values& dout, const Values& inp, const Values& weight,
                                         const SequenceShape& shape) {
  const auto [B, T, C] = shape;
  const std::int64_t K = std::ssize(weight) / C;
  std::vector<TrackedValues> weight_terms;
  for (const double value : dweight) weight_terms.push_back({value});
  CausalConvGradients result;
  for (std::int64_t row = 0; row < B * T; ++row) {
    for (std::int64_t c = 0; c < C; ++c) {
      TrackedValues terms = {dout[index(row * C + c)]};
      for (std::int64_t k = 1; k <= std::min(K, T - 1 - row % T); ++k) {
        const Tracked later = dout[index((row + k) * C + c)];
        terms.push_back(Tracked(weight[index((k - 1) * C + c)]) * later);
        weight_terms[index((k - 1) * C + c)].push_back(Tracked(inp[index(row * C + c)]) * later);
      }
      result.dinp.push_back(sum(terms));
    }
  }
  for (const TrackedValues& terms : weight_terms) result.dweight.push_back(sum(terms));
  return result;
}

CrossEntropyResult cross_entropy(const Values& logits, const std::vector<std::int32_t>& targets, std::int64_t vocab_size,
                                 float grad_scale) {
  const std::size_t Vp = logits.size() / targets.size();
  const std::size_t V = index(vocab_size);
  const Tracked scale(static_cast<double>(grad_scale));
  CrossEntropyResult result;
  for (std::size_t row = 0; row < targets.size(); ++row) {
    const double* x = logits.data() + row * Vp;
    if (targets[row] < 0) {
      result.losses.emplace_back(0.0);
      result.dlogits.insert(result.dlogits.end(), Vp, Tracked(0.0));
      continue;
    }
    const auto target = static_cast<std::size_t>(targets[row]);
    const double max = *std::max_element(x, x + V);
    TrackedValues exps;
    for (std::size_t c = 0; c < V; ++c) exps.push_back(exp(Tracked(x[c]) - Tracked(max)));
    const Tracked total = sum(exps);
    result.losses.push_back(log(total) + (Tracked(max) - Tracked(x[target])));
    const Tracked factor = scale / total;
    for (std::size_t c = 0; c < Vp; ++c) {
      if (c >= V) {
        result.dlogits.emplace_back(0.0);
      } else {
        result.dlogits.push_back(c == target ? exps[c] * factor - scale : exps[c] * factor);
      }
    }
  }
  return result;
}

Tracked reduce_sum(const Values& inp) {
  double total = 0;
  for (const double x : inp) total += x;
  // Summed in float64, whose roundings lie far below the single one to float32.
  return rounded(total, 0);
}

Tracked l2_norm(const Values& inp, float scale) {
  double total = 0;
  for (const double x : inp) total += x * x;
  return rounded(std::sqrt(total) * static_cast<double>(scale), 0);
}

AdamWResult adamw_update(const Values& param, const Values& m, const Values& v, const Values& grad, float norm,
                         const AdamWStep& step) {
  const double norm64 = static_cast<double>(norm), max_norm = static_cast<double>(step.max_norm);
  const double clip = max_norm > 0 ? std::min(1.0, max_norm / norm64) : 1.0;
  const double beta1 = static_cast<double>(step.beta1), beta2 = static_cast<double>(step.beta2);
  const double learning_rate = static_cast<double>(step.learning_rate);
  const auto t = static_cast<double>(step.t);
  // Scalars are computed in double and rounded once.
  const Tracked grad_factor = rounded(static_cast<double>(step.grad_scale) * clip, 0);
  const Tracked decay = rounded(1.0 - learning_rate * static_cast<double>(step.weight_decay), 0);
  const Tracked step_size = rounded(learning_rate / (1.0 - std::pow(beta1, t)), 0);
  const Tracked root_correction = rounded(1.0 / std::sqrt(1.0 - std::pow(beta2, t)), 0);
  AdamWResult result;
  for (std::size_t i = 0; i < param.size(); ++i) {
    const Tracked g = Tracked(grad[i]) * grad_factor;
    const Tracked new_m = Tracked(beta1) * m[i] + rounded(1.0 - beta1, 0) * g;
    const Tracked new_v = Tracked(beta2) * v[i] + rounded(1.0 - beta2, 0) * (g * g);
    const Tracked update = step_size * new_m / (sqrt(new_v) * root_correction + Tracked(static_cast<double>(step.eps)));
    result.m.push_back(new_m);
    result.v.push_back(new_v);
    result.param.push_back(Tracked(param[i]) * decay - update);
  }
  return result;
}

}  // namespace virgil::conformance::reference

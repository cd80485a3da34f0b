// Naive references of the ops other than attention and matmul, in float64, each value with the bound on its float32 error.
//
// Written from the formulas in virgil/ops, one element at a time; nothing here is shared with the backends. Operands are exact.
#pragma once

#include <cstdint>
#include <vector>

#include "backend_conformance/tracked.h"
#include "virgil/backend/backend.h"

namespace virgil::conformance::reference {

using Values = std::vector<double>;
using TrackedValues = std::vector<Tracked>;

struct SequenceShape {
  std::int64_t batch = 1;
  std::int64_t length = 1;
  std::int64_t channels = 1;
  [[nodiscard]] std::int64_t rows() const { return batch * length; }
  [[nodiscard]] std::int64_t num_elements() const { return batch * length * channels; }
};

/// The multipliers of a (B, T, C) tensor, all 1 without dropout.
[[nodiscard]] Values dropout_multipliers(const Dropout& dropout, const SequenceShape& shape);

[[nodiscard]] TrackedValues embedding_forward(const std::vector<std::int32_t>& tokens, const Values& wte, const Values& wpe,
                                              const SequenceShape& shape, std::int64_t first_position, const Dropout& dropout);
struct EmbeddingGradients {
  TrackedValues dwte;
  TrackedValues dwpe;
};
/// dwte and dwpe hold what the gradients are added to.
[[nodiscard]] EmbeddingGradients embedding_backward(const Values& dwte, const Values& dwpe, const Values& dout,
                                                    const std::vector<std::int32_t>& tokens, const SequenceShape& shape,
                                                    const Dropout& dropout);

/// Layernorm's values are centred, RMSNorm's are not.
struct NormForm {
  bool centred = true;
  double epsilon = 1e-5;
};
struct NormResult {
  TrackedValues out;
  TrackedValues mean;  // empty unless centred
  TrackedValues rstd;
};
/// bias may be empty. inp may already carry errors: those of a residual sum.
[[nodiscard]] NormResult norm_forward(const TrackedValues& inp, const Values& weight, const Values& bias,
                                      const NormForm& form = {});
[[nodiscard]] TrackedValues residual(const Values& residual, const Values& branch, const SequenceShape& shape,
                                     const Dropout& dropout);

struct NormGradients {
  TrackedValues dinp;
  TrackedValues dweight;
  TrackedValues dbias;
};
/// dinp, dweight, dbias hold what the gradients are added to; C is the size of weight. The errors of mean and rstd are not the
/// op's: they are exact operands. An empty mean stands for RMSNorm.
[[nodiscard]] NormGradients norm_backward(const NormGradients& start, const Values& dout, const Values& inp,
                                          const Values& weight, const Values& mean, const Values& rstd);

[[nodiscard]] TrackedValues dropout_backward(const Values& dout, const SequenceShape& shape, const Dropout& dropout);
/// dbias + column sums.
[[nodiscard]] TrackedValues bias_backward(const Values& dbias, const Values& dout);

[[nodiscard]] TrackedValues gelu_forward(const Values& inp);
/// dout may already carry errors: those of a product. tanh_error: how far, relatively, a tanh may be off besides.
[[nodiscard]] TrackedValues gelu_backward(const TrackedValues& dout, const Values& inp, double tanh_error = 0);
[[nodiscard]] inline TrackedValues gelu_backward(const Values& dout, const Values& inp) {
  return gelu_backward(TrackedValues(dout.begin(), dout.end()), inp);
}

[[nodiscard]] TrackedValues relu_squared_forward(const Values& inp);
[[nodiscard]] TrackedValues relu_squared_backward(const Values& dout, const Values& inp);

[[nodiscard]] TrackedValues glu_forward(const Values& gate, const Values& up, GluGate act);
struct GluGradients {
  TrackedValues dgate;
  TrackedValues dup;
};
[[nodiscard]] GluGradients glu_backward(const Values& dout, const Values& gate, const Values& up, GluGate act);

[[nodiscard]] TrackedValues causal_conv_forward(const Values& inp, const Values& weight, const SequenceShape& shape);
struct CausalConvGradients {
  TrackedValues dinp;
  TrackedValues dweight;
};
/// dweight holds what its gradient is added to.
[[nodiscard]] CausalConvGradients causal_conv_backward(const Values& dweight, const Values& dout, const Values& inp,
                                                       const Values& weight, const SequenceShape& shape);

struct CrossEntropyResult {
  TrackedValues losses;
  TrackedValues dlogits;
};
[[nodiscard]] CrossEntropyResult cross_entropy(const Values& logits, const std::vector<std::int32_t>& targets,
                                               std::int64_t vocab_size, float grad_scale);

[[nodiscard]] Tracked reduce_sum(const Values& inp);
[[nodiscard]] Tracked l2_norm(const Values& inp, float scale);

struct AdamWResult {
  TrackedValues param;
  TrackedValues m;
  TrackedValues v;
};
[[nodiscard]] AdamWResult adamw_update(const Values& param, const Values& m, const Values& v, const Values& grad, float norm,
                                       const AdamWStep& step);

[[nodiscard]] TrackedValues exact(const Values& values);
[[nodiscard]] Values values_of(const TrackedValues& tracked);

}  // namespace virgil::conformance::reference

// A call of any op, as a value: what a step consists of, and what a backend runs.
//
// Conventions of every op:
//   - Views carry shape and dtype; outputs first, then inputs, then scalars. check() throws InternalError, naming the op and
//   the
//     operand, when shapes or dtypes do not agree. Letters: B sequences, T positions, C channels, NH heads, HS head size
//     (C = NH * HS), N = B * T rows, V vocabulary, Vp padded vocabulary (rows V..Vp-1 exist but never win). Vectors of one
//     number per row (mean, rstd, losses, targets) may have any shape with that many elements.
//   - "+=" outputs accumulate; all others are overwritten. Outputs never overlap inputs unless the op says so.
//   - An absent view (TensorView{}) stands for an optional operand: the bias of a model without biases.
//   - Reductions have a fixed order: the same inputs give the same bits, for any number of threads.
//   - dtypes: unless said otherwise all float tensors of a call share one dtype; gradients of parameters (dwte, dwpe, dweight,
//     dbias), statistics (mean, rstd, lse), losses and norms are float32; tokens and targets are int32. Arithmetic is float32;
//     a 16-bit result is rounded once, to nearest, ties to even, when it is stored.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <variant>

#include "virgil/ops/access.h"
#include "virgil/ops/adamw.h"
#include "virgil/ops/attention.h"
#include "virgil/ops/causal_conv.h"
#include "virgil/ops/copies.h"
#include "virgil/ops/cross_entropy.h"
#include "virgil/ops/embedding.h"
#include "virgil/ops/gelu.h"
#include "virgil/ops/glu.h"
#include "virgil/ops/matmul.h"
#include "virgil/ops/muon.h"
#include "virgil/ops/norm.h"
#include "virgil/ops/reductions.h"
#include "virgil/ops/relu_squared.h"
#include "virgil/ops/rotary.h"

namespace virgil {

/// Every op there is. A backend has code for each, and the conformance suite a case: without one it does not compile.
using Call =
    std::variant<ops::SetZero, ops::Copy, ops::Convert, ops::EmbeddingForward, ops::EmbeddingBackward, ops::NormForward,
                 ops::ResidualNormForward, ops::NormBackward, ops::DropoutBackward, ops::Matmul, ops::MatmulGeluBackward,
                 ops::BiasBackward, ops::GeluForward, ops::GeluBackward, ops::ReluSquaredForward, ops::ReluSquaredBackward,
                 ops::GluForward, ops::GluBackward, ops::RotaryForward, ops::RotaryBackward, ops::AttentionForward,
                 ops::AttentionBackward, ops::AttentionDecode, ops::CausalConvForward, ops::CausalConvBackward,
                 ops::CausalConvDecode, ops::CrossEntropyForward, ops::CrossEntropyForwardBackward, ops::ReduceSum, ops::L2Norm,
                 ops::AdamWUpdate, ops::MuonMomentum, ops::ScaledSum, ops::NeuronMoments, ops::MuonApply>;

/// "norm_forward".
[[nodiscard]] std::string_view name_of(const Call& call);
/// What tables of times put it under, such as "layernorm".
[[nodiscard]] std::string_view family_of(const Call& call);
/// Its sizes in short: "m=64 n=384 k=128", or the shape of the largest operand.
[[nodiscard]] std::string sizes_text(const Call& call);
[[nodiscard]] ops::Cost cost_of(const Call& call);
/// Throws InternalError when operands do not agree.
void check(const Call& call);

/// Calls visit(name, view, access) for each operand that is present; the view is a TensorView& or ConstTensorView&, as the op
/// has it, const if the call is.
template <typename AnyCall, typename Visit>
void for_each_operand(AnyCall& call, const Visit& visit) {
  std::visit(
      [&](auto& op) {
        op.operands(op, [&](std::string_view name, auto& view, ops::Access access) {
          if (view.present()) visit(name, view, access);
        });
      },
      call);
}

}  // namespace virgil

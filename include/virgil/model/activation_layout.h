// The one table of activations: every tensor a training step writes between the tokens and the parameter gradients, with its
// lifetime, packed into one arena so that what is dead is reused.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "virgil/base/dtype.h"
#include "virgil/base/shape.h"
#include "virgil/model/model_config.h"

namespace virgil {

/// What the backward pass recomputes instead of storing (gradient checkpointing). Each level includes the one before; all give
/// the same bits.
enum class Recompute : std::uint8_t {
  kNone,
  kGelu,   // the MLP's GELU output
  kNorm,   // and the layernorm outputs
  kBlock,  // everything inside a block; only each block's input is stored
};
inline constexpr std::array<Recompute, 4> kAllRecompute = {Recompute::kNone, Recompute::kGelu, Recompute::kNorm,
                                                           Recompute::kBlock};
[[nodiscard]] std::string_view name_of(Recompute recompute);
/// none | gelu | norm | block; throws UserError on anything else.
[[nodiscard]] Recompute parse_recompute(std::string_view name);

/// Batch shape and policy of a training step.
struct StepShape {
  std::int64_t batch_size = 0;                    // B
  std::int64_t length = 0;                        // T
  bool training = true;                           // false: forward only, no gradients
  DType dtype = DType::kFloat32;                  // of weights and activations
  bool master_weights = true;                     // a float32 copy beside 16-bit weights in training; false: bfloat16 alone
  DType optimizer_state_dtype = DType::kFloat32;  // of AdamW's moments: float32 or bfloat16
  Recompute recompute = Recompute::kNone;
  std::int64_t micro_steps = 1;   // of an update: each leaves its sum of losses
  std::int64_t logits_chunk = 0;  // most tokens whose logits exist at one time; 0: as the backend wants
  bool share_arena = true;        // false: every activation keeps bytes of its own, to test that sharing changes nothing
};

/// Tensors of the schedule. Letters as in backend.h; those marked (l) exist once per layer.
enum class Activation : std::uint8_t {
  kResidual,       // (B, T, C) (l), input of block l; l = L is the last block's output
  kNorm1,          // (B, T, C) (l)
  kNorm1Mean,      // (B * T) float32 (l)
  kNorm1Rstd,      // (B * T) float32 (l)
  kQkv,            // (B, T, 3C) (l)
  kAttention,      // (B, T, C) (l)
  kLogSumExp,      // (B, NH, T) float32 (l)
  kResidualMid,    // (B, T, C) (l), between attention and MLP
  kNorm2,          // (B, T, C) (l)
  kNorm2Mean,      // (B * T) float32 (l)
  kNorm2Rstd,      // (B * T) float32 (l)
  kMlpHidden,      // (B, T, d_ff) (l), before GELU
  kGelu,           // (B, T, d_ff) (l)
  kBranch,         // (B, T, C) (l), output of a projection before it joins the residual
  kFinalNorm,      // (B, T, C)
  kFinalNormMean,  // (B * T) float32
  kFinalNormRstd,  // (B * T) float32
  kGradResidual,   // (B, T, C), gradient of the residual stream
  kGradBranch2,    // (B, T, C) (l), of the MLP's branch; only with dropout, else it is kGradResidual
  kGradMlp,        // (B, T, d_ff) (l)
  kGradNorm2,      // (B, T, C) (l)
  kGradBranch1,    // (B, T, C) (l), of the attention's branch; only with dropout, else it is kGradResidual
  kGradAttention,  // (B, T, C) (l)
  kGradQkv,        // (B, T, 3C) (l)
  kGradNorm1,      // (B, T, C) (l)
  kGradFinalNorm,  // (B, T, C)
};

/// The forward and the backward pass see the same tensor where it is stored, and different ones where it is recomputed.
enum class Pass : std::uint8_t { kForward, kBackward };

struct ActivationSpec {
  std::string name;  // "h.3.qkv", "h.3.qkv (recomputed)"
  DType dtype = DType::kFloat32;
  Shape shape;
  std::int64_t first_use = 0;  // index of the op in the schedule that writes it
  std::int64_t last_use = 0;   // index of the last op that reads it
  std::int64_t offset_bytes = 0;
  std::int64_t size_bytes = 0;  // rounded up to the alignment
};

/// Pure function of its arguments. Walks the schedule of a step op by op, notes when each tensor is first and last used, and
/// gives two tensors the same bytes only when they never live at the same time (largest first, lowest fitting offset).
class ActivationLayout {
 public:
  ActivationLayout(const ModelConfig& config, const StepShape& step, std::int64_t alignment_bytes);

  /// Throws InternalError when the schedule has no such tensor.
  [[nodiscard]] const ActivationSpec& find(Activation activation, std::int64_t layer, Pass pass) const;
  [[nodiscard]] std::span<const ActivationSpec> activations() const { return specs_; }
  [[nodiscard]] std::int64_t arena_bytes() const { return arena_bytes_; }
  /// What the same tensors would take side by side.
  [[nodiscard]] std::int64_t unshared_bytes() const;

 private:
  friend class ScheduleWalker;
  using Key = std::tuple<Activation, std::int64_t, Pass>;
  std::vector<ActivationSpec> specs_;
  std::map<Key, std::size_t> index_;
  std::int64_t arena_bytes_ = 0;
};

}  // namespace virgil

// The one table of parameters. Counting, planning, allocation, initialisation, weight decay, checkpoints and export all read
// it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "virgil/base/shape.h"
#include "virgil/model/model_config.h"

namespace virgil {

enum class InitKind : std::uint8_t { kZeros, kOnes, kNormal };

/// One parameter tensor. Offsets count elements in the flat buffer that holds all parameters (and, with the same offsets, all
/// gradients and each optimizer state).
struct ParameterSpec {
  std::string name;         // Hugging Face GPT-2's: "transformer.h.0.attn.c_attn.weight"
  Shape shape;              // as allocated
  Shape stored_shape;       // as in a checkpoint: without padding rows (a prefix of `shape`'s elements)
  std::int64_t offset = 0;  // elements
  InitKind init = InitKind::kZeros;
  float init_std = 0;    // for kNormal; padding rows are zero
  bool decayed = false;  // weight decay: matrices and embeddings, not vectors
  int layer = -1;        // -1: not in a layer

  [[nodiscard]] std::int64_t num_elements() const { return shape.num_elements(); }
};

/// A run of the flat buffer with one weight decay.
struct ParameterRange {
  std::int64_t offset = 0;
  std::int64_t num_elements = 0;  // includes alignment gaps, which are zero and stay zero
  bool decayed = false;
};

/// Pure function of a ModelConfig. Decayed tensors come first in the flat buffer, so that the optimizer makes two passes;
/// inside each group tensors follow the model from the embeddings to the head. Each starts at a multiple of kAlignment
/// elements.
class ParameterLayout {
 public:
  static constexpr std::int64_t kAlignment = 64;

  /// Throws UserError when the total overflows.
  explicit ParameterLayout(const ModelConfig& config);

  /// In model order (as a reader of the model meets them).
  [[nodiscard]] std::span<const ParameterSpec> parameters() const { return parameters_; }
  /// Throws InternalError for an unknown name.
  [[nodiscard]] const ParameterSpec& find(std::string_view name) const;
  [[nodiscard]] std::span<const ParameterRange> ranges() const { return ranges_; }
  /// Trained values: the sum of num_elements() (padding rows count, alignment gaps do not).
  [[nodiscard]] std::int64_t num_parameters() const { return num_parameters_; }
  /// As published for a model and as a checkpoint holds them: without padding rows.
  [[nodiscard]] std::int64_t num_stored_parameters() const { return num_stored_parameters_; }
  /// Elements of the flat buffer, gaps included.
  [[nodiscard]] std::int64_t flat_elements() const { return flat_elements_; }

 private:
  std::vector<ParameterSpec> parameters_;
  std::vector<ParameterRange> ranges_;
  std::int64_t num_parameters_ = 0;
  std::int64_t num_stored_parameters_ = 0;
  std::int64_t flat_elements_ = 0;
};

}  // namespace virgil

// How many parameters a model has, by part.
#pragma once

#include <cstdint>

#include "virgil/model/architecture.h"

namespace virgil {

/// Sums over the table of parameters; `stored` ones leave padding rows out.
struct ParameterBreakdown {
  std::int64_t token_embedding = 0;
  std::int64_t position_embedding = 0;
  std::int64_t attention = 0;    // of one layer, as the next two
  std::int64_t mlp = 0;          // feed-forward
  std::int64_t layer_norms = 0;  // of one layer
  std::int64_t per_layer = 0;
  std::int64_t all_layers = 0;
  std::int64_t final_norm = 0;
  std::int64_t head = 0;  // 0 when tied
  std::int64_t total = 0;
  std::int64_t stored_total = 0;
  friend bool operator==(const ParameterBreakdown&, const ParameterBreakdown&) = default;
};
/// Throws UserError on overflow.
[[nodiscard]] ParameterBreakdown count_parameters(const Architecture& model);

}  // namespace virgil

// The loss that a run will reach, before it starts: scaling laws of the field for large texts, and one of our own for small
// ones.
#pragma once

#include <span>
#include <string_view>

namespace virgil {

/// L = E + A / N'^alpha + B / D'^beta (Hoffmann et al. 2022), where repeated data and parameters beyond what the data call for
/// count ever less (Muennighoff et al. 2023):
///   D' = U + U r (1 - exp(-R / r))     U: tokens of the text that are seen at least once, R = D / U - 1
///   N' likewise, with U_N the smaller of N and the parameters that are optimal for U tokens.
struct ScalingLaw {
  std::string_view source;
  double irreducible = 0;  // E, nats a token
  double A = 0;
  double alpha = 0;
  double B = 0;
  double beta = 0;
  double bytes_per_token = 1;  // of the tokens that it counts
  double token_decay = 0;      // r of the data
  double parameter_decay = 0;  // r of the parameters; 0: they do not decay
  double most_parameters = 0;  // larger models count as this one, as none were tried; 0: all count
};

/// Fitted on English web text: Hoffmann et al. 2022, its refit by Besiroglu et al. 2024, and Muennighoff et al. 2023. They hold
/// from about 10M parameters and 100M tokens on.
[[nodiscard]] std::span<const ScalingLaw> published_laws();
/// Fitted on runs of this program on two texts of a megabyte, by characters (docs/budget.md has them).
[[nodiscard]] const ScalingLaw& small_text_law();

struct TrainingSize {
  double parameters = 0;
  double bytes_seen = 0;     // of text, over all passes
  double bytes_of_text = 0;  // to train on
};

/// Nats a byte. Requires positive sizes.
[[nodiscard]] double loss_by(const ScalingLaw& law, const TrainingSize& size);

/// What the forecast rests on.
enum class LossBasis {
  kSmallText,  // small_text_law() where it was fitted
  kBetween,    // more than it was fitted on, less than the published ones were
  kPublished,
};

/// Of the loss on held-out text of the same kind, in nats a byte.
struct LossForecast {
  double expected = 0;
  double low = 0;
  double high = 0;
  LossBasis basis = LossBasis::kSmallText;
};

/// Below the sizes that a law was fitted on it tells too much, so the lower of both kinds counts. The range holds what the laws
/// differ in and how far texts differ from those that they were fitted on.
[[nodiscard]] LossForecast forecast_loss(const TrainingSize& size);

}  // namespace virgil

#include "virgil/plan/loss_forecast.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>

namespace virgil {

namespace {

constexpr double kEnglishBytesPerToken = 4.4;  // of web text in vocabularies of 32K to 50K ids
constexpr double kTokenDecay = 15.387756;      // Muennighoff et al. 2023, appendix A
constexpr double kParameterDecay = 5.309743;

constexpr ScalingLaw english_law(std::string_view source, double irreducible, double A, double alpha, double B, double beta) {
  return {.source = source,
          .irreducible = irreducible,
          .A = A,
          .alpha = alpha,
          .B = B,
          .beta = beta,
          .bytes_per_token = kEnglishBytesPerToken,
          .token_decay = kTokenDecay,
          .parameter_decay = kParameterDecay,
          .most_parameters = 0};
}

constexpr std::array kPublished = {
    english_law("Muennighoff et al. 2023", 1.8692, 520.9, 0.3526596, 1487.7, 0.3526596),
    english_law("Hoffmann et al. 2022", 1.69, 406.4, 0.34, 410.7, 0.28),
    english_law("Besiroglu et al. 2024", 1.8172, 482.01, 0.3478, 2085.43, 0.3658),
};

constexpr ScalingLaw kSmallText = {.source = "runs of this program",
                                   .irreducible = 0.9995,
                                   .A = 5.8765,
                                   .alpha = 0.1901,
                                   .B = 2632.9,
                                   .beta = 0.5928,
                                   .bytes_per_token = 1,
                                   .token_decay = kTokenDecay,
                                   .parameter_decay = 0,
                                   .most_parameters = 11e6};
/// It was fitted on texts of at most so many bytes, in one pass or in many.
constexpr double kSmallTextMost = 2e6;
/// Published laws were fitted on at least so many.
constexpr double kPublishedLeast = 100e6 * kEnglishBytesPerToken;

constexpr double kSmallTextError = 0.15;
constexpr double kBetweenError = 0.25;
constexpr double kKindOfTextError = 0.1;

double decayed(double unique, double repetitions, double decay) {
  return unique + unique * decay * (1 - std::exp(-repetitions / decay));
}

}  // namespace

std::span<const ScalingLaw> published_laws() { return kPublished; }
const ScalingLaw& small_text_law() { return kSmallText; }

double loss_by(const ScalingLaw& law, const TrainingSize& size) {
  const double tokens = size.bytes_seen / law.bytes_per_token;
  const double unique = std::min(tokens, size.bytes_of_text / law.bytes_per_token);
  const double data = decayed(unique, tokens / unique - 1, law.token_decay);
  double parameters = law.most_parameters > 0 ? std::min(size.parameters, law.most_parameters) : size.parameters;
  if (law.parameter_decay > 0) {
    // From d L / d N = 0 at a fixed N D.
    const double ratio = std::pow(law.alpha * law.A / (law.beta * law.B), 1 / (law.alpha + law.beta));
    const double optimal = std::pow(unique * ratio, law.beta / law.alpha) * ratio;
    const double useful = std::min(parameters, optimal);
    parameters = decayed(useful, parameters / useful - 1, law.parameter_decay);
  }
  const double nats = law.irreducible + law.A / std::pow(parameters, law.alpha) + law.B / std::pow(data, law.beta);
  return nats / law.bytes_per_token;
}

LossForecast forecast_loss(const TrainingSize& size) {
  const double small = loss_by(kSmallText, size);
  const double published = loss_by(kPublished.front(), size);
  if (published < small && size.bytes_seen >= kPublishedLeast) {
    LossForecast forecast{.expected = published, .low = published, .high = published, .basis = LossBasis::kPublished};
    for (const ScalingLaw& law : kPublished) {
      forecast.low = std::min(forecast.low, loss_by(law, size));
      forecast.high = std::max(forecast.high, loss_by(law, size));
    }
    forecast.low *= 1 - kKindOfTextError;
    forecast.high *= 1 + kKindOfTextError;
    return forecast;
  }
  const bool is_fitted = std::min(size.bytes_seen, size.bytes_of_text) <= kSmallTextMost;
  const double error = is_fitted ? kSmallTextError : kBetweenError;
  const double expected = std::min(small, published);
  return {.expected = expected,
          .low = expected * (1 - error),
          .high = expected * (1 + error),
          .basis = is_fitted ? LossBasis::kSmallText : LossBasis::kBetween};
}

}  // namespace virgil

#include "virgil/plan/loss_forecast.h"

#include <gtest/gtest.h>

#include <string_view>

#include "virgil/base/error.h"

namespace virgil {
namespace {

constexpr double kBytesPerToken = 4.4;

const ScalingLaw& law_of(std::string_view source) {
  for (const ScalingLaw& law : published_laws()) {
    if (law.source == source) return law;
  }
  throw InternalError("no such law");
}

double nats_a_token(const ScalingLaw& law, double parameters, double tokens, double text_tokens) {
  return kBytesPerToken * loss_by(law, {.parameters = parameters,
                                        .bytes_seen = tokens * kBytesPerToken,
                                        .bytes_of_text = text_tokens * kBytesPerToken});
}

TEST(LossForecast, HoffmannsLawAgreesWithItsFormula) {
  // 1.69 + 406.4 / (1e9)^0.34 + 410.7 / (1e12)^0.28: so many tokens call for more parameters, so that all count.
  EXPECT_NEAR(nats_a_token(law_of("Hoffmann et al. 2022"), 1e9, 1e12, 1e12), 2.22324, 1e-5);
}

TEST(LossForecast, MuennighoffsLawAgreesWithItsFormulaInFloat64) {
  const ScalingLaw& law = law_of("Muennighoff et al. 2023");
  EXPECT_NEAR(nats_a_token(law, 2.8e9, 55e9, 55e9), 2.35449, 1e-4);
  // 7 passes over 25 G tokens: U_N = 0.051 U_D = 1.275 G, and both decay.
  EXPECT_NEAR(nats_a_token(law, 8.7e9, 178e9, 25e9), 2.22692, 1e-4);
}

TEST(LossForecast, FourPassesAreAlmostAsGoodAsNewText) {
  const ScalingLaw& law = law_of("Muennighoff et al. 2023");
  const double fresh = nats_a_token(law, 1e9, 20e9, 20e9);
  const double repeated = nats_a_token(law, 1e9, 20e9, 5e9);
  EXPECT_GT(repeated, fresh);
  EXPECT_LT(repeated, 1.015 * fresh);
  const double worn = nats_a_token(law, 1e9, 20e9, 20e9 / 64);
  EXPECT_GT(worn, 1.05 * fresh);
}

TEST(LossForecast, MoreOfAnythingNeverRaisesIt) {
  for (const double parameters : {1e5, 1e6, 1e7, 1e8, 1e9, 1e11}) {
    for (const double bytes : {1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e12}) {
      const TrainingSize size{.parameters = parameters, .bytes_seen = bytes, .bytes_of_text = 1e8};
      const LossForecast forecast = forecast_loss(size);
      EXPECT_GT(forecast.low, 0);
      EXPECT_LT(forecast.low, forecast.expected);
      EXPECT_LT(forecast.expected, forecast.high);
      TrainingSize larger = size;
      larger.parameters *= 2;
      EXPECT_LE(forecast_loss(larger).expected, forecast.expected);
      TrainingSize longer = size;
      longer.bytes_seen *= 2;
      EXPECT_LE(forecast_loss(longer).expected, forecast.expected);
    }
  }
}

TEST(LossForecast, TellsWhatItRestsOn) {
  const auto basis = [](double bytes) {
    return forecast_loss({.parameters = 1e8, .bytes_seen = bytes, .bytes_of_text = bytes}).basis;
  };
  EXPECT_EQ(basis(1e6), LossBasis::kSmallText);
  EXPECT_EQ(basis(1e8), LossBasis::kBetween);
  EXPECT_EQ(basis(1e11), LossBasis::kPublished);
}

TEST(LossForecast, PublishedLawsAgreeWithinTheRangeThatIsTold) {
  const TrainingSize size{.parameters = 1e9, .bytes_seen = 20e9 * kBytesPerToken, .bytes_of_text = 20e9 * kBytesPerToken};
  const LossForecast forecast = forecast_loss(size);
  for (const ScalingLaw& law : published_laws()) {
    EXPECT_GT(loss_by(law, size), forecast.low) << law.source;
    EXPECT_LT(loss_by(law, size), forecast.high) << law.source;
  }
}

}  // namespace
}  // namespace virgil

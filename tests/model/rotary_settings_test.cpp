#include "virgil/model/rotary_settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>

#include "support/repository.h"
#include "support/temporary_directory.h"
#include "support/user_error.h"
#include "virgil/base/json.h"
#include "virgil/model/family.h"

namespace virgil {
namespace {

using test_support::user_error_of;
using testing::HasSubstr;

// As transformers computes them from the same config.json: tests/reference/make_rope_golden.py.
TEST(RotarySettings, FrequenciesAreThoseOfTransformers) {
  const auto cases = nlohmann::ordered_json::parse(
      test_support::read_all(test_support::repository_path("tests/golden/rope_frequencies.json")));
  ASSERT_EQ(cases.size(), 8U);
  for (const auto& golden : cases) {
    SCOPED_TRACE(golden.at("name").get<std::string>());
    const Architecture model = trainable(kLlamaFamily.read(JsonObject(golden.at("config"), "config")));
    const RotaryAngles angles = rotary_angles(model.rotary, model.head_size, model.block_size);
    const auto& expected = golden.at("frequencies");
    ASSERT_EQ(static_cast<std::size_t>(angles.pairs), expected.size());
    // Both are rounded to float32; transformers takes powers, sums and quotients in it too.
    for (std::size_t i = 0; i < expected.size(); ++i) {
      const double frequency = expected[i];
      EXPECT_NEAR(angles.frequency[i], frequency, 1e-6 * frequency) << "pair " << i;
    }
    EXPECT_NEAR(angles.scale, golden.at("attention_scaling").get<double>(), 1e-6);
  }
}

TEST(RotarySettings, AreWrittenAndReadInBothSpellings) {
  const auto cases = nlohmann::ordered_json::parse(
      test_support::read_all(test_support::repository_path("tests/golden/rope_frequencies.json")));
  for (const auto& golden : cases) {
    SCOPED_TRACE(golden.at("name").get<std::string>());
    const Architecture model = trainable(kLlamaFamily.read(JsonObject(golden.at("config"), "config")));
    nlohmann::ordered_json written = kLlamaFamily.write(model, -1);
    EXPECT_EQ(trainable(kLlamaFamily.read(JsonObject(written, "written"))).rotary, model.rotary);
    written.erase("rope_parameters");
    EXPECT_EQ(trainable(kLlamaFamily.read(JsonObject(written, "of transformers 4"))).rotary, model.rotary);
  }
}

TEST(RotarySettings, ScalingsAreTexts) {
  for (const char* text :
       {"none", "linear:factor=2.5", "dynamic:factor=2", "yarn:factor=4,original=4096",
        "yarn:factor=4,original=32,beta_fast=16,attention=1.25,whole_pairs=0", "llama3:factor=8,original=8192,low=2,high=6"}) {
    EXPECT_EQ(to_string(parse_rotary_scaling(text)), text);
  }
  EXPECT_EQ(parse_rotary_scaling("llama3:factor=8,low=1,high=4,original=8192"),
            (RotaryScaling{.kind = RotaryScalingKind::kLlama3, .factor = 8, .original = 8192}));
}

TEST(RotarySettings, RefuseWhatIsNoScaling) {
  const auto refusal = [](const char* text) { return user_error_of([&] { (void)parse_rotary_scaling(text); }); };
  EXPECT_THAT(refusal("ntk:factor=2"), HasSubstr("no such kind"));
  EXPECT_THAT(refusal(""), HasSubstr("no such kind"));
  EXPECT_THAT(refusal("yarn"), HasSubstr("its numbers are missing"));
  EXPECT_THAT(refusal("none:factor=2"), HasSubstr("none has no numbers"));
  EXPECT_THAT(refusal("linear:factor"), HasSubstr("is not NAME=NUMBER"));
  EXPECT_THAT(refusal("linear:factor=two"), HasSubstr("is not a number"));
  EXPECT_THAT(refusal("linear:factor=0.5"), HasSubstr("less than 1"));
  EXPECT_THAT(refusal("linear:factor=inf"), HasSubstr("factor"));
  EXPECT_THAT(refusal("linear:factor=2,original=64"), HasSubstr("linear has no"));
  EXPECT_THAT(refusal("yarn:factor=2,original=1.5"), HasSubstr("a number of positions"));
  EXPECT_THAT(refusal("yarn:factor=2,low=1"), HasSubstr("yarn has no"));
  EXPECT_THAT(refusal("llama3:factor=2,low=4,high=4"), HasSubstr("high above low"));
}

TEST(RotarySettings, OfAPartOfTheHeadTurnTheFirstElements) {
  const RotaryAngles angles = rotary_angles({.theta = 100, .size = 8}, 32, 64);
  EXPECT_EQ(angles.pairs, 4);
  EXPECT_FLOAT_EQ(angles.frequency[1], static_cast<float>(std::pow(100.0, -0.25)));
}

}  // namespace
}  // namespace virgil

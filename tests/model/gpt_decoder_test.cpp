#include "virgil/model/gpt_decoder.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "model/decoding_fixture.h"
#include "virgil/base/error.h"

namespace virgil {
namespace {

struct DecodingVariant {
  const char* name;
  DType dtype;
  std::int64_t conv_taps = 0;
  bool is_llama = false;
};

class Decoding : public test_support::DecodingFixture, public testing::TestWithParam<DecodingVariant> {
 protected:
  Decoding() : DecodingFixture(GetParam().dtype, 2, GetParam().conv_taps, GetParam().is_llama) { compute_full_logits(); }
};

TEST_P(Decoding, TokenByTokenGivesTheLogitsOfTheFullPass) {
  for (std::int64_t position = 0; position < kLength; ++position) {
    EXPECT_EQ(decoder_.position(), position);
    expect_full_logits(decoder_.append(columns(position, 1)), position);
  }
  EXPECT_EQ(decoder_.remaining(), 0);
}

TEST_P(Decoding, APromptInPiecesGivesTheLogitsOfTheFullPass) {
  expect_full_logits(decoder_.append(columns(0, kLength)), kLength - 1);
  decoder_.reset();
  expect_full_logits(decoder_.append(columns(0, 7)), 6);
  expect_full_logits(decoder_.append(columns(7, 20)), 26);
  expect_full_logits(decoder_.append(columns(27, 1)), 27);
  EXPECT_EQ(decoder_.remaining(), kLength - 28);
}

TEST_P(Decoding, ForgetsOnReset) {
  (void)decoder_.append(columns(30, 12));
  decoder_.reset();
  expect_full_logits(decoder_.append(columns(0, 5)), 4);
}

TEST_P(Decoding, ForgetsTheEndOnRewind) {
  (void)decoder_.append(columns(0, 20));
  (void)decoder_.append(columns(40, 5));
  decoder_.rewind(20);
  EXPECT_EQ(decoder_.position(), 20);
  expect_full_logits(decoder_.append(columns(20, 3)), 22);
  decoder_.rewind(22);
  expect_full_logits(decoder_.append(columns(22, 1)), 22);
  EXPECT_THROW(decoder_.rewind(24), InternalError) << "the caches hold nothing there";
  EXPECT_THROW(decoder_.rewind(-1), InternalError);
}

TEST_P(Decoding, RepeatsBitForBit) {
  const std::span<const float> view = decoder_.append(columns(0, 33));
  const std::vector<float> first(view.begin(), view.end());
  decoder_.reset();
  EXPECT_TRUE(std::ranges::equal(decoder_.append(columns(0, 33)), first));
}

TEST_P(Decoding, RefusesTokensThatDoNotFit) {
  EXPECT_THROW((void)decoder_.append(std::vector<std::int32_t>{}), InternalError);
  EXPECT_THROW((void)decoder_.append(std::vector<std::int32_t>(kSequences + 1)), InternalError);
  (void)decoder_.append(columns(0, kLength));
  EXPECT_THROW((void)decoder_.append(columns(0, 1)), InternalError);
}

/// A model whose parameters can be spoilt.
class Inspection : public test_support::DecodingFixture, public testing::Test {
 protected:
  Inspection() : DecodingFixture(DType::kFloat32, 1) {}

  std::span<float> parameter(std::string_view name) {
    const ParameterSpec& spec = plan_.parameters().find(name);
    auto* begin = reinterpret_cast<float*>(memory_.bytes(PlanSlot::kWeights).data()) + spec.offset;
    return {begin, static_cast<std::size_t>(spec.num_elements())};
  }
  std::string found() {
    const auto output = decoder_.find_non_finite(std::span(batch_.inputs).first(kLength));
    return output ? fmt::format("{} at {}", output->name, output->position) : "nothing";
  }
};

TEST_F(Inspection, FindsWhereAValueThatIsNotFiniteBegins) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(found(), "nothing");
  EXPECT_EQ(decoder_.position(), 0);
  const auto spoilt = [&](std::string_view name, std::size_t element, float value) {
    const float before = std::exchange(parameter(name)[element], value);
    const std::string text = found();
    parameter(name)[element] = before;
    return text;
  };
  EXPECT_EQ(spoilt("transformer.h.1.mlp.c_fc.bias", 3, kInfinity), "transformer.h.1.mlp.c_fc at 0");
  EXPECT_EQ(spoilt("transformer.h.0.attn.c_attn.bias", 3, -kInfinity), "transformer.h.0.attn.c_attn at 0");
  EXPECT_EQ(spoilt("transformer.h.1.ln_1.weight", 3, std::numeric_limits<float>::quiet_NaN()), "transformer.h.1.ln_1 at 0");
  EXPECT_EQ(spoilt("transformer.ln_f.bias", 3, kInfinity), "transformer.ln_f at 0");
  // The 70th position, in the second piece that is read.
  EXPECT_EQ(spoilt("transformer.wpe.weight", 70 * 48, kInfinity), "transformer.wte + transformer.wpe at 70");
  // Finite weights whose product is not.
  for (float& weight : parameter("transformer.h.1.mlp.c_fc.weight")) weight = 3e38F;
  EXPECT_EQ(found(), "transformer.h.1.mlp.c_fc at 0");
}

/// The same weights, which bfloat16 holds, in float32 and in bfloat16.
class DecodingInBFloat16 : public testing::Test {
 protected:
  struct Model : test_support::DecodingFixture {
    explicit Model(DType dtype) : DecodingFixture(dtype, 1) {
      const FlatTensor& master = gpt_.master_weights();
      std::vector<float> weights(static_cast<std::size_t>(plan_.parameters().flat_elements()));
      copy_floats_to_host(*backend_, weights, master.view());
      for (float& weight : weights) weight = static_cast<float>(BFloat16(weight));
      copy_floats_to_device(*backend_, master.view(), weights);
      gpt_.refresh_weights();
    }
    using DecodingFixture::columns;
    using DecodingFixture::compute_full_logits;
    using DecodingFixture::decoder_;
    using DecodingFixture::expect_near_full_logits;
    using DecodingFixture::kLength;
    using DecodingFixture::plan_;
    using DecodingFixture::scale_;
  };
};

TEST_F(DecodingInBFloat16, LogitsAreThoseOfFloat32) {
  Model exact(DType::kFloat32);
  Model rounded(DType::kBFloat16);
  exact.compute_full_logits();
  // As DecodingFixture::expect_full_logits: of the two paths one is rounded to bfloat16, once for each tensor stored, and
  // single logits lie within six standard deviations.
  const double roundings = 11.0 * static_cast<double>(exact.plan_.model().num_layers) + 2;
  const double bound = 6 * std::sqrt(roundings) * 0x1.0p-8 * exact.scale_;
  std::span<const float> logits = rounded.decoder_.append(rounded.columns(0, 20));
  for (std::int64_t position = 20;; ++position) {
    exact.expect_near_full_logits(logits, position - 1, bound);
    if (position == Model::kLength) break;
    logits = rounded.decoder_.append(rounded.columns(position, 1));
  }
}

INSTANTIATE_TEST_SUITE_P(Variants, Decoding,
                         testing::Values(DecodingVariant{"float32", DType::kFloat32},
                                         DecodingVariant{"bfloat16", DType::kBFloat16},
                                         DecodingVariant{"float32_conv", DType::kFloat32, 3},
                                         DecodingVariant{"bfloat16_conv", DType::kBFloat16, 3},
                                         DecodingVariant{"float32_llama", DType::kFloat32, 0, true},
                                         DecodingVariant{"bfloat16_llama", DType::kBFloat16, 0, true}),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace virgil

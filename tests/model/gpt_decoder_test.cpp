#include "virgil/model/gpt_decoder.h"

#include <gtest/gtest.h>

#include "support/test_model.h"
#include "virgil/base/error.h"

namespace virgil {
namespace {

using test_support::TestBatch;

constexpr std::int64_t kSequences = 3;
constexpr std::int64_t kLength = 90;  // pieces of 64, 16, 4, 4, 1 and 1 rows
constexpr std::int64_t kVocabulary = 65;

/// One plan for full forward passes and for decoding, as during training.
class Decoding : public testing::TestWithParam<DType> {
 protected:
  Decoding()
      : backend_(make_cpu_backend({.num_threads = 2})),
        plan_(ModelConfig({.num_layers = 2,
                           .num_heads = 2,
                           .embedding_dim = 48,
                           .block_size = 96,
                           .vocab_size = kVocabulary,
                           .bias = true}),
              {.step = StepShape{.batch_size = kSequences, .length = kLength, .dtype = GetParam()},
               .decode = DecodeShape{.num_sequences = kSequences, .max_length = kLength, .dtype = GetParam()}},
              backend_->traits()),
        memory_(plan_, backend_->memory()),
        gpt_(*backend_, plan_, memory_),
        decoder_(*backend_, plan_, memory_),
        batch_(TestBatch::random(plan_.model(), kSequences, kLength, 3)) {
    for (const PlanItem& item : plan_.items()) std::ranges::fill(memory_.bytes(item.slot), std::byte{0xFF});
    initialize_parameters(*backend_, plan_.parameters(), gpt_.master_weights(), 1);
    gpt_.refresh_weights();
    full_.resize(static_cast<std::size_t>(kSequences * kLength * kVocabulary));
    gpt_.load_batch(batch_.inputs, batch_.targets);
    (void)gpt_.evaluate_with_logits(full_);
    for (const float logit : full_) scale_ = std::max(scale_, std::fabs(static_cast<double>(logit)));
  }

  /// Columns [first, first + count) of every sequence.
  [[nodiscard]] std::vector<std::int32_t> columns(std::int64_t first, std::int64_t count) const {
    std::vector<std::int32_t> tokens;
    for (std::int64_t s = 0; s < kSequences; ++s) {
      const auto begin = batch_.inputs.begin() + s * kLength + first;
      tokens.insert(tokens.end(), begin, begin + count);
    }
    return tokens;
  }

  /// The same sums in another order: each of the two is off by probable_gamma of the path at most.
  void expect_full_logits(std::span<const float> logits, std::int64_t position) const {
    // In bfloat16 each of a layer's eleven stored tensors (gpt_bfloat16_test.cpp), the final norm and the logits are rounded.
    const double roundings = 11.0 * static_cast<double>(plan_.model().num_layers()) + 2;
    const double gamma = GetParam() == DType::kBFloat16
                             ? 6 * std::sqrt(roundings) * 0x1.0p-8
                             : test_support::probable_gamma(test_support::forward_path_length(plan_.model(), kLength));
    const double bound = 2 * gamma * scale_;
    ASSERT_EQ(logits.size(), static_cast<std::size_t>(kSequences * kVocabulary));
    for (std::int64_t s = 0; s < kSequences; ++s) {
      for (std::int64_t v = 0; v < kVocabulary; ++v) {
        const auto expected = full_[static_cast<std::size_t>((s * kLength + position) * kVocabulary + v)];
        ASSERT_NEAR(logits[static_cast<std::size_t>(s * kVocabulary + v)], expected, bound)
            << "sequence " << s << ", position " << position << ", id " << v;
      }
    }
  }

  std::unique_ptr<Backend> backend_;
  MemoryPlan plan_;
  PlannedMemory memory_;
  Gpt gpt_;
  GptDecoder decoder_;
  TestBatch batch_;
  std::vector<float> full_;
  double scale_ = 0;
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

INSTANTIATE_TEST_SUITE_P(Types, Decoding, testing::Values(DType::kFloat32, DType::kBFloat16),
                         [](const auto& info) { return std::string(name_of(info.param)); });

}  // namespace
}  // namespace virgil

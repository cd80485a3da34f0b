#include <gtest/gtest.h>

#include "support/test_model.h"
#include "virgil/base/error.h"
#include "virgil/model/gpt_decoder.h"

namespace virgil {
namespace {

using test_support::TestBatch;

constexpr std::int64_t kSequences = 3;
constexpr std::int64_t kLength = 90;
constexpr std::int64_t kVocabulary = 65;

/// Sequences with a common beginning, decoded and read in one pass.
class SharedDecoding : public testing::TestWithParam<std::int64_t> {
 protected:
  SharedDecoding()
      : backend_(make_cpu_backend({.num_threads = 1})),
        plan_(ModelConfig({.num_layers = 2,
                           .num_heads = 2,
                           .embedding_dim = 48,
                           .block_size = 96,
                           .vocab_size = kVocabulary,
                           .bias = true}),
              {.step = StepShape{.batch_size = kSequences, .length = kLength, .training = false},
               .decode = DecodeShape{.num_sequences = kSequences, .max_length = kLength}},
              backend_->traits()),
        memory_(plan_, backend_->memory()),
        gpt_(*backend_, plan_, memory_),
        decoder_(*backend_, plan_, memory_) {
    for (const PlanItem& item : plan_.items()) std::ranges::fill(memory_.bytes(item.slot), std::byte{0xFF});
    initialize_parameters(*backend_, plan_.parameters(), gpt_.master_weights(), 1);
  }

  std::unique_ptr<Backend> backend_;
  MemoryPlan plan_;
  PlannedMemory memory_;
  Gpt gpt_;
  GptDecoder decoder_;
};

TEST_P(SharedDecoding, GivesTheLogitsOfTheFullPass) {
  const std::int64_t shared = GetParam();
  TestBatch batch = TestBatch::random(plan_.model(), kSequences, kLength, 3);
  for (std::int64_t s = 1; s < kSequences; ++s) {
    std::copy_n(batch.inputs.begin(), shared, batch.inputs.begin() + s * kLength);
  }
  std::vector<float> full(static_cast<std::size_t>(kSequences * kLength * kVocabulary));
  gpt_.load_batch(batch.inputs, batch.targets);
  (void)gpt_.evaluate_with_logits(full);
  double scale = 0;
  for (const float logit : full) scale = std::max(scale, std::fabs(static_cast<double>(logit)));
  // As in gpt_decoder_test: two orders of the same sums.
  const double bound = 2 * test_support::probable_gamma(test_support::forward_path_length(plan_.model(), kLength)) * scale;

  const auto expect_logits = [&](std::span<const float> logits, std::int64_t position) {
    for (std::int64_t s = 0; s < kSequences; ++s) {
      for (std::int64_t v = 0; v < kVocabulary; ++v) {
        const float expected = full[static_cast<std::size_t>((s * kLength + position) * kVocabulary + v)];
        ASSERT_NEAR(logits[static_cast<std::size_t>(s * kVocabulary + v)], expected, bound)
            << "sequence " << s << ", position " << position << ", id " << v;
      }
    }
  };
  expect_logits(decoder_.append_shared(std::span(batch.inputs).first(static_cast<std::size_t>(shared))), shared - 1);
  EXPECT_EQ(decoder_.position(), shared);
  for (std::int64_t position = shared; position < kLength; ++position) {
    std::vector<std::int32_t> next;
    for (std::int64_t s = 0; s < kSequences; ++s)
      next.push_back(batch.inputs[static_cast<std::size_t>(s * kLength + position)]);
    expect_logits(decoder_.append(next), position);
  }
}

INSTANTIATE_TEST_SUITE_P(Prompts, SharedDecoding, testing::Values(1, 5, 64, 85, kLength), testing::PrintToStringParamName());

TEST_F(SharedDecoding, IsForTheBeginningOnly) {
  (void)decoder_.append_shared(std::vector<std::int32_t>{1, 2});
  EXPECT_THROW((void)decoder_.append_shared(std::vector<std::int32_t>{3}), InternalError);
  decoder_.reset();
  EXPECT_NO_THROW((void)decoder_.append_shared(std::vector<std::int32_t>{3}));
}

}  // namespace
}  // namespace virgil

// A model that decodes, beside the logits of full passes over the same tokens.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "support/llama_model.h"
#include "support/test_model.h"
#include "virgil/model/gpt_decoder.h"

namespace virgil::test_support {

/// One plan for full forward passes and for decoding, as during training.
class DecodingFixture {
 protected:
  static constexpr std::int64_t kSequences = 3;
  static constexpr std::int64_t kLength = 90;  // pieces of 64, 16, 4, 4, 1 and 1 rows
  static constexpr std::int64_t kVocabulary = 65;

  DecodingFixture(DType dtype, int num_threads, std::int64_t conv_taps = 0, bool is_llama = false)
      : backend_(make_cpu_backend({.num_threads = num_threads})),
        plan_(trainable(sizes_of(conv_taps, is_llama)),
              {.step = StepShape{.batch_size = kSequences, .length = kLength, .dtype = dtype},
               .decode = DecodeShape{.num_sequences = kSequences, .max_length = kLength, .dtype = dtype}},
              backend_->traits()),
        memory_(plan_, backend_->memory()),
        gpt_(*backend_, plan_, memory_),
        decoder_(*backend_, plan_, memory_),
        batch_(TestBatch::random(plan_.model(), kSequences, kLength, 3)) {
    for (const PlanItem& item : plan_.items()) std::ranges::fill(memory_.bytes(item.slot), std::byte{0xFF});
    initialize_parameters(*backend_, plan_.parameters(), gpt_.master_weights(), 1);
    spread_convolutions();
    gpt_.refresh_weights();
  }

  [[nodiscard]] static Architecture sizes_of(std::int64_t conv_taps, bool is_llama) {
    const Architecture sizes{.family = conv_taps == 0 ? &kGpt2Family : &kVirgilFamily,
                             .num_layers = 2,
                             .num_heads = 2,
                             .embedding_dim = 48,
                             .block_size = 96,
                             .vocab_size = kVocabulary,
                             .conv_taps = conv_taps,
                             .biases = kAllBiases};
    return is_llama ? as_llama(sizes) : sizes;
  }

  /// Computes the logits of all positions of batch_ in one pass.
  void compute_full_logits() {
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

  /// `logits`, (kSequences, kVocabulary), are those of a position in the full pass: the same sums in another order, each of the
  /// two off by probable_gamma of the path at most.
  void expect_full_logits(std::span<const float> logits, std::int64_t position) const {
    // In bfloat16 each of a layer's eleven stored tensors (gpt_bfloat16_test.cpp), the final norm and the logits are rounded.
    const double roundings = 11.0 * static_cast<double>(plan_.model().num_layers) + 2;
    const double gamma = plan_.dtype() == DType::kBFloat16 ? 6 * std::sqrt(roundings) * 0x1.0p-8
                                                           : probable_gamma(forward_path_length(plan_.model(), kLength));
    expect_near_full_logits(logits, position, 2 * gamma * scale_);
  }

  void expect_near_full_logits(std::span<const float> logits, std::int64_t position, double bound) const {
    ASSERT_EQ(logits.size(), static_cast<std::size_t>(kSequences * kVocabulary));
    for (std::int64_t s = 0; s < kSequences; ++s) {
      for (std::int64_t v = 0; v < kVocabulary; ++v) {
        const auto expected = full_[static_cast<std::size_t>((s * kLength + position) * kVocabulary + v)];
        ASSERT_NEAR(logits[static_cast<std::size_t>(s * kVocabulary + v)], expected, bound)
            << "sequence " << s << ", position " << position << ", id " << v;
      }
    }
  }

  /// Gives convolutions weights as after training: those that they begin with are zero.
  void spread_convolutions() {
    for (const ParameterSpec& spec : plan_.parameters().parameters()) {
      if (!spec.name.ends_with(".conv.weight")) continue;
      auto* masters = reinterpret_cast<float*>(memory_.bytes(plan_.master_slot()).data()) + spec.offset;
      for (std::int64_t i = 0; i < spec.num_elements(); ++i) {
        masters[i] = 0.5F * random_normal({9, RandomPurpose::kInit, 0, 0}, static_cast<std::uint64_t>(spec.offset + i));
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
  double scale_ = 0;  // the largest of full_
};

}  // namespace virgil::test_support

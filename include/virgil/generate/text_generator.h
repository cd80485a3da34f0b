// Text from a model: prompt in, tokens out, one by one.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "virgil/generate/token_sampler.h"
#include "virgil/model/gpt_decoder.h"

namespace virgil {

struct GenerationOptions {
  SamplingOptions sampling;
  std::int64_t max_new_tokens = 200;
  std::uint64_t seed = 0;
  std::uint32_t step = 0;        // training step or number of the prompt, so that their samples differ
  std::int64_t num_choices = 0;  // ids below this may be chosen: what the tokenizer knows of a padded vocabulary; 0: all
};

/// Throws UserError naming the option when one is out of range.
void check_generation_options(const GenerationOptions& options);

/// "`what` are NaN or infinite (first the output of ..., at position ...)", with what to do about it.
[[nodiscard]] std::string describe_non_finite(std::string_view what, const std::optional<NonFiniteOutput>& first, DType dtype);

/// Generates with all sequences of a decoder at once; they share the prompt, which is read once.
///
/// Context rule: the model sees at most max_length tokens (of the decoder). A prompt that leaves no room for a token keeps its
/// last max_length - 1 tokens; when the context is full while generating, its last max_length / 2 tokens are read again from
/// position 0 and generation goes on. The repetition penalty looks at what the model sees.
class TextGenerator {
 public:
  /// The decoder must outlive this. Throws UserError as check_generation_options.
  TextGenerator(GptDecoder& decoder, const GenerationOptions& options);

  /// Called after each new token with its sequence; returns false to end that sequence.
  using OnToken = std::function<bool(std::int64_t sequence, std::int32_t token)>;

  /// `prompt` holds at least one token; throws UserError otherwise. Token i of sequence s is drawn with the random number
  /// (seed, step, s, i): the same arguments give the same tokens. Throws NonFiniteError where a logit is NaN or infinite, which
  /// names the part of the model in which that began.
  void run(std::span<const std::int32_t> prompt, const OnToken& on_token);

 private:
  [[nodiscard]] bool choose(std::span<const float> logits, std::int64_t position, const OnToken& on_token);
  [[nodiscard]] std::span<const float> read_contexts_again();
  void check_finite_logits(std::span<const float> logits, std::size_t sequence);

  GptDecoder& decoder_;
  GenerationOptions options_;
  TokenSampler sampler_;
  std::vector<std::vector<std::int32_t>> contexts_;  // what each sequence's model sees
  std::vector<std::int32_t> next_;                   // each sequence's newest token
  std::vector<bool> running_;
};

}  // namespace virgil

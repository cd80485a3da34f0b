// Text from a model: prompt in, tokens out, one by one.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "virgil/model/gpt_decoder.h"
#include "virgil/train/token_sampler.h"

namespace virgil {

struct GenerationOptions {
  SamplingOptions sampling;
  std::int64_t max_new_tokens = 200;
  std::uint64_t seed = 0;
  std::uint32_t step = 0;  // training step, so that samples of different steps differ
};

/// Generates with a decoder of one or more sequences that share the prompt.
///
/// Context rule: the model sees at most max_length tokens. A prompt longer than that keeps its last max_length - 1 tokens; when
/// the context is full while generating, the last max_length / 2 tokens are read again from position 0 and generation goes on.
class TextGenerator {
 public:
  /// The decoder must outlive this. Throws UserError when an option is out of range.
  TextGenerator(GptDecoder& decoder, std::int64_t num_sequences, std::int64_t max_length, const GenerationOptions& options);

  /// Called after each new token with its sequence; returns false to end that sequence.
  using OnToken = std::function<bool(std::int64_t sequence, std::int32_t token)>;

  /// `prompt` holds at least one token; throws UserError otherwise.
  void run(std::span<const std::int32_t> prompt, const OnToken& on_token);

 private:
  [[nodiscard]] std::span<const float> read_context();
  GptDecoder& decoder_;
  std::int64_t num_sequences_;
  std::int64_t max_length_;
  GenerationOptions options_;
  TokenSampler sampler_;
  std::vector<std::vector<std::int32_t>> contexts_;  // what each sequence's model sees
};

}  // namespace virgil

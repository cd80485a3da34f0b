#include "virgil/train/text_generator.h"

#include <algorithm>

#include "virgil/base/error.h"
#include "virgil/base/philox.h"

namespace virgil {

TextGenerator::TextGenerator(GptDecoder& decoder, std::int64_t num_sequences, std::int64_t max_length,
                             const GenerationOptions& options)
    : decoder_(decoder),
      num_sequences_(num_sequences),
      max_length_(max_length),
      options_(options),
      sampler_(options.sampling),
      contexts_(static_cast<std::size_t>(num_sequences)) {
  if (options.max_new_tokens < 1) throw user_error("max_new_tokens is {}: choose 1 or more", options.max_new_tokens);
  VIRGIL_CHECK(max_length >= 2, "max_length {}", max_length);
}

std::span<const float> TextGenerator::read_context() {
  std::vector<std::int32_t> tokens;
  for (const auto& context : contexts_) tokens.insert(tokens.end(), context.begin(), context.end());
  decoder_.reset();
  return decoder_.append(tokens);
}

void TextGenerator::run(std::span<const std::int32_t> prompt, const OnToken& on_token) {
  if (prompt.empty()) throw user_error("the prompt is empty: give at least one character");
  const auto most = static_cast<std::size_t>(max_length_ - 1);
  const std::span<const std::int32_t> kept = prompt.size() > most ? prompt.last(most) : prompt;
  for (auto& context : contexts_) context.assign(kept.begin(), kept.end());

  std::vector<bool> running(contexts_.size(), true);
  std::vector<std::int32_t> next(contexts_.size());
  std::span<const float> logits = read_context();
  const std::size_t vocab_size = logits.size() / contexts_.size();
  for (std::int64_t position = 0; position < options_.max_new_tokens; ++position) {
    for (std::size_t s = 0; s < contexts_.size(); ++s) {
      if (!running[s]) continue;  // a finished sequence repeats its last token; nobody sees it
      const RandomStream stream{options_.seed, RandomPurpose::kSampling, static_cast<std::uint32_t>(s), options_.step};
      const auto uniform = static_cast<double>(random_uniform(stream, static_cast<std::uint64_t>(position)));
      next[s] = sampler_.choose(logits.subspan(s * vocab_size, vocab_size), contexts_[s], uniform);
      running[s] = on_token(static_cast<std::int64_t>(s), next[s]);
    }
    if (std::ranges::none_of(running, [](bool value) { return value; }) || position + 1 == options_.max_new_tokens) return;
    for (std::size_t s = 0; s < contexts_.size(); ++s) contexts_[s].push_back(next[s]);
    if (decoder_.remaining() > 0) {
      logits = decoder_.append(next);
      continue;
    }
    for (auto& context : contexts_) context.erase(context.begin(), context.end() - std::max<std::int64_t>(1, max_length_ / 2));
    logits = read_context();
  }
}

}  // namespace virgil

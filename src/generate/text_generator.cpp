#include "virgil/generate/text_generator.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "virgil/base/error.h"
#include "virgil/base/non_finite_error.h"
#include "virgil/base/philox.h"
#include "virgil/base/value_range.h"

namespace virgil {

void check_generation_options(const GenerationOptions& options) {
  check_sampling_options(options.sampling);
  if (options.max_new_tokens < 1) throw user_error("max_new_tokens is {}: choose 1 or more", options.max_new_tokens);
}

TextGenerator::TextGenerator(GptDecoder& decoder, const GenerationOptions& options)
    : decoder_(decoder), options_(options), sampler_(options.sampling) {
  check_generation_options(options);
  VIRGIL_CHECK(options.num_choices >= 0, "num_choices {}", options.num_choices);
}

void TextGenerator::run(std::span<const std::int32_t> prompt, const OnToken& on_token) {
  if (prompt.empty()) throw user_error("the prompt is empty: give at least one character");
  const DecodeShape& shape = decoder_.shape();
  const auto num_sequences = static_cast<std::size_t>(shape.num_sequences);
  const auto room = static_cast<std::size_t>(std::max<std::int64_t>(1, shape.max_length - 1));
  const std::span<const std::int32_t> kept = prompt.size() > room ? prompt.last(room) : prompt;
  contexts_.assign(num_sequences, {kept.begin(), kept.end()});
  next_.assign(num_sequences, 0);
  running_.assign(num_sequences, true);

  decoder_.reset();
  std::span<const float> logits = decoder_.append_shared(kept);
  for (std::int64_t position = 0;; ++position) {
    if (!choose(logits, position, on_token) || position + 1 == options_.max_new_tokens) return;
    for (std::size_t s = 0; s < num_sequences; ++s) contexts_[s].push_back(next_[s]);
    logits = decoder_.remaining() > 0 ? decoder_.append(next_) : read_contexts_again();
  }
}

/// Draws the next token of every sequence that has not ended; false when all have. One that has ended repeats its last token,
/// which nobody sees.
bool TextGenerator::choose(std::span<const float> logits, std::int64_t position, const OnToken& on_token) {
  const std::size_t vocab_size = logits.size() / contexts_.size();
  const auto num_choices =
      options_.num_choices == 0 ? vocab_size : std::min(vocab_size, static_cast<std::size_t>(options_.num_choices));
  for (std::size_t s = 0; s < contexts_.size(); ++s) {
    if (!running_[s]) continue;
    check_finite_logits(logits.subspan(s * vocab_size, vocab_size), s);
    const RandomStream stream{options_.seed, RandomPurpose::kSampling, static_cast<std::uint32_t>(s), options_.step};
    const auto uniform = static_cast<double>(random_uniform(stream, static_cast<std::uint64_t>(position)));
    next_[s] = sampler_.choose(logits.subspan(s * vocab_size, num_choices), contexts_[s], uniform);
    running_[s] = on_token(static_cast<std::int64_t>(s), next_[s]);
  }
  return std::ranges::any_of(running_, [](bool running) { return running; });
}

void TextGenerator::check_finite_logits(std::span<const float> logits, std::size_t sequence) {
  if (find_value_range(DType::kFloat32, std::as_bytes(logits)).is_finite()) return;
  const std::size_t num_tokens = contexts_[sequence].size();
  const std::optional<NonFiniteOutput> first = decoder_.find_non_finite(contexts_[sequence]);
  throw NonFiniteError(describe_non_finite(fmt::format("the logits after {} token{}", num_tokens, num_tokens == 1 ? "" : "s"),
                                           first, decoder_.shape().dtype));
}

std::string describe_non_finite(std::string_view what, const std::optional<NonFiniteOutput>& first, DType dtype) {
  const std::string where =
      first ? fmt::format(" (first the output of {}, at position {})", first->name, first->position) : std::string();
  const std::string narrow =
      dtype == DType::kFloat32 ? std::string() : fmt::format(" or leaves the range of {}", name_of(dtype));
  return fmt::format("{} are NaN or infinite{}: the model has diverged{}; use {}", what, where, narrow,
                     dtype == DType::kFloat32 ? "a checkpoint from before that" : "--dtype float32, or an earlier checkpoint");
}

std::span<const float> TextGenerator::read_contexts_again() {
  const std::int64_t kept = std::max<std::int64_t>(1, decoder_.shape().max_length / 2);
  std::vector<std::int32_t> tokens;
  for (auto& context : contexts_) {
    context.erase(context.begin(), context.end() - kept);
    tokens.insert(tokens.end(), context.begin(), context.end());
  }
  decoder_.reset();
  return decoder_.append(tokens);
}

}  // namespace virgil

#include "virgil/generate/token_sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "virgil/base/error.h"

namespace virgil {

void check_sampling_options(const SamplingOptions& options) {
  if (!(options.temperature >= 0) || !std::isfinite(options.temperature)) {
    throw user_error("temperature is {}: choose 0 (greedy) or more; 0.8 is a good start", options.temperature);
  }
  if (options.top_k < 0) throw user_error("top_k is {}: choose 0 (all tokens) or more", options.top_k);
  if (!(options.top_p > 0 && options.top_p <= 1)) throw user_error("top_p is {}: choose a value in (0, 1]", options.top_p);
  if (!(options.repetition_penalty > 0) || !std::isfinite(options.repetition_penalty)) {
    throw user_error("repetition_penalty is {}: choose a value above 0; 1 switches it off", options.repetition_penalty);
  }
}

TokenSampler::TokenSampler(const SamplingOptions& options) : options_(options) { check_sampling_options(options); }

std::int32_t TokenSampler::choose(std::span<const float> logits, std::span<const std::int32_t> history, double uniform) {
  VIRGIL_CHECK(!logits.empty(), "no logits");
  candidates_.clear();
  for (std::size_t token = 0; token < logits.size(); ++token) {
    // NaN has no place in an order: a model that has diverged gives any token, but it does give one.
    const float logit = std::isnan(logits[token]) ? -std::numeric_limits<float>::infinity() : logits[token];
    candidates_.push_back({logit, static_cast<std::int32_t>(token)});
  }
  if (options_.repetition_penalty != 1.0) penalise(history);
  if (options_.temperature == 0) {
    return std::ranges::max_element(candidates_, [](const Candidate& a, const Candidate& b) { return a.logit < b.logit; })
        ->token;
  }
  keep_most_likely();
  return draw(uniform);
}

void TokenSampler::penalise(std::span<const std::int32_t> history) {
  seen_.assign(candidates_.size(), false);
  const auto penalty = static_cast<float>(options_.repetition_penalty);
  for (const std::int32_t token : history) {
    const auto index = static_cast<std::size_t>(token);
    if (index >= seen_.size() || seen_[index]) continue;
    seen_[index] = true;
    float& logit = candidates_[index].logit;
    logit = logit > 0 ? logit / penalty : logit * penalty;
  }
}

/// Sorts by likelihood (ties by id) as far as top_k or top_p need it, and cuts. Leaves probabilities_ unnormalised.
void TokenSampler::keep_most_likely() {
  const auto more_likely = [](const Candidate& a, const Candidate& b) {
    return a.logit != b.logit ? a.logit > b.logit : a.token < b.token;
  };
  if (options_.top_k > 0 && options_.top_k < static_cast<std::int64_t>(candidates_.size())) {
    const auto end = candidates_.begin() + options_.top_k;
    std::ranges::nth_element(candidates_, end, more_likely);
    candidates_.erase(end, candidates_.end());
  }
  const bool nucleus = options_.top_p < 1.0;
  if (nucleus || options_.top_k > 0) std::ranges::sort(candidates_, more_likely);

  float largest = candidates_.front().logit;
  for (const Candidate& candidate : candidates_) largest = std::max(largest, candidate.logit);
  probabilities_.clear();
  double total = 0;
  for (const Candidate& candidate : candidates_) {
    const double difference = candidate.logit == largest ? 0.0 : static_cast<double>(candidate.logit) - largest;
    probabilities_.push_back(std::exp(difference / options_.temperature));
    total += probabilities_.back();
  }
  if (!nucleus) return;
  double sum = 0;
  std::size_t kept = 0;
  while (kept < probabilities_.size() && sum < options_.top_p * total) sum += probabilities_[kept++];
  candidates_.resize(std::max<std::size_t>(kept, 1));
  probabilities_.resize(candidates_.size());
}

std::int32_t TokenSampler::draw(double uniform) {
  double total = 0;
  for (const double probability : probabilities_) total += probability;
  double remaining = uniform * total;
  for (std::size_t i = 0; i + 1 < candidates_.size(); ++i) {
    remaining -= probabilities_[i];
    if (remaining < 0) return candidates_[i].token;
  }
  return candidates_.back().token;
}

}  // namespace virgil

// Choosing the next token from logits.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace virgil {

struct SamplingOptions {
  double temperature = 1.0;  // 0: the most likely token, ties to the lowest id
  std::int64_t top_k = 0;    // keep the k most likely; 0: all
  double top_p = 1.0;  // keep the smallest set of most likely tokens whose probability reaches top_p (Holtzman et al. 2020)
  /// Logits of tokens already seen are divided by it (if positive) or multiplied (Keskar et al. 2019); 1: off.
  double repetition_penalty = 1.0;
};

/// Throws UserError naming the option when one is out of range.
void check_sampling_options(const SamplingOptions& options);

/// Chooses tokens; keeps scratch of the vocabulary's size between calls.
class TokenSampler {
 public:
  /// Throws UserError as check_sampling_options.
  explicit TokenSampler(const SamplingOptions& options);

  /// `logits` (V), `history` the tokens the repetition penalty looks at, `uniform` in [0, 1). The same arguments give the same
  /// token.
  [[nodiscard]] std::int32_t choose(std::span<const float> logits, std::span<const std::int32_t> history, double uniform);

 private:
  struct Candidate {
    float logit;
    std::int32_t token;
  };
  void penalise(std::span<const std::int32_t> history);
  void keep_most_likely();
  [[nodiscard]] std::int32_t draw(double uniform);

  SamplingOptions options_;
  std::vector<Candidate> candidates_;
  std::vector<double> probabilities_;
  std::vector<bool> seen_;
};

}  // namespace virgil

// Which widths and numbers of attention heads go together, and what to choose where they do not.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace virgil {

/// A width and heads that it divides into.
struct HeadChoice {
  std::int64_t embedding_dim = 0;
  std::int64_t num_heads = 0;

  [[nodiscard]] std::int64_t head_size() const { return embedding_dim / num_heads; }
  friend bool operator==(const HeadChoice&, const HeadChoice&) = default;
};

/// Whether attention takes such heads: all of one size, a multiple of 8 up to kMaxHeadSize. Both are at least 1.
[[nodiscard]] bool heads_fit(std::int64_t embedding_dim, std::int64_t num_heads);

/// The heads of a width whose size is nearest to 64; nothing where no number of heads that n_head may be fits.
[[nodiscard]] std::optional<HeadChoice> usual_heads(std::int64_t embedding_dim);

/// What to choose instead, nearest first: other heads of the same width, or of the nearest width that has any; then, where one
/// is near, the nearest width for as many heads.
[[nodiscard]] std::vector<HeadChoice> head_choices(std::int64_t embedding_dim, std::int64_t num_heads);

/// The same in words: "with n_embd 1000 choose n_head 25 (heads of 40), or n_embd 960 with n_head 10 (heads of 96)".
[[nodiscard]] std::string head_remedy(std::int64_t embedding_dim, std::int64_t num_heads);

/// What is wrong with the heads and what to choose, or empty.
[[nodiscard]] std::string head_problem(std::int64_t embedding_dim, std::int64_t num_heads);
/// The same of a width that no number of heads fits.
[[nodiscard]] std::string width_problem(std::int64_t embedding_dim, std::int64_t num_heads);

}  // namespace virgil

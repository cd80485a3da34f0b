// How often each id of a vocabulary occurs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "virgil/data/tokenizer.h"

namespace virgil {

class TokenStatistics {
 public:
  explicit TokenStatistics(std::int64_t vocab_size) : counts_(static_cast<std::size_t>(vocab_size)) {}

  /// Ids of the vocabulary.
  void add(std::span<const std::int32_t> tokens);

  [[nodiscard]] std::int64_t num_tokens() const { return num_tokens_; }
  [[nodiscard]] std::int64_t count_of(std::int32_t id) const { return counts_[static_cast<std::size_t>(id)]; }
  /// Ids that never occur, in order.
  [[nodiscard]] std::vector<std::int32_t> unused_ids() const;
  /// Up to `limit` ids that occur, the longest in bytes first; of equally long ones the more frequent.
  [[nodiscard]] std::vector<std::int32_t> longest_ids(const Tokenizer& tokenizer, std::size_t limit) const;
  /// Up to `limit` ids that occur, the most frequent first.
  [[nodiscard]] std::vector<std::int32_t> most_frequent_ids(std::size_t limit) const;

 private:
  template <typename Before>
  [[nodiscard]] std::vector<std::int32_t> first_ids(std::size_t limit, Before&& before) const;

  std::vector<std::int64_t> counts_;  // by id
  std::int64_t num_tokens_ = 0;
};

}  // namespace virgil

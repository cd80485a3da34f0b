#include "virgil/data/token_statistics.h"

#include <algorithm>
#include <tuple>

namespace virgil {

void TokenStatistics::add(std::span<const std::int32_t> tokens) {
  for (const std::int32_t token : tokens) ++counts_[static_cast<std::size_t>(token)];
  num_tokens_ += std::ssize(tokens);
}

std::vector<std::int32_t> TokenStatistics::unused_ids() const {
  std::vector<std::int32_t> ids;
  for (std::size_t id = 0; id < counts_.size(); ++id) {
    if (counts_[id] == 0) ids.push_back(static_cast<std::int32_t>(id));
  }
  return ids;
}

/// The first used ids in an order of their own; of ids that `before` calls alike the smaller comes first.
template <typename Before>
std::vector<std::int32_t> TokenStatistics::first_ids(std::size_t limit, Before&& before) const {
  std::vector<std::int32_t> ids;
  for (std::size_t id = 0; id < counts_.size(); ++id) {
    if (counts_[id] > 0) ids.push_back(static_cast<std::int32_t>(id));
  }
  std::ranges::stable_sort(ids, before);
  ids.resize(std::min(ids.size(), limit));
  return ids;
}

std::vector<std::int32_t> TokenStatistics::longest_ids(const Tokenizer& tokenizer, std::size_t limit) const {
  std::vector<std::size_t> lengths(counts_.size());
  for (std::size_t id = 0; id < counts_.size(); ++id) {
    // The end of text is no text.
    const auto token = static_cast<std::int32_t>(id);
    if (token != tokenizer.end_of_text()) lengths[id] = tokenizer.decode({&token, 1}).size();
  }
  return first_ids(limit, [&](std::int32_t a, std::int32_t b) {
    const auto key = [&](std::int32_t id) { return std::tuple(lengths[static_cast<std::size_t>(id)], count_of(id)); };
    return key(a) > key(b);
  });
}

std::vector<std::int32_t> TokenStatistics::most_frequent_ids(std::size_t limit) const {
  return first_ids(limit, [&](std::int32_t a, std::int32_t b) { return count_of(a) > count_of(b); });
}

}  // namespace virgil

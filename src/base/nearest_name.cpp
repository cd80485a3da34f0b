#include "virgil/base/nearest_name.h"

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <string>
#include <system_error>
#include <vector>

namespace virgil {
namespace {

/// Optimal string alignment distance: insertions, deletions, substitutions and swaps of neighbours.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::vector<std::size_t>> distance(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
  for (std::size_t i = 0; i <= a.size(); ++i) distance[i][0] = i;
  for (std::size_t j = 0; j <= b.size(); ++j) distance[0][j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = distance[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      distance[i][j] = std::min({distance[i - 1][j] + 1, distance[i][j - 1] + 1, replaced});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) distance[i][j] = std::min(distance[i][j], distance[i - 2][j - 2] + 1);
    }
  }
  return distance[a.size()][b.size()];
}

}  // namespace

std::string nearest_name(std::string_view word, std::span<const std::string> candidates) {
  // A quarter of the word may be wrong (one letter of a short one): more, and the suggestion is a guess. The cap keeps a pasted
  // file out of the n^2 loop.
  constexpr std::size_t kMaxLength = 100;
  if (word.empty() || word.size() > kMaxLength) return {};
  std::size_t best = std::max<std::size_t>(1, word.size() / 4);
  std::string nearest;
  for (const std::string& candidate : candidates) {
    const std::size_t distance = edit_distance(word, candidate);
    if (distance < best || (distance == best && nearest.empty())) {
      best = distance;
      nearest = candidate;
    }
  }
  return nearest;
}

std::string nearest_path(const std::filesystem::path& missing) {
  namespace fs = std::filesystem;
  constexpr std::size_t kMostNames = 10000;
  std::error_code error;
  fs::path there;  // as far as the path leads
  for (auto name = missing.begin(); name != missing.end(); ++name) {
    if (fs::exists(there / *name, error)) {
      there /= *name;
      continue;
    }
    std::vector<std::string> names;
    for (fs::directory_iterator entry(there.empty() ? fs::path(".") : there, error), end; !error && entry != end;
         entry.increment(error)) {
      if (names.size() == kMostNames) return {};
      names.push_back(entry->path().filename().string());
    }
    const std::string nearest = nearest_name(name->string(), names);
    if (nearest.empty()) return {};
    fs::path meant = there / nearest;
    for (++name; name != missing.end(); ++name) meant /= *name;
    return fs::exists(meant, error) ? meant.string() : std::string();
  }
  return {};
}

}  // namespace virgil

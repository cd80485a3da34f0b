#include "data/canonical_composition.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "data/unicode_tables.h"
#include "virgil/base/utf8.h"

namespace virgil {
namespace {

// Hangul syllables: the Unicode Standard, section 3.12.
constexpr std::uint32_t kSyllables = 0xAC00;
constexpr std::uint32_t kLeading = 0x1100;
constexpr std::uint32_t kVowels = 0x1161;
constexpr std::uint32_t kTrailing = 0x11A7;
constexpr std::uint32_t kNumLeading = 19;
constexpr std::uint32_t kNumVowels = 21;
constexpr std::uint32_t kNumTrailing = 28;
constexpr std::uint32_t kNumSyllables = kNumLeading * kNumVowels * kNumTrailing;

constexpr std::uint32_t kFirstSpecial = 0x300;  // below it nothing combines, and what decomposes composes again

struct Mark {
  std::uint32_t code_point;
  std::uint8_t combining_class;
};

std::uint8_t combining_class(std::uint32_t code_point) {
  if (code_point < kFirstSpecial) return 0;
  const auto ranges = combining_ranges();
  const auto range = std::ranges::lower_bound(ranges, code_point, {}, &CombiningRange::last);
  return range != ranges.end() && range->first <= code_point ? range->combining_class : std::uint8_t{0};
}

void append_decomposed(std::uint32_t code_point, std::vector<Mark>& out) {
  if (code_point - kSyllables < kNumSyllables) {
    const std::uint32_t index = code_point - kSyllables;
    out.push_back({kLeading + index / (kNumVowels * kNumTrailing), 0});
    out.push_back({kVowels + index % (kNumVowels * kNumTrailing) / kNumTrailing, 0});
    if (index % kNumTrailing != 0) out.push_back({kTrailing + index % kNumTrailing, 0});
    return;
  }
  const auto table = canonical_decompositions();
  const auto found = std::ranges::lower_bound(table, code_point, {}, &Decomposition::code_point);
  if (found == table.end() || found->code_point != code_point) {
    out.push_back({code_point, combining_class(code_point)});
    return;
  }
  append_decomposed(found->first, out);
  if (found->second != 0) append_decomposed(found->second, out);
}

/// What two characters compose to, or 0.
std::uint32_t composition(std::uint32_t first, std::uint32_t second) {
  static const std::map<std::pair<std::uint32_t, std::uint32_t>, std::uint32_t> kComposed = [] {
    std::map<std::pair<std::uint32_t, std::uint32_t>, std::uint32_t> composed;
    for (const Decomposition& entry : canonical_decompositions()) {
      if (entry.composes) composed[{entry.first, entry.second}] = entry.code_point;
    }
    return composed;
  }();
  if (first - kLeading < kNumLeading && second - kVowels < kNumVowels) {
    return kSyllables + ((first - kLeading) * kNumVowels + (second - kVowels)) * kNumTrailing;
  }
  const bool is_open_syllable = first - kSyllables < kNumSyllables && (first - kSyllables) % kNumTrailing == 0;
  if (is_open_syllable && second > kTrailing && second - kTrailing < kNumTrailing) return first + (second - kTrailing);
  const auto found = kComposed.find({first, second});
  return found == kComposed.end() ? 0 : found->second;
}

/// Orders and composes the characters of one run, and appends them.
void compose_run(std::vector<Mark>& run, std::string& out) {
  for (std::size_t start = 0; start < run.size();) {
    std::size_t end = start + 1;
    while (end < run.size() && run[end].combining_class != 0) ++end;
    const std::size_t first_mark = start + (run[start].combining_class == 0 ? 1 : 0);
    std::stable_sort(run.begin() + static_cast<std::ptrdiff_t>(first_mark), run.begin() + static_cast<std::ptrdiff_t>(end),
                     [](const Mark& a, const Mark& b) { return a.combining_class < b.combining_class; });
    start = end;
  }
  constexpr std::size_t kNone = ~std::size_t{0};
  std::vector<Mark> composed;
  std::size_t starter = kNone;  // in `composed`
  for (const Mark& mark : run) {
    if (starter != kNone) {
      const bool adjacent = starter + 1 == composed.size();
      const bool blocked = !adjacent && composed.back().combining_class >= mark.combining_class;
      const std::uint32_t both = blocked ? 0 : composition(composed[starter].code_point, mark.code_point);
      if (both != 0) {
        composed[starter].code_point = both;
        continue;
      }
    }
    if (mark.combining_class == 0) starter = composed.size();
    composed.push_back(mark);
  }
  for (const Mark& mark : composed) append_utf8(out, mark.code_point);
  run.clear();
}

}  // namespace

std::string compose_canonically(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  std::vector<Mark> run;
  for (std::size_t position = 0; position < text.size();) {
    const Utf8Char character = decode_utf8(text, position);
    const std::size_t length = std::max(character.length, 1U);
    const bool is_plain = character.length == 0 || character.code_point < kFirstSpecial;
    // A plain character that no other one follows stays as it is; otherwise it begins a run.
    if (is_plain) compose_run(run, out);
    const std::size_t next = position + length;
    const bool is_alone = next == text.size() || static_cast<unsigned char>(text[next]) < 0xCC;  // U+0300 is CC 80
    if (character.length == 0 || (is_plain && is_alone)) {
      out.append(text, position, length);
    } else {
      append_decomposed(character.code_point, run);
    }
    position = next;
  }
  compose_run(run, out);
  return out;
}

}  // namespace virgil

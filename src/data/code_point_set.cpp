#include "data/code_point_set.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <iterator>
#include <span>
#include <utility>

#include "data/unicode_tables.h"
#include "virgil/base/utf8.h"

namespace virgil {
namespace {

// In the order of the indices in kCategoryStarts.
constexpr std::array<std::string_view, 29> kCategories = {"Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd", "Nl",
                                                          "No", "Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po", "Sm", "Sc",
                                                          "Sk", "So", "Zs", "Zl", "Zp", "Cc", "Cf", "Co", "Cn"};

CodePointSet category(std::string_view name) {
  const std::span<const std::uint32_t> starts = category_starts();
  std::vector<CodePointRange> ranges;
  for (std::size_t i = 0; i < starts.size(); ++i) {
    if (!kCategories[starts[i] & 0xFFU].starts_with(name)) continue;
    const std::uint32_t end = i + 1 < starts.size() ? starts[i + 1] >> 8 : kCodePointEnd;
    ranges.push_back({starts[i] >> 8, end - 1});
  }
  return CodePointSet(std::move(ranges));
}

}  // namespace

CodePointSet::CodePointSet(std::vector<CodePointRange> ranges) {
  std::ranges::sort(ranges, {}, &CodePointRange::first);
  for (const CodePointRange& range : ranges) {
    if (!ranges_.empty() && range.first <= ranges_.back().last + 1) {
      ranges_.back().last = std::max(ranges_.back().last, range.last);
    } else {
      ranges_.push_back(range);
    }
  }
}

bool CodePointSet::contains(std::uint32_t code_point) const {
  const auto after = std::ranges::upper_bound(ranges_, code_point, {}, &CodePointRange::first);
  return after != ranges_.begin() && std::prev(after)->last >= code_point;
}

CodePointSet CodePointSet::operator|(const CodePointSet& other) const {
  std::vector<CodePointRange> ranges = ranges_;
  ranges.insert(ranges.end(), other.ranges_.begin(), other.ranges_.end());
  return CodePointSet(std::move(ranges));
}

CodePointSet CodePointSet::operator&(const CodePointSet& other) const { return ~(~*this | ~other); }

CodePointSet CodePointSet::operator~() const {
  std::vector<CodePointRange> ranges;
  std::uint32_t next = 0;
  for (const CodePointRange& range : ranges_) {
    if (range.first > next) ranges.push_back({next, range.first - 1});
    next = range.last + 1;
  }
  if (next < kCodePointEnd) ranges.push_back({next, kCodePointEnd - 1});
  return CodePointSet(std::move(ranges));
}

std::optional<CodePointSet> unicode_property(std::string_view name) {
  if (name == "Han") return CodePointSet({han_ranges().begin(), han_ranges().end()});
  const bool is_known = !name.empty() && name.size() <= 2 &&
                        std::ranges::any_of(kCategories, [&](std::string_view category) { return category.starts_with(name); });
  if (!is_known) return std::nullopt;
  return category(name);
}

CodePointSet white_space() {
  return CodePointSet({{0x9, 0xD},
                       {0x20, 0x20},
                       {0x85, 0x85},
                       {0xA0, 0xA0},
                       {0x1680, 0x1680},
                       {0x2000, 0x200A},
                       {0x2028, 0x2029},
                       {0x202F, 0x202F},
                       {0x205F, 0x205F},
                       {0x3000, 0x3000}});
}

CodePointSet word_characters() {
  // Letters, marks, digits, connectors, and what else is alphabetic: letter-like numbers and circled letters.
  const CodePointSet circled({{0x24B6, 0x24E9}, {0x1F130, 0x1F149}, {0x1F150, 0x1F169}, {0x1F170, 0x1F189}});
  return category("L") | category("M") | category("Nd") | category("Nl") | category("Pc") | circled;
}

}  // namespace virgil

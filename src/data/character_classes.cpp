#include "data/character_classes.h"

#include <algorithm>
#include <map>
#include <utility>

#include "data/code_point_set.h"
#include "virgil/base/utf8.h"

namespace virgil {
namespace {

constexpr std::size_t kPageSize = 256;

}  // namespace

CharacterClasses::CharacterClasses() {
  std::vector<CharacterClass> flat(kCodePointEnd, CharacterClass::kOther);
  const auto mark = [&](const CodePointSet& set, CharacterClass value) {
    for (const CodePointRange& range : set.ranges()) {
      std::fill(flat.begin() + range.first, flat.begin() + range.last + 1, value);
    }
  };
  mark(unicode_property("L").value(), CharacterClass::kLetter);
  mark(unicode_property("N").value(), CharacterClass::kNumber);
  mark(white_space(), CharacterClass::kSpace);
  std::copy_n(flat.begin(), ascii_.size(), ascii_.begin());

  std::map<std::vector<CharacterClass>, std::uint8_t> known;  // most pages are alike; 136 differ
  for (auto page = flat.begin(); page != flat.end(); page += kPageSize) {
    const std::vector<CharacterClass> content(page, page + kPageSize);
    const auto [entry, is_new] = known.try_emplace(content, static_cast<std::uint8_t>(known.size()));
    if (is_new) table_.insert(table_.end(), content.begin(), content.end());
    pages_.push_back(entry->second);
  }
}

}  // namespace virgil

// Sets of Unicode characters, as regular expressions name them.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace virgil {

struct CodePointRange {
  std::uint32_t first;
  std::uint32_t last;
};

class CodePointSet {
 public:
  CodePointSet() = default;
  explicit CodePointSet(std::vector<CodePointRange> ranges);
  static CodePointSet of(std::uint32_t code_point) { return CodePointSet({{code_point, code_point}}); }

  /// Ascending, apart from each other.
  [[nodiscard]] const std::vector<CodePointRange>& ranges() const { return ranges_; }
  [[nodiscard]] bool contains(std::uint32_t code_point) const;
  [[nodiscard]] CodePointSet operator|(const CodePointSet& other) const;
  [[nodiscard]] CodePointSet operator&(const CodePointSet& other) const;
  /// Everything else, up to U+10FFFF.
  [[nodiscard]] CodePointSet operator~() const;

 private:
  std::vector<CodePointRange> ranges_;
};

/// The characters of a general category ("L", "Lu", "N", ...) or of the script "Han"; nothing for another name. The Unicode
/// version is fixed (see unicode_properties.inc).
[[nodiscard]] std::optional<CodePointSet> unicode_property(std::string_view name);
/// \s: the property White_Space.
[[nodiscard]] CodePointSet white_space();
/// \w as Oniguruma has it.
[[nodiscard]] CodePointSet word_characters();

}  // namespace virgil

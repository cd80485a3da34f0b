// What the flags of other trainers mean here: nanoGPT's, nanochat's, Hugging Face's, llm.c's and Lightning's.
//
// docs/foreign-flags.md is made from these tables.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace virgil {

struct ForeignName {
  enum class Kind : std::uint8_t {
    kSame,      // Virgil's `key` under another name: the same meaning and unit, the value is taken as it is
    kSwitch,    // true sets `key` to `on`, false to `off`; an empty one sets nothing
    kNoEffect,  // a switch that asks for what holds anyway: taken, with a note
    kOnlyOff,   // taken, with a note, where it is switched off (False, none); else as kHint
    kHint,      // nothing here is equal; `note` says what to do instead
  };
  std::string_view program = {};
  std::string_view name = {};  // with underscores; a final '*' stands for any ending
  Kind kind = Kind::kHint;
  std::string_view key = {}, on = {}, off = {};
  std::string_view note = {};
};

/// Sorted by program.
[[nodiscard]] std::span<const ForeignName> foreign_names();

/// The entry of that name ('-' and '_' alike, any case), or nullptr.
[[nodiscard]] const ForeignName* find_foreign_name(std::string_view name);

/// What a flag of another program comes to here: a key and its value, or a note where nothing is set.
struct ForeignMeaning {
  std::string_view key{};  // empty: nothing is set
  std::string value{};
  std::string note{};
};

/// Whether the flag takes the word behind it as its value: switches take true, false and their kin.
[[nodiscard]] bool takes_word(const ForeignName& foreign, const std::string& word);
/// Of any kind but kSame. `written` is the flag as it stands there, with its value or the word behind it. Throws UserError on a
/// kHint, and on others with a value that cannot be.
[[nodiscard]] ForeignMeaning meaning_of(const ForeignName& foreign, const std::string& written,
                                        const std::optional<std::string>& word);

/// llm.c's flags of one dash ("b"), and the key of the same meaning.
struct ShortFlag {
  std::string_view name;
  std::string_view key;
};
[[nodiscard]] std::span<const ShortFlag> short_flags();

/// docs/foreign-flags.md.
[[nodiscard]] std::string foreign_names_markdown();

}  // namespace virgil

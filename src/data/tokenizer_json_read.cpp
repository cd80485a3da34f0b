// Reads Hugging Face's tokenizer.json as `tokenizers` does (byte-level BPE), or names everything that stands in the way.

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "data/byte_pair_vocabulary.h"
#include "data/merge_table.h"
#include "data/tokenizer_settings.h"
#include "virgil/base/error.h"
#include "virgil/base/json.h"
#include "virgil/base/utf8.h"
#include "virgil/data/end_of_text.h"

namespace virgil {
namespace {

using nlohmann::json;

constexpr std::size_t kMaxTokens = MergeTable::kMaxMerges;

// Marks the beginning of a document, which serves too where no token marks its end.
constexpr std::string_view kBeginOfText = "<|bos|>";

class TokenizerJsonReader {
 public:
  TokenizerJsonReader(const json& document, const std::filesystem::path& path) : document_(document), path_(path) {
    for (int byte = 0; byte < 256; ++byte) {
      const std::string spelling = spell_bytes(std::string(1, static_cast<char>(byte)));
      byte_of_[decode_utf8(spelling, 0).code_point] = static_cast<char>(byte);
    }
  }

  BytePairVocabulary read(const EndOfTextHint& hint) {
    vocabulary_.rules = read_tokenizer_settings(document_, path_);
    read_added_tokens();
    const SortedJsonObject model(SortedJsonObject(document_, path_.string()).at("model"), path_.string());
    read_vocab(model.at("vocab"));
    read_merges(model.at("merges"));
    vocabulary_.byte_ids.fill(-1);
    for (std::size_t byte = 0; byte < 256; ++byte) {
      const auto found = id_of_.find(std::string(1, static_cast<char>(byte)));
      if (found != id_of_.end()) vocabulary_.byte_ids[byte] = found->second;
    }
    if (std::ranges::count(vocabulary_.byte_ids, -1) == 256) fail("no byte of a text has an id in \"vocab\"");
    if (std::ranges::count(vocabulary_.byte_ids, -1) > 0) read_unknown(model.json());
    vocabulary_.end_of_text = choose_end_of_text(hint);
    return std::move(vocabulary_);
  }

 private:
  struct Added {
    std::string content;
    std::int32_t id;
    bool special;
  };

  template <typename... Args>
  [[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) const {
    throw user_error("{}: {}", path_.string(), fmt::format(format, std::forward<Args>(args)...));
  }

  static std::string shown(const json& value) { return shorten_json(value); }

  std::int32_t read_id(const json& value, std::string_view token) const {
    const bool valid = value.is_number_integer() && value >= 0 && value < kMaxTokens;
    if (!valid) fail("token {} has the id {}", shown(token), shown(value));
    return value.get<std::int32_t>();
  }

  // Special tokens are never read from a text; the others are, as they stand.
  void read_added_tokens() {
    for (const json& token : document_.value("added_tokens", json::array())) {
      const SortedJsonObject added(token, path_.string());
      const json& content = added.at("content");
      if (!content.is_string() || content == "") fail("an added token is {}, not a text", shown(content));
      const std::string text = content.get<std::string>();
      const std::int32_t id = read_id(added.at("id"), text);
      const bool special = token.value("special", json(false)) == true;
      const auto same = std::ranges::find(added_, text, &Added::content);
      if (same != added_.end() && same->id != id) fail("{} has two ids", shown(content));
      if (same != added_.end()) continue;
      added_.push_back({text, id, special});
      const auto is_set = [&](const char* key, bool otherwise) { return token.value(key, json(otherwise)) == true; };
      vocabulary_.rules.added.push_back({.content = text,
                                         .id = id,
                                         .after_normalizing = is_set("normalized", !special),
                                         .single_word = is_set("single_word", false),
                                         .strips_left = is_set("lstrip", false),
                                         .strips_right = is_set("rstrip", false),
                                         .is_text = special});
    }
    drop_needless_texts();
  }

  /// Special tokens are of use to the search only where another token may begin inside one.
  void drop_needless_texts() {
    constexpr std::size_t kCompared = 256;  // bytes: longer beginnings are taken for equal
    std::vector<AddedToken>& tokens = vocabulary_.rules.added;
    std::unordered_set<std::string_view> words;
    std::unordered_set<std::string_view> beginnings;  // of words
    for (const AddedToken& token : tokens) {
      if (token.is_text) continue;
      const std::string_view word = token.content;
      words.insert(word);
      for (std::size_t length = 1; length <= std::min(word.size(), kCompared); ++length)
        beginnings.insert(word.substr(0, length));
    }
    const auto hides_a_word = [&](std::string_view text) {
      for (std::size_t i = 0; i < text.size(); ++i) {
        for (std::size_t length = 1; i + length <= text.size() && beginnings.contains(text.substr(i, length)); ++length) {
          const bool is_cut_off = length == kCompared || (i > 0 && i + length == text.size());
          if (is_cut_off || words.contains(text.substr(i, length))) return true;
        }
      }
      return false;
    };
    std::vector<AddedToken> kept;
    for (const AddedToken& token : tokens) {
      if (!token.is_text || hides_a_word(token.content)) kept.push_back(token);
    }
    tokens = std::move(kept);
  }

  /// The bytes that a token stands for; nothing where it is not spelt in GPT-2's characters.
  std::optional<std::string> unspell(std::string_view text) const {
    std::string bytes;
    for (std::size_t i = 0; i < text.size();) {
      const Utf8Char character = decode_utf8(text, i);
      const auto byte = byte_of_.find(character.code_point);
      if (character.length == 0 || byte == byte_of_.end()) return std::nullopt;
      bytes.push_back(byte->second);
      i += character.length;
    }
    return bytes;
  }

  const Added* find_added(const std::string& text) const {
    const auto found = std::ranges::find(added_, text, &Added::content);
    return found == added_.end() ? nullptr : &*found;
  }

  void read_vocab(const json& vocab) {
    if (!vocab.is_object()) fail("\"vocab\" is not an object");
    std::size_t count = vocab.size();
    std::int64_t last = -1;
    for (const auto& [text, value] : vocab.items()) last = std::max<std::int64_t>(last, read_id(value, text));
    for (const Added& token : added_) {
      last = std::max<std::int64_t>(last, token.id);
      if (!vocab.contains(token.content)) ++count;
    }
    const auto size = static_cast<std::size_t>(last + 1);
    if (size > 2 * count + 1024) fail("id {} of {} tokens leaves a gap of {}", last, count, size - count);
    taken_.resize(size);
    vocabulary_.tokens.resize(size);
    for (const auto& [text, value] : vocab.items()) place_token(text, value.get<std::int32_t>());
    for (const Added& token : added_) {
      if (!vocab.contains(token.content)) place(token.id, token.content);
    }
  }

  void place(std::int32_t id, const std::string& bytes) {
    const auto index = static_cast<std::size_t>(id);
    if (taken_[index]) fail("two tokens have the id {}", id);
    taken_[index] = true;
    vocabulary_.tokens[index] = bytes;
  }

  void place_token(const std::string& text, std::int32_t id) {
    if (text.empty()) fail("id {} is an empty token", id);
    const std::optional<std::string> bytes = unspell(text);
    const Added* added = find_added(text);
    if (added != nullptr && added->id != id) fail("{} has two ids, {} and {}", shown(text), id, added->id);
    if (!bytes && added == nullptr) fail("token {} is not spelt in GPT-2's byte characters", shown(text));
    place(id, added != nullptr ? text : *bytes);
    if (bytes) id_of_[*bytes] = id;
  }

  // A merge is "left right" or ["left", "right"].
  std::pair<std::string, std::string> read_pair(const json& merge) const {
    std::pair<std::string, std::string> spelt;
    if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
      spelt = {merge[0].get<std::string>(), merge[1].get<std::string>()};
    } else {
      const std::string text = merge.is_string() ? merge.get<std::string>() : std::string();
      const std::size_t space = text.find(' ');
      if (space == std::string::npos) fail("merge {} is not a pair", shown(merge));
      spelt = {text.substr(0, space), text.substr(space + 1)};
    }
    const auto left = unspell(spelt.first);
    const auto right = unspell(spelt.second);
    if (!left || !right) fail("merge {} is not spelt in GPT-2's byte characters", shown(merge));
    return {*left, *right};
  }

  std::int32_t find_id(const std::string& bytes, const json& merge) const {
    const auto found = id_of_.find(bytes);
    if (found == id_of_.end()) fail("merge {} names a token that is not in the vocabulary", shown(merge));
    return found->second;
  }

  void read_merges(const json& merges) {
    if (!merges.is_array() || merges.size() > MergeTable::kMaxMerges) fail("\"merges\" is not a list, or too long a one");
    for (const json& merge : merges) {
      const auto [left, right] = read_pair(merge);
      vocabulary_.merges.push_back({find_id(left, merge), find_id(right, merge), find_id(left + right, merge)});
    }
  }

  // Bytes without an id: `tokenizers` drops them, or puts the model's unk_token in their place.
  void read_unknown(const json& model) {
    if (model.value("byte_fallback", json(false)) == true) check_fallback_tokens();
    const json unknown = model.value("unk_token", json());
    if (unknown.is_null()) return;
    const json& vocab = model["vocab"];
    if (!unknown.is_string() || !vocab.contains(unknown.get<std::string>())) {
      fail("\"unk_token\" is {}, which is not in the vocabulary", shown(unknown));
    }
    vocabulary_.rules.unknown_id = vocab[unknown.get<std::string>()].get<std::int32_t>();
    vocabulary_.rules.fuses_unknown = model.value("fuse_unk", json(false)) == true;
  }

  // byte_fallback spells the UTF-8 bytes of a byte's printable character as "<0xC4>": no byte-level tokenizer means that.
  void check_fallback_tokens() const {
    for (int byte = 0; byte < 256; ++byte) {
      if (id_of_.contains(fmt::format("<0x{:02X}>", byte))) {
        fail("\"byte_fallback\" with tokens such as <0x{:02X}> for bytes without an id is not known", byte);
      }
    }
  }

  std::int32_t choose_end_of_text(const EndOfTextHint& hint) const {
    if (const Added* named = find_added(hint.token)) return named->id;
    if (const auto bytes = unspell(hint.token); !hint.token.empty() && bytes && id_of_.contains(*bytes)) {
      return id_of_.at(*bytes);
    }
    for (const std::string_view name : kEndOfTextSpellings) {
      if (const Added* known = find_added(std::string(name))) return known->id;
    }
    if (const Added* known = find_added(std::string(kBeginOfText))) return known->id;
    const auto by_id = std::ranges::find(added_, hint.id, &Added::id);
    if (by_id != added_.end()) return by_id->id;
    return std::ranges::count(added_, true, &Added::special) == 1 ? std::ranges::find(added_, true, &Added::special)->id : -1;
  }

  const json& document_;
  const std::filesystem::path& path_;
  std::unordered_map<std::uint32_t, char> byte_of_;
  std::unordered_map<std::string, std::int32_t> id_of_;
  std::vector<Added> added_;
  std::vector<bool> taken_;
  BytePairVocabulary vocabulary_;
};

/// The file without what would change ids when other programs read it: tokens put around every text, padding, truncation.
std::string without_additions(std::string_view content, const json& document) {
  const json processor = document.value("post_processor", json());
  const bool adds_tokens = processor.is_object() && processor.value("type", json()) != "ByteLevel";
  const bool changes =
      adds_tokens || !document.value("padding", json()).is_null() || !document.value("truncation", json()).is_null();
  if (!changes) return std::string(content);
  nlohmann::ordered_json plain = nlohmann::ordered_json::parse(content);
  for (const char* key : {"padding", "truncation"}) plain[key] = nullptr;
  if (adds_tokens) plain["post_processor"] = nullptr;
  return plain.dump() + "\n";
}

}  // namespace

BytePairVocabulary read_tokenizer_json(std::string_view content, const std::filesystem::path& path, const EndOfTextHint& hint) {
  const json document = parse_sorted_json(content, path.string());
  BytePairVocabulary vocabulary = TokenizerJsonReader(document, path).read(hint);
  vocabulary.tokenizer_json = without_additions(content, document);
  return vocabulary;
}

}  // namespace virgil

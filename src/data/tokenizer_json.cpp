// Hugging Face's tokenizer.json. Tokens are spelt in GPT-2's way: each byte as one printable character (bytes_to_unicode in
// OpenAI's encoder.py), so that no token holds white space.

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "data/byte_pair_vocabulary.h"
#include "data/json_input.h"
#include "data/merge_table.h"
#include "data/utf8.h"
#include "virgil/base/error.h"

namespace virgil {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr std::size_t kMaxTokens = MergeTable::kMaxMerges;

// The printable character for each byte: itself, or U+0100 onwards for those that are not printable, in order.
std::array<std::uint32_t, 256> spelling_of_bytes() {
  std::array<std::uint32_t, 256> spelling{};
  const std::array<unsigned char, 256> order = gpt2_byte_order();
  constexpr std::size_t kNumPrintable = 188;
  for (std::size_t i = 0; i < 256; ++i) {
    spelling[order[i]] = i < kNumPrintable ? order[i] : static_cast<std::uint32_t>(256 + i - kNumPrintable);
  }
  return spelling;
}

std::string spell(std::string_view bytes) {
  static const std::array<std::uint32_t, 256> kSpelling = spelling_of_bytes();
  std::string text;
  for (const char c : bytes) append_utf8(text, kSpelling[static_cast<unsigned char>(c)]);
  return text;
}

class TokenizerJsonReader {
 public:
  TokenizerJsonReader(const json& document, const std::filesystem::path& path) : document_(document), path_(path) {
    const std::array<std::uint32_t, 256> spelling = spelling_of_bytes();
    for (std::size_t byte = 0; byte < 256; ++byte) byte_of_[spelling[byte]] = static_cast<char>(byte);
  }

  BytePairVocabulary read() {
    check_settings();
    const json& model = require_key(document_, "model", path_);
    read_added_tokens();
    read_vocab(require_key(model, "vocab", path_));
    read_merges(require_key(model, "merges", path_));
    for (std::size_t byte = 0; byte < 256; ++byte) {
      const auto found = id_of_.find(std::string(1, static_cast<char>(byte)));
      if (found == id_of_.end()) throw user_error("{}: the single byte 0x{:02X} has no id", path_.string(), byte);
      vocabulary_.byte_ids[byte] = found->second;
    }
    return std::move(vocabulary_);
  }

 private:
  void expect(bool condition, std::string_view what) const {
    if (!condition) throw user_error("{}: not a byte-level BPE tokenizer as GPT-2's: {}", path_.string(), what);
  }

  void check_settings() const {
    const json& model = require_key(document_, "model", path_);
    expect(model.is_object() && model.value("type", json("BPE")) == "BPE", "\"model\" is not of type BPE");
    for (const char* key : {"dropout", "continuing_subword_prefix", "end_of_word_suffix"}) {
      const json value = model.value(key, json());
      expect(value.is_null() || value == "", fmt::format("\"{}\" is {}", key, value.dump()));
    }
    for (const char* key : {"byte_fallback", "ignore_merges"}) {
      const json value = model.value(key, json(false));
      expect(value == false, fmt::format("\"{}\" is {}", key, value.dump()));
    }
    expect(document_.value("normalizer", json()).is_null(), "it has a normalizer");
    const json& splitter = require_key(document_, "pre_tokenizer", path_);
    expect(splitter.is_object() && splitter.value("type", json()) == "ByteLevel", "the pre_tokenizer is not ByteLevel");
    expect(splitter.value("add_prefix_space", json(true)) == false, "add_prefix_space is not false");
    expect(splitter.value("use_regex", json(true)) == true, "use_regex is not true");
  }

  std::int32_t read_id(const json& value, std::string_view token) const {
    const bool valid = value.is_number_integer() && value >= 0 && value < kMaxTokens;
    if (!valid) throw user_error("{}: token {} has the id {}", path_.string(), token, value.dump());
    return value.get<std::int32_t>();
  }

  // Of the added tokens Virgil knows the one that ends a document; others are refused, for they would change how a text is cut.
  void read_added_tokens() {
    const json added = document_.value("added_tokens", json::array());
    expect(added.is_array() && added.size() <= 1, "\"added_tokens\" holds more than one token");
    for (const json& token : added) {
      const json& content = require_key(token, "content", path_);
      expect(content == kEndOfText, fmt::format("added token {} is not {}", content.dump(), kEndOfText));
      vocabulary_.end_of_text = read_id(require_key(token, "id", path_), kEndOfText);
    }
  }

  std::string unspell(const std::string& text) const {
    std::string bytes;
    for (std::size_t i = 0; i < text.size();) {
      const Utf8Char character = decode_utf8(text, i);
      const auto byte = byte_of_.find(character.code_point);
      if (character.length == 0 || byte == byte_of_.end()) {
        throw user_error("{}: token {} is not spelt in GPT-2's byte characters", path_.string(), json(text).dump());
      }
      bytes.push_back(byte->second);
      i += character.length;
    }
    return bytes;
  }

  void read_vocab(const json& vocab) {
    expect(vocab.is_object(), "\"vocab\" is not an object");
    const bool separate = vocabulary_.end_of_text >= 0 && !vocab.contains(std::string(kEndOfText));
    const std::size_t size = vocab.size() + (separate ? 1 : 0);
    std::vector<bool> taken(size);
    vocabulary_.tokens.resize(size);
    const auto place = [&](std::int32_t id, const std::string& bytes) {
      const auto index = static_cast<std::size_t>(id);
      if (index >= size) throw user_error("{}: id {} of {} tokens leaves a gap", path_.string(), id, size);
      if (taken[index]) throw user_error("{}: two tokens have the id {}", path_.string(), id);
      taken[index] = true;
      vocabulary_.tokens[index] = bytes;
    };
    for (const auto& [text, value] : vocab.items()) {
      const std::int32_t id = read_id(value, text);
      if (text.empty()) throw user_error("{}: id {} is an empty token", path_.string(), id);
      if (text == kEndOfText && vocabulary_.end_of_text >= 0) {
        expect(id == vocabulary_.end_of_text, fmt::format("{} has two ids", kEndOfText));
        place(id, text);
        continue;
      }
      const std::string bytes = unspell(text);
      place(id, bytes);
      id_of_[bytes] = id;
    }
    if (separate) place(vocabulary_.end_of_text, std::string(kEndOfText));
  }

  // A merge is "left right" or ["left", "right"].
  std::pair<std::string, std::string> read_pair(const json& merge) const {
    if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
      return {unspell(merge[0].get<std::string>()), unspell(merge[1].get<std::string>())};
    }
    const std::string text = merge.is_string() ? merge.get<std::string>() : std::string();
    const std::size_t space = text.find(' ');
    if (space == std::string::npos) throw user_error("{}: merge {} is not a pair", path_.string(), merge.dump());
    return {unspell(text.substr(0, space)), unspell(text.substr(space + 1))};
  }

  std::int32_t find_id(const std::string& bytes, const json& merge) const {
    const auto found = id_of_.find(bytes);
    if (found == id_of_.end()) {
      throw user_error("{}: merge {} speaks of a token that is not in the vocabulary", path_.string(), merge.dump());
    }
    return found->second;
  }

  void read_merges(const json& merges) {
    expect(merges.is_array() && merges.size() <= MergeTable::kMaxMerges, "\"merges\" is not a list, or too long a one");
    for (const json& merge : merges) {
      const auto [left, right] = read_pair(merge);
      vocabulary_.merges.push_back({find_id(left, merge), find_id(right, merge), find_id(left + right, merge)});
    }
  }

  const json& document_;
  const std::filesystem::path& path_;
  std::unordered_map<std::uint32_t, char> byte_of_;
  std::unordered_map<std::string, std::int32_t> id_of_;
  BytePairVocabulary vocabulary_;
};

}  // namespace

std::string write_tokenizer_json(const BytePairVocabulary& vocabulary) {
  const ordered_json byte_level = {
      {"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", true}};
  ordered_json document = {
      {"version", "1.0"},      {"truncation", nullptr},       {"padding", nullptr},        {"added_tokens", json::array()},
      {"normalizer", nullptr}, {"pre_tokenizer", byte_level}, {"post_processor", nullptr}, {"decoder", byte_level}};
  if (vocabulary.end_of_text >= 0) {
    document["added_tokens"].push_back({{"id", vocabulary.end_of_text},
                                        {"content", kEndOfText},
                                        {"single_word", false},
                                        {"lstrip", false},
                                        {"rstrip", false},
                                        {"normalized", false},
                                        {"special", true}});
  }
  ordered_json model = {{"type", "BPE"},
                        {"dropout", nullptr},
                        {"unk_token", nullptr},
                        {"continuing_subword_prefix", nullptr},
                        {"end_of_word_suffix", nullptr},
                        {"fuse_unk", false},
                        {"byte_fallback", false},
                        {"ignore_merges", false}};
  ordered_json::object_t vocab;  // a plain list underneath, so push_back keeps this linear
  std::vector<std::string> spelt;
  for (std::size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    const bool special = static_cast<std::int32_t>(id) == vocabulary.end_of_text;
    spelt.push_back(special ? vocabulary.tokens[id] : spell(vocabulary.tokens[id]));
    vocab.push_back({spelt.back(), id});
  }
  model["vocab"] = std::move(vocab);
  ordered_json::array_t merges;
  for (const auto& merge : vocabulary.merges) {
    merges.push_back(spelt[static_cast<std::size_t>(merge.left)] + " " + spelt[static_cast<std::size_t>(merge.right)]);
  }
  model["merges"] = std::move(merges);
  document["model"] = std::move(model);
  return document.dump(1) + "\n";
}

BytePairVocabulary read_tokenizer_json(std::string_view content, const std::filesystem::path& path) {
  const json document = parse_json(content, path);
  return TokenizerJsonReader(document, path).read();
}

}  // namespace virgil

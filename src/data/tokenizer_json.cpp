// Writes Hugging Face's tokenizer.json. Tokens are spelt in GPT-2's way: each byte as one printable character (bytes_to_unicode
// in OpenAI's encoder.py), so that no token holds white space.
#include <array>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "data/byte_pair_vocabulary.h"

#include "virgil/base/utf8.h"

namespace virgil {
namespace {

using nlohmann::ordered_json;

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

}  // namespace

std::string spell_bytes(std::string_view bytes) {
  static const std::array<std::uint32_t, 256> kSpelling = spelling_of_bytes();
  std::string text;
  for (const char c : bytes) append_utf8(text, kSpelling[static_cast<unsigned char>(c)]);
  return text;
}

std::string write_tokenizer_json(const BytePairVocabulary& vocabulary) {
  const ordered_json byte_level = {{"type", "ByteLevel"},
                                   {"add_prefix_space", false},
                                   {"trim_offsets", true},
                                   {"use_regex", vocabulary.rules.splitting.gpt2_words}};
  ordered_json document = {{"version", "1.0"},          {"truncation", nullptr},
                           {"padding", nullptr},        {"added_tokens", ordered_json::array()},
                           {"normalizer", nullptr},     {"pre_tokenizer", byte_level},
                           {"post_processor", nullptr}, {"decoder", byte_level}};
  if (vocabulary.end_of_text >= 0) {
    document["added_tokens"].push_back({{"id", vocabulary.end_of_text},
                                        {"content", vocabulary.tokens[static_cast<std::size_t>(vocabulary.end_of_text)]},
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
    spelt.push_back(special ? vocabulary.tokens[id] : spell_bytes(vocabulary.tokens[id]));
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

}  // namespace virgil

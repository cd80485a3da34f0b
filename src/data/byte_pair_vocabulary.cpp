#include "data/byte_pair_vocabulary.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <unordered_map>

#include "data/merge_table.h"
#include "virgil/base/error.h"
#include "virgil/base/sha256.h"

namespace virgil {
namespace {

int base64_digit(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  return c == '+' ? 62 : c == '/' ? 63 : -1;
}

// Base64 with padding (RFC 4648); nothing when malformed.
std::optional<std::string> decode_base64(std::string_view text) {
  if (text.empty() || text.size() % 4 != 0) return std::nullopt;
  const std::size_t padding = text.ends_with("==") ? 2 : text.ends_with("=") ? 1 : 0;
  std::string bytes;
  std::uint32_t bits = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const int digit = i + padding >= text.size() ? 0 : base64_digit(text[i]);
    if (digit < 0) return std::nullopt;
    bits = (bits << 6) | static_cast<std::uint32_t>(digit);
    if (i % 4 == 3) {
      for (const int shift : {16, 8, 0}) bytes.push_back(static_cast<char>((bits >> shift) & 0xFFU));
      bits = 0;
    }
  }
  bytes.resize(bytes.size() - padding);
  return bytes;
}

std::vector<std::string> read_rank_lines(std::string_view content, const std::filesystem::path& path) {
  std::vector<std::string> tokens;
  for (std::size_t line_number = 1; !content.empty(); ++line_number) {
    const std::string_view line = content.substr(0, content.find('\n'));
    content.remove_prefix(std::min(content.size(), line.size() + 1));
    const std::size_t space = line.find(' ');
    const std::string_view number = space == std::string_view::npos ? "" : line.substr(space + 1);
    const std::optional<std::string> token = decode_base64(line.substr(0, space));
    std::size_t rank = 0;
    const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), rank);
    if (!token || error != std::errc() || end != number.data() + number.size() || rank != tokens.size()) {
      throw user_error("{}: line {} is not \"<base64> {}\"", path.string(), line_number, tokens.size());
    }
    tokens.push_back(*token);
  }
  return tokens;
}

std::string describe_rules(const BytePairRules& rules) {
  std::string meaning =
      fmt::format("rules 1 prefix {} words {} nfc {} whole {} unknown {} {}\n", rules.splitting.add_prefix_space,
                  rules.splitting.gpt2_words, rules.composes, rules.ignores_merges, rules.unknown_id, rules.fuses_unknown);
  for (const SplitRule& rule : rules.splitting.splits) {
    meaning += fmt::format("split {} {} {} {} {}\n", static_cast<int>(rule.behavior), rule.inverted, rule.is_literal,
                           rule.pattern.size(), rule.pattern);
  }
  for (const AddedToken& token : rules.added) {
    meaning += fmt::format("{} {} {} {} {}\n", token.is_text ? "text" : "added", token.id, token.after_normalizing,
                           token.content.size(), token.content);
  }
  return meaning;
}

}  // namespace

std::array<unsigned char, 256> gpt2_byte_order() {
  const auto printable = [](int byte) { return (byte >= 33 && byte <= 126) || (byte >= 161 && byte != 173); };
  std::array<unsigned char, 256> order;
  std::size_t next = 0;
  for (const bool wanted : {true, false}) {
    for (int byte = 0; byte < 256; ++byte) {
      if (printable(byte) == wanted) order[next++] = static_cast<unsigned char>(byte);
    }
  }
  return order;
}

BytePairVocabulary byte_vocabulary() {
  BytePairVocabulary vocabulary;
  for (const unsigned char byte : gpt2_byte_order()) {
    vocabulary.byte_ids[byte] = static_cast<std::int32_t>(vocabulary.tokens.size());
    vocabulary.tokens.emplace_back(1, static_cast<char>(byte));
  }
  return vocabulary;
}

BytePairVocabulary read_ranks(std::string_view content, const std::filesystem::path& path) {
  BytePairVocabulary vocabulary;
  vocabulary.tokens = read_rank_lines(content, path);
  std::vector<std::int32_t> id_of_symbol(256, -1);
  MergeTable table(vocabulary.tokens.size());
  WordMerger merger(table);
  std::vector<Symbol> parts;
  for (std::size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    const std::string& token = vocabulary.tokens[id];
    const auto rank = static_cast<std::int32_t>(id);
    if (token.size() == 1) {
      id_of_symbol[static_cast<unsigned char>(token[0])] = rank;
      continue;
    }
    // With the earlier merges alone a token falls into the two parts that its own merge joins.
    merger.merge(token, parts);
    if (parts.size() != 2 || id_of_symbol[parts[0]] < 0 || id_of_symbol[parts[1]] < 0) {
      throw user_error("{}: token {} is not the join of two earlier ones", path.string(), id);
    }
    vocabulary.merges.push_back({id_of_symbol[parts[0]], id_of_symbol[parts[1]], rank});
    (void)table.add(parts[0], parts[1]);
    id_of_symbol.push_back(rank);
  }
  for (std::size_t byte = 0; byte < 256; ++byte) {
    if (id_of_symbol[byte] < 0) throw user_error("{}: the single byte 0x{:02X} is missing", path.string(), byte);
    vocabulary.byte_ids[byte] = id_of_symbol[byte];
  }
  vocabulary.end_of_text = static_cast<std::int32_t>(vocabulary.tokens.size());
  vocabulary.tokens.emplace_back(kEndOfText);
  return vocabulary;
}

std::string fingerprint_of(const BytePairVocabulary& vocabulary) {
  std::string meaning = fmt::format("virgil byte pair tokenizer 1 end_of_text {}\n", vocabulary.end_of_text);
  for (const std::string& token : vocabulary.tokens) meaning += fmt::format("{} {}\n", token.size(), token);
  for (const auto& merge : vocabulary.merges) meaning += fmt::format("{} {} {}\n", merge.left, merge.right, merge.result);
  if (!vocabulary.rules.is_gpt2()) meaning += describe_rules(vocabulary.rules);
  return sha256_hex(meaning);
}

}  // namespace virgil

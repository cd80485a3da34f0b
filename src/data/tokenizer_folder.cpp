#include "data/tokenizer_folder.h"

#include <algorithm>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "data/tokenizer_config.h"
#include "virgil/base/error.h"
#include "virgil/base/file_system.h"
#include "virgil/base/foreign_file.h"
#include "virgil/base/json.h"

namespace virgil {
namespace {

using nlohmann::json;

// GPT-2's tokenizer.json takes 3 MB; a char vocabulary of all of Unicode 12 MB.
constexpr std::int64_t kMaxTokenizerFileBytes = std::int64_t{64} << 20;

// Those that trainers of GPT-2-like and RoBERTa-like vocabularies reserve.
constexpr std::string_view kReservedNames[] = {"<|endoftext|>", "<|startoftext|>", "<|padding|>", "<s>",
                                               "</s>",          "<pad>",           "<unk>",       "<mask>"};

/// The lines of merges.txt after its "#version" line.
json read_merge_lines(const std::filesystem::path& path) {
  const std::string content = read_tokenizer_bytes(path);
  json merges = json::array();
  std::string_view rest = content;
  for (bool first = true; !rest.empty(); first = false) {
    std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty() || (first && line.starts_with("#version"))) continue;
    merges.push_back(std::string(line));
  }
  return merges;
}

/// `settings` is an object that may hold single_word and its kin.
void add_token(json& added, const std::string& content, const json& id, bool special, const json& settings = json::object()) {
  const bool is_known = std::ranges::any_of(added, [&](const json& token) { return token["content"] == content; });
  if (is_known) return;
  json token = {{"id", id}, {"content", content}, {"special", special}};
  for (const char* key : {"single_word", "lstrip", "rstrip", "normalized"})
    token[key] = settings.value(key, json(false)) == true;
  added.push_back(std::move(token));
}

json read_added_tokens(const std::filesystem::path& folder, const json& vocab, const json& config) {
  json added = json::array();
  const json decoder = config.value("added_tokens_decoder", json::object());
  for (const auto& [id, token] : decoder.items()) {
    const json content = token.is_object() ? token.value("content", json()) : json();
    const json number = json::parse(id, nullptr, false);
    if (content.is_string() && number.is_number_integer()) {
      add_token(added, content.get<std::string>(), number, token.value("special", json(false)) == true, token);
    }
  }
  if (std::filesystem::exists(folder / "added_tokens.json")) {
    const json tokens = read_tokenizer_part(folder / "added_tokens.json");
    for (const auto& [content, id] : tokens.items()) {
      const bool is_bracketed = content.size() > 2 && ((content.front() == '<' && content.back() == '>') ||
                                                       (content.front() == '[' && content.back() == ']'));
      add_token(added, content, id, is_bracketed);
    }
  }
  for (const std::string_view name : kReservedNames) {
    const auto found = vocab.find(std::string(name));
    if (found != vocab.end()) add_token(added, std::string(name), *found, true);
  }
  return added;
}

}  // namespace

std::string read_tokenizer_bytes(const std::filesystem::path& path) {
  std::string content = read_file(path, kMaxTokenizerFileBytes);
  if (const auto foreign = describe_foreign_file(content)) throw user_error("{}: is {}", path.string(), *foreign);
  return content;
}

nlohmann::json read_tokenizer_part(const std::filesystem::path& path) {
  json object = parse_sorted_json(read_tokenizer_bytes(path), path.string());
  if (!object.is_object()) throw user_error("{}: not a JSON object", path.string());
  return object;
}

BytePairVocabulary read_vocab_and_merges(const std::filesystem::path& folder) {
  for (const char* name : {kVocabFile, kMergesFile}) {
    if (!std::filesystem::exists(folder / name)) {
      throw user_error("{}: missing; {} and {} make a tokenizer together", (folder / name).string(), kVocabFile, kMergesFile);
    }
  }
  json vocab = read_tokenizer_part(folder / kVocabFile);
  const std::filesystem::path config_path = folder / kTokenizerConfigFile;
  const json config = std::filesystem::exists(config_path) ? read_tokenizer_part(config_path) : json::object();
  const bool prefix = config.value("add_prefix_space", json(false)) == true;
  const json byte_level = {{"type", "ByteLevel"}, {"add_prefix_space", prefix}, {"trim_offsets", true}, {"use_regex", true}};
  json document = {{"version", "1.0"},          {"truncation", nullptr}, {"padding", nullptr},
                   {"added_tokens", nullptr},   {"normalizer", nullptr}, {"pre_tokenizer", byte_level},
                   {"post_processor", nullptr}, {"decoder", byte_level}};
  document["added_tokens"] = read_added_tokens(folder, vocab, config);
  document["model"] = {{"type", "BPE"}, {"dropout", nullptr}, {"unk_token", nullptr}, {"fuse_unk", false}};
  document["model"]["vocab"] = std::move(vocab);
  document["model"]["merges"] = read_merge_lines(folder / kMergesFile);
  return read_tokenizer_json(document.dump(), folder / kVocabFile, read_end_of_text_hint(folder));
}

}  // namespace virgil

#include "data/virgil_tokenizer_file.h"

#include <cstdint>
#include <nlohmann/json.hpp>
#include <unordered_set>
#include <utility>

#include "data/byte_tokenizer.h"
#include "data/char_tokenizer.h"
#include "virgil/base/error.h"
#include "virgil/base/json.h"
#include "virgil/base/utf8.h"

namespace virgil {
namespace {

constexpr const char* kTokenizerFormat = "virgil-tokenizer";
constexpr int kTokenizerVersion = 1;

nlohmann::ordered_json header(const char* type) {
  return {{"format", kTokenizerFormat}, {"version", kTokenizerVersion}, {"type", type}};
}

std::vector<std::uint32_t> read_characters(const nlohmann::ordered_json& list, const std::filesystem::path& path) {
  if (!list.is_array() || list.empty()) throw user_error("{}: \"characters\" is not a list of characters", path.string());
  std::vector<std::uint32_t> code_points;
  std::unordered_set<std::uint32_t> seen;
  for (const nlohmann::ordered_json& entry : list) {
    const std::string text = entry.is_string() ? entry.get<std::string>() : std::string();
    const Utf8Char character = text.empty() ? Utf8Char{} : decode_utf8(text, 0);
    if (character.length == 0 || character.length != text.size()) {
      throw user_error("{}: \"characters\" entry {} is not exactly one character: {}", path.string(), code_points.size(),
                       describe_json(entry));
    }
    if (!seen.insert(character.code_point).second) {
      throw user_error("{}: \"characters\" holds U+{:04X} twice, at entry {} again", path.string(), character.code_point,
                       code_points.size());
    }
    code_points.push_back(character.code_point);
  }
  return code_points;
}

}  // namespace

std::string write_byte_tokenizer_file() { return header("byte").dump(1) + "\n"; }

std::string write_char_tokenizer_file(const std::vector<std::string>& characters) {
  nlohmann::ordered_json document = header("char");
  document["characters"] = characters;
  return document.dump(1) + "\n";
}

std::unique_ptr<Tokenizer> read_virgil_tokenizer_file(std::string_view content, const std::filesystem::path& path) {
  const nlohmann::ordered_json parsed = parse_json(content, path.string());
  const JsonObject document(parsed, path.string());
  if (document.at("format") != kTokenizerFormat) throw user_error("{}: not a Virgil tokenizer", path.string());
  const nlohmann::ordered_json& version = document.at("version");
  if (version != kTokenizerVersion) {
    throw user_error("{}: version {} is not known; this program reads version {}", path.string(), describe_json(version),
                     kTokenizerVersion);
  }
  const nlohmann::ordered_json& type = document.at("type");
  if (type == "byte") return std::make_unique<ByteTokenizer>();
  if (type == "char") {
    return std::make_unique<CharTokenizer>(read_characters(document.at("characters"), path));
  }
  throw user_error("{}: tokenizer type {} is not known; known are \"byte\" and \"char\"", path.string(), describe_json(type));
}

}  // namespace virgil

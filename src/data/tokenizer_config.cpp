#include "data/tokenizer_config.h"

#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>

#include "data/tokenizer_folder.h"
#include "virgil/base/json.h"

namespace virgil {
namespace {

using nlohmann::json;

// A token's name, which stands alone or in an object.
std::string name_in(const json& config, const char* key) {
  json token = config.value(key, json());
  if (token.is_object()) token = token.value("content", json());
  return token.is_string() ? token.get<std::string>() : std::string();
}

}  // namespace

std::string write_tokenizer_config(std::string_view end_of_text) {
  nlohmann::ordered_json config = {{"tokenizer_class", "PreTrainedTokenizerFast"},
                                   {"add_bos_token", false},
                                   {"add_eos_token", false},
                                   {"clean_up_tokenization_spaces", false}};
  if (!end_of_text.empty()) {
    config["bos_token"] = end_of_text;
    config["eos_token"] = end_of_text;
  }
  return config.dump(2) + "\n";
}

EndOfTextHint read_end_of_text_hint(const std::filesystem::path& folder) {
  EndOfTextHint hint;
  for (const char* name : {kTokenizerConfigFile, "special_tokens_map.json"}) {
    const std::filesystem::path path = folder / name;
    if (hint.token.empty() && std::filesystem::exists(path)) hint.token = name_in(read_tokenizer_part(path), "eos_token");
  }
  const std::filesystem::path model = folder / "config.json";
  if (!hint.token.empty() || !std::filesystem::exists(model)) return hint;
  const json config = read_tokenizer_part(model);
  json id = config.is_object() ? config.value("eos_token_id", json()) : json();
  if (id.is_array() && !id.empty()) id = id[0];
  const bool fits = id.is_number_integer() && id >= 0 && id <= std::numeric_limits<std::int32_t>::max();
  if (fits) hint.id = id.get<std::int32_t>();
  return hint;
}

}  // namespace virgil

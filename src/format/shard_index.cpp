#include "format/shard_index.h"

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "virgil/base/error.h"
#include "virgil/base/excerpt.h"
#include "virgil/base/json.h"

namespace virgil {
namespace {

/// An index speaks of its own folder only.
void check_file_name(const std::string& tensor, std::string_view name, const std::string& where) {
  constexpr std::string_view kSeparators("/\\\0", 3);
  const bool is_plain = !name.starts_with('.') && name.find_first_of(kSeparators) == name.npos;
  if (is_plain && name.ends_with(".safetensors")) return;
  throw user_error("{}: {} lies in {}, which is not the name of a safetensors file in this folder", where,
                   quoted_excerpt(tensor), quoted_excerpt(name));
}

}  // namespace

ShardIndex parse_shard_index(std::string_view text, const std::string& where) {
  // {"metadata": {"total_size": 123}, "weight_map": {"tensor": "model-00001-of-00002.safetensors"}}
  const nlohmann::ordered_json parsed = parse_json(text, where);
  const JsonObject map = JsonObject(parsed, where).object("weight_map");
  ShardIndex index;
  for (const auto& [tensor, file] : map.json().items()) {
    if (!file.is_string()) {
      throw user_error("{}: {} is {} where a file's name belongs", map.where(), quoted_excerpt(tensor), describe_json(file));
    }
    const auto& name = file.get_ref<const std::string&>();
    check_file_name(tensor, name, where);
    index.emplace(tensor, name);
  }
  return index;
}

}  // namespace virgil

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "virgil/base/json.h"
#include "virgil/model/family.h"

namespace virgil {

namespace {

constexpr std::array kFamilies = {&kGpt2Family, &kVirgilFamily, &kLlamaFamily, &kMistralFamily, &kQwen2Family};

}  // namespace

const char* key_of(const ConfigSize& size, const JsonObject& json) {
  if (json.has(size.general)) return size.general;
  return size.old_name != nullptr && !json.has(size.name) ? size.old_name : size.name;
}

std::span<const Family* const> families() { return kFamilies; }

const Family* find_family(std::string_view model_type) {
  const auto found = std::ranges::find(kFamilies, model_type, [](const Family* family) { return family->model_type; });
  return found == kFamilies.end() ? nullptr : *found;
}

std::string family_names(bool trained_only) {
  std::vector<std::string_view> names;
  for (const Family* family : kFamilies) {
    if (family->is_trained() || !trained_only) names.push_back(family->model_type);
  }
  std::string text;
  for (std::size_t i = 0; i < names.size(); ++i) {
    text += i == 0 ? "" : i + 1 == names.size() ? " and " : ", ";
    text += names[i];
  }
  return text;
}

Architecture read_sizes(const Family& family, const JsonObject& json) {
  Architecture model = family.usual();
  for (const ConfigSize& size : family.sizes) {
    const char* key = key_of(size, json);
    model.*size.member = size.required ? json.integer(key) : json.integer_or(key, 0);
  }
  return model;
}

}  // namespace virgil

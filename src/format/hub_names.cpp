#include "virgil/format/hub_names.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <string>
#include <string_view>

namespace virgil {
namespace {

struct HubModel {
  std::string_view name;
  std::string_view repository;
};

constexpr HubModel kHubModels[] = {
    {"gpt2", "openai-community/gpt2"},
    {"gpt2-medium", "openai-community/gpt2-medium"},
    {"gpt2-large", "openai-community/gpt2-large"},
    {"gpt2-xl", "openai-community/gpt2-xl"},
    {"distilgpt2", "distilbert/distilgpt2"},
};

bool is_hub_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
}

/// "organisation/model", which is also a path of a folder and a name.
bool is_repository(std::string_view name) {
  const std::size_t slash = name.find('/');
  if (slash == name.npos || slash == 0 || slash + 1 == name.size() || name.front() == '.') return false;
  const std::string_view parts[] = {name.substr(0, slash), name.substr(slash + 1)};
  return std::ranges::all_of(parts, [](std::string_view part) { return std::ranges::all_of(part, is_hub_character); });
}

}  // namespace

std::string describe_hub_download(std::string_view name) {
  const auto* known = std::ranges::find(kHubModels, name, &HubModel::name);
  const bool is_known = known != std::end(kHubModels);
  constexpr std::string_view kRuns = "runs/";
  if (!is_known && (!is_repository(name) || name.starts_with(kRuns))) return {};
  const std::string_view repository = is_known ? known->repository : name;
  const std::string_view folder = repository.substr(repository.find('/') + 1);
  return fmt::format(
      "models are not downloaded; if the one of the Hugging Face Hub is meant: hf download {} --local-dir {}, and "
      "name the folder {}",
      repository, folder, folder);
}

}  // namespace virgil

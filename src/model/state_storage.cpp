#include "virgil/model/state_storage.h"

#include <algorithm>

#include "virgil/base/error.h"
#include "virgil/model/optimizer_traits.h"
#include "virgil/model/parameter_layout.h"

namespace virgil {

std::vector<std::string> state_storage_names() {
  std::vector<std::string> names;
  for (const StorageType& storage : kStateStorages) names.emplace_back(name_of(storage));
  return names;
}

StorageType state_storage_named(std::string_view name) {
  const auto found = std::ranges::find(kStateStorages, name, [](const StorageType& storage) { return name_of(storage); });
  VIRGIL_CHECK(found != kStateStorages.end(), "optimizer_state_dtype \"{}\" is not resolved", name);
  return *found;
}

StorageType smallest_state_storage() {
  const auto bytes = [](const StorageType& storage) { return storage.bytes_for(ParameterLayout::kAlignment); };
  return *std::ranges::min_element(kStateStorages, {}, bytes);
}

}  // namespace virgil

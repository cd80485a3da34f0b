// The ways to keep an optimizer's states, as users name them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "virgil/base/storage_type.h"

namespace virgil {

/// Of kStateStorages, in their order.
[[nodiscard]] std::vector<std::string> state_storage_names();
/// Throws InternalError for a name that is none of them.
[[nodiscard]] StorageType state_storage_named(std::string_view name);
/// In which states take the fewest bytes.
[[nodiscard]] StorageType smallest_state_storage();

}  // namespace virgil

// Memory by category, as the programs' JSON has it.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "virgil/memory/memory_resource.h"

namespace virgil {

/// {"weights": bytes, "master_weights": bytes, ...}.
[[nodiscard]] inline nlohmann::ordered_json categories_json(const BytesByCategory& bytes) {
  nlohmann::ordered_json json;
  for (const MemoryCategory category : kAllMemoryCategories) json[std::string(name_of(category))] = bytes[category];
  return json;
}

}  // namespace virgil

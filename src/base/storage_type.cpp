#include "virgil/base/storage_type.h"

#include "virgil/base/error.h"
#include "virgil/base/shape.h"

namespace virgil {

std::int64_t StorageType::units_for(std::int64_t elements) const {
  VIRGIL_CHECK(elements >= 0 && block_elements >= 1 && block_units >= 1, "{} values in blocks of {} values and {} units",
               elements, block_elements, block_units);
  return checked_multiply(ceil_div(elements, block_elements), block_units);
}

std::int64_t StorageType::bytes_for(std::int64_t elements) const {
  return checked_multiply(units_for(elements), size_of(unit));
}

std::string_view name_of(const StorageType& storage) {
  return storage.block_name.empty() ? name_of(storage.unit) : storage.block_name;
}

}  // namespace virgil

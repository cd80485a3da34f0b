// How many bytes values take where they are kept, apart from the type in which ops compute with them.
#pragma once

#include <cstdint>
#include <string_view>

#include "virgil/base/dtype.h"

namespace virgil {

/// Values are kept in blocks of `block_elements`, each `block_units` numbers of type `unit` long: one number a value for the
/// types that ops compute in; more or fewer for quantized blocks with their scales. A view of what is stored counts units.
struct StorageType {
  std::string_view block_name;  // as users type and read it; empty: that of the unit
  DType unit = DType::kFloat32;
  std::int64_t block_elements = 1;
  std::int64_t block_units = 1;

  constexpr StorageType() = default;
  /// Every value is one number of `dtype`. Implicit: a dtype is a storage type.
  constexpr StorageType(DType dtype) : unit(dtype) {}  // NOLINT(google-explicit-constructor)
  constexpr StorageType(std::string_view name, DType block_unit, std::int64_t elements, std::int64_t units)
      : block_name(name), unit(block_unit), block_elements(elements), block_units(units) {}

  [[nodiscard]] constexpr bool is_plain() const { return block_elements == 1 && block_units == 1; }
  [[nodiscard]] constexpr std::int64_t block_bytes() const { return block_units * size_of(unit); }
  /// Units of `elements` values, of which the last block may be filled in part. Throws UserError on overflow, InternalError on
  /// a negative number.
  [[nodiscard]] std::int64_t units_for(std::int64_t elements) const;
  /// The same in bytes.
  [[nodiscard]] std::int64_t bytes_for(std::int64_t elements) const;
  friend constexpr bool operator==(const StorageType&, const StorageType&) = default;
};

/// "bfloat16", or a block's own name.
[[nodiscard]] std::string_view name_of(const StorageType& storage);

}  // namespace virgil

// Where the activations of a tape lie: packed into one arena, so that what is dead is reused.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "virgil/base/dtype.h"
#include "virgil/base/shape.h"
#include "virgil/model/tape.h"

namespace virgil {

struct ActivationSpec {
  std::string name;  // "h.3.qkv", "h.3.qkv (recomputed)"
  DType dtype = DType::kFloat32;
  Shape shape;
  Life life;  // of the tape's calls
  std::int64_t offset_bytes = 0;
  std::int64_t size_bytes = 0;  // rounded up to the alignment
};

/// Pure function of its arguments. Gives two activations the same bytes only when they never live at the same time (largest
/// first, lowest fitting offset).
class ArenaLayout {
 public:
  /// The first `reserved_bytes` are left alone. Without `share` every tensor has bytes of its own, to test that sharing changes
  /// nothing.
  ArenaLayout(const Tape& tape, std::int64_t alignment_bytes, bool share = true, std::int64_t reserved_bytes = 0);

  /// In the order in which they are first used.
  [[nodiscard]] std::span<const ActivationSpec> activations() const { return specs_; }
  /// Of a tensor of the tape that is an activation; throws InternalError for another.
  [[nodiscard]] std::int64_t offset_of(std::int32_t tensor) const;
  /// With what is reserved.
  [[nodiscard]] std::int64_t arena_bytes() const { return arena_bytes_; }
  /// What the same tensors would take side by side.
  [[nodiscard]] std::int64_t unshared_bytes() const;

 private:
  std::vector<ActivationSpec> specs_;
  std::vector<std::int32_t> spec_of_;  // by the tape's tensor; -1: not an activation
  std::int64_t arena_bytes_ = 0;
};

}  // namespace virgil

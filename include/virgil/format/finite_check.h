// Refusing weights that hold NaN or infinity: everything computed from them is NaN.
#pragma once

#include <span>
#include <string>

#include "virgil/format/checkpoint.h"
#include "virgil/format/pretrained_model.h"

namespace virgil {

/// Throws UserError that names `where`, the first tensor with a value that is not finite, how many there are and where the
/// first stands. Reads every byte, at the speed of memory.
void check_finite(std::span<const StoredTensor> tensors, const std::string& where);

/// Of a checkpoint's weights and, where it has one, its optimizer state.
void check_finite(const LoadedCheckpoint& checkpoint);

/// Throws UserError where a value becomes infinite when it is rounded to `dtype`.
void check_representable(std::span<const StoredTensor> tensors, DType dtype, const std::string& where);

}  // namespace virgil

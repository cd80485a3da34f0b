// Copies of float32 values to and from tensors of any float type.
#pragma once

#include <span>

#include "virgil/backend/backend.h"

namespace virgil {

/// dst = values, as many elements; into 16 bits rounded to nearest, ties to even.
void copy_floats_to_device(Backend& backend, TensorView dst, std::span<const float> values);
/// values = src, as many elements; 16 bits are widened exactly.
void copy_floats_to_host(Backend& backend, std::span<float> values, ConstTensorView src);

}  // namespace virgil

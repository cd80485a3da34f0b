// Where a recorded pass stands in the random numbers each time that it is repeated.
#pragma once

#include "virgil/ops/dropout.h"

namespace virgil::cuda {

/// A launch that is recorded keeps its arguments. What its dropouts are to take from the repetition instead lies in device
/// memory, and their arguments count from where the recorded pass stood.
struct RecordedPlace {
  const RandomPlace* now = nullptr;  // of the repetition, on the device; null: nothing is recorded
  RandomPlace recorded = {};         // of the pass that was recorded
};

}  // namespace virgil::cuda

// What is thrown where a model computes NaN or infinity.
#pragma once

#include "virgil/base/error.h"

namespace virgil {

/// A result that is not a number, which nothing can be made of. Neither the program's fault nor its user's: the model has
/// diverged, or its values leave the range of the type they are computed in. Programs exit with 1.
class NonFiniteError : public Error {
 public:
  using Error::Error;
};

}  // namespace virgil

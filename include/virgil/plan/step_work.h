// What calls cost, as one number: their operations, and what they move, weighed.
#pragma once

#include <cstddef>

#include "virgil/base/dtype.h"
#include "virgil/model/tape.h"

namespace virgil {

/// Multiply-adds that a machine makes in the time in which it moves a number of the type that it computes in: about 100 G a
/// second against 5 G on two server cores, and as much on a GPU without tensor cores.
inline constexpr double kMultiplyAddsPerNumberMoved = 20;

/// In multiply-adds, of a step that computes in `dtype`.
[[nodiscard]] double call_work(const Call& call, DType dtype);
/// Of calls [begin, end), as often as each is made.
[[nodiscard]] double calls_work(const Tape& tape, std::size_t begin, std::size_t end, DType dtype);

}  // namespace virgil

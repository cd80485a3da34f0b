// How calls use their operands, and what a call costs.
#pragma once

#include <cstdint>

namespace virgil::ops {

/// What a call does to an operand. A written operand's old contents mean nothing to it; an updated one is added to, or changed
/// in place.
enum class Access : std::uint8_t { kRead, kWrite, kUpdate };

/// The arithmetic of a call and what it moves between memory and processor if nothing stays in a cache: an operand that is read
/// or written counts once, one that is updated twice.
struct Cost {
  double flops = 0;
  double bytes = 0;
};

}  // namespace virgil::ops

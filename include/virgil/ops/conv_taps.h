// Plain C++, so that kernels can include it.
#pragma once

#include <cstdint>

namespace virgil {

inline constexpr std::int64_t kMaxConvTaps = 7;  // positions before, that one causal convolution reads

}  // namespace virgil

// What bench can be asked for, and which flags go with which question.
#pragma once

#include <cstdint>
#include <vector>

#include "virgil/config/program_flags.h"

namespace virgil::bench {

enum class BenchMode : std::uint8_t { kStep, kGenerate, kTokenizers, kScaling, kToLoss };

/// All flags of bench's own, for parsing and for --help.
[[nodiscard]] std::vector<ToolFlag> bench_flags();

/// What the flags ask for: a training step where none names something else. Throws UserError where two do, and for a flag that
/// belongs to another mode.
[[nodiscard]] BenchMode choose_mode(const ToolArguments& arguments);

}  // namespace virgil::bench

// Which contexts and batches bench --generate measures.
#pragma once

#include <cstdint>
#include <vector>

#include "virgil/config/program_flags.h"

namespace virgil::bench {

/// Every context with every batch.
struct GenerationGrid {
  std::vector<std::int64_t> contexts;  // tokens of a sequence, ascending
  std::vector<std::int64_t> batches;   // sequences at once, ascending
  std::int64_t rounds = 0;             // in each of which every cell is measured once
};

/// --contexts, --batches and --rounds, or what they default to for a model of that block_size. Throws UserError for what is no
/// list of numbers, a context that the model cannot hold, and more sequences than `generate` generates at once.
[[nodiscard]] GenerationGrid choose_grid(const ToolArguments& arguments, std::int64_t block_size);

}  // namespace virgil::bench

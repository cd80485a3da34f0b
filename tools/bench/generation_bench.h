// Times generation over a grid of contexts and batches.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "bench/generation_grid.h"
#include "bench/peak_rates.h"
#include "virgil/base/dtype.h"
#include "virgil/base/logging.h"
#include "virgil/base/spread.h"
#include "virgil/model/architecture.h"
#include "virgil/plan/generation_estimate.h"
#include "virgil/plan/run_plan.h"
#include "virgil/report/subject.h"

namespace virgil::bench {

/// Medians over all rounds, in milliseconds. Tokens are drawn as `generate` draws them, and the drawing counts.
struct GenerationTimes {
  double first_token_ms = 0;  // all sequences' prompts of the whole context, each its own, and a token of each
  double token_ms = 0;        // then one token of each sequence, at the full context
  /// What the peak beside each round allows, over what the round took. That of a token is more than 1 where weights stay in a
  /// processor's cache, or reading alone is faster than the triad that measured the peak.
  Spread first_token_share, token_share;
};

struct GenerationCell {
  GenerationShape shape;
  GenerationSpeed floor;  // by the medians of the machine's peaks
  std::int64_t planned_bytes = 0;
  std::int64_t held_bytes = 0;           // that the cell allocated; 0 where it does not fit
  std::optional<GenerationTimes> times;  // nothing: the plan does not fit

  [[nodiscard]] double tokens_per_s() const { return static_cast<double>(shape.num_sequences) / (times->token_ms / 1000); }
};

struct GenerationTable {
  std::string device;
  PeakSpread peak;
  Architecture model;
  DType dtype = DType::kFloat32;  // of weights, caches and activations
  std::int64_t rounds = 0;
  MemoryBudget budget;                // that a cell's plan must fit
  std::vector<GenerationCell> cells;  // by context, then by batch
};

/// Tokens after the first that each round times in each cell.
inline constexpr int kTokensPerRound = 8;

/// Every cell in turns, `grid.rounds` times, each in memory of its own plan, with random weights and tokens. The type is that
/// of the configuration where it names one, else that which `generate` defaults to. Throws UserError for a model that Virgil
/// does not compute, and when no cell fits.
[[nodiscard]] GenerationTable bench_generation(const Subject& subject, const GenerationGrid& grid, Logger& log);

}  // namespace virgil::bench

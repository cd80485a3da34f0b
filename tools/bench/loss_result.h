// What a run of a race came to.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "virgil/run_report/run_history.h"

namespace virgil::bench {

/// Times are of training alone: the sum of its steps, without evaluations, samples and checkpoints.
struct LossResult {
  std::optional<double> seconds = {};  // until the first evaluation with the target or less
  std::int64_t steps = 0;              // until then
  double best_loss = 0;                // nats a character: the lowest in time; infinite where there was no evaluation
  std::int64_t best_step = 0;
  double trained_s = 0;  // in all
  std::int64_t trained_steps = 0;
  double tokens_per_s = 0;
};

/// What counts, and in which unit.
struct LossTarget {
  double loss = 0;                      // nats a character, whatever the tokens
  double bytes_per_character = 1;       // of the held-out text
  std::optional<double> within_s = {};  // evaluations after so much training do not count
};

[[nodiscard]] LossResult loss_result(const RunHistory& run, const LossTarget& target);

/// Whether such a run need not go on.
[[nodiscard]] bool is_decided(const LossResult& result, const LossTarget& target);

/// Of the runs of one entrant.
struct LossSummary {
  std::size_t runs = 0;
  std::size_t reached = 0;
  /// Runs that did not find the target count as longer than all others: nothing where the median is one of them.
  std::optional<double> median_s = {};
  std::optional<double> least_s = {};  // of those that did
  std::optional<double> most_s = {};
  std::optional<std::int64_t> median_steps = {};
  double median_best_loss = 0;
  double median_tokens_per_s = 0;
};
[[nodiscard]] LossSummary summarize(std::span<const LossResult> results);

}  // namespace virgil::bench

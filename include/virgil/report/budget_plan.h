// The models worth training in a given time on a given text.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "virgil/config/config_schema.h"
#include "virgil/plan/loss_forecast.h"
#include "virgil/plan/plan_config.h"
#include "virgil/plan/run_plan.h"
#include "virgil/report/text_measure.h"

namespace virgil {

/// A text of fewer bytes is learned by characters, with a short context, unless the command says otherwise.
inline constexpr std::int64_t kShortTextBytes = 16 << 20;

/// Whether a flag or the config file gives the key.
[[nodiscard]] bool is_given(const CommandLine& line, std::string_view key);

/// Floating-point operations a second that training sustains, counted as in count_flops, by a model's size.
class TrainingRates {
 public:
  /// The same for all sizes.
  explicit TrainingRates(double flops_per_s) : everywhere_(flops_per_s) {}

  /// Measured with a model of that size.
  void add(double parameters, double flops_per_s);
  /// Between measured sizes by the logarithm of the size, beyond them as at the nearest.
  [[nodiscard]] double at(double parameters) const;
  [[nodiscard]] bool is_measured() const { return !measured_.empty(); }

 private:
  struct Point {
    double parameters = 0;
    double flops_per_s = 0;
  };
  double everywhere_;
  std::vector<Point> measured_;  // by size
};

struct BudgetQuestion {
  double seconds = 0;
  double price_per_hour = 0;  // of each processor or GPU; 0: not asked
  CommandLine line = {};      // what is given stays as it is, but for the length of the run
  bool names_model = false;   // by the command line: no other is looked at
  TextMeasure text = {};
  Machine machine = {};
};

/// A run that takes the time and not more.
struct BudgetRun {
  Architecture model = {};
  std::int64_t parameters = 0;
  TrainConfig config = {};  // resolved
  TrainingShape shape = {};
  std::int64_t planned_bytes = 0;
  bool fits = false;
  double tokens_per_s = 0;  // of all processes
  double tokens = 0;        // that it trains on
  double passes = 0;        // over the text
  double seconds = 0;       // evaluations included
  double price = 0;
  bool text_is_exhausted = false;  // more passes would bring nothing: it takes less than the time given
  LossForecast loss = {};          // nats a byte
  KeyValues changes = {};          // that make the question's command line this run
};

/// Passes after which more of them bring next to nothing (Muennighoff et al. 2023).
inline constexpr double kMostPasses = 16;

/// One run for each of some usual shapes of models from 100 thousand parameters on, smallest first, those that the time, the
/// text and the memory allow, or the one that the command line names. Throws UserError where not even the smallest gets a
/// useful number of steps, or none fits.
[[nodiscard]] std::vector<BudgetRun> plan_budget(const BudgetQuestion& question, const TrainingRates& rates);
/// The run with the lowest loss of those that fit. Requires one.
[[nodiscard]] const BudgetRun& best_run(const std::vector<BudgetRun>& runs);

/// Operations a second of a run's plan on the device at hand.
using MeasureRate = std::function<double(const BudgetRun&)>;
/// Measures the best run, and whichever becomes the best then, so that what is recommended has been measured.
[[nodiscard]] std::vector<BudgetRun> plan_measured_budget(const BudgetQuestion& question, TrainingRates& rates,
                                                          const MeasureRate& measure);

}  // namespace virgil

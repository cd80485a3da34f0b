#include "command/calc_budget.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "virgil/base/error.h"
#include "virgil/base/progress_printer.h"
#include "virgil/config/duration.h"
#include "virgil/machine/measured_dtype.h"
#include "virgil/plan/estimates.h"
#include "virgil/report/budget_plan.h"
#include "virgil/report/budget_report.h"
#include "virgil/report/fit_report.h"
#include "virgil/report/verify.h"

namespace virgil {

namespace {

void choose_tokenizer(CommandLine& line, Logger& log) {
  if (!is_given(line, "tokenizer") && input_bytes(line.config, log) < kShortTextBytes) line.config.tokenizer = "char";
}

/// Runs steps of micro-batches of at most so many tokens: their rate is that of larger ones.
class StepTimer {
 public:
  StepTimer(Backend& backend, const Machine& machine, Logger& log) : backend_(backend), machine_(machine), log_(log) {}

  double operator()(const BudgetRun& run) const {
    TrainingShape shape = run.shape;
    shape.batch_size = std::clamp<std::int64_t>(kTokens / shape.model.block_size, 1, shape.batch_size);
    shape.grad_accum_steps = 1;
    const double tokens = static_cast<double>(shape.batch_size * shape.model.block_size);
    const double flops = count_flops(run.model).training() * tokens;
    log_.info(fmt::format("measuring: steps of a model of {} parameters", short_count(run.parameters)));
    const MemoryPlan plan = plan_training(shape, *machine_.traits);
    double step_s = verify_plan(backend_, plan).step_seconds;
    // Short steps are easily disturbed; the fastest counts.
    for (int i = 0; i < kRepetitions && step_s < kShortStepSeconds; ++i) {
      step_s = std::min(step_s, verify_plan(backend_, plan).step_seconds);
    }
    return flops / step_s;
  }

 private:
  static constexpr std::int64_t kTokens = 4096;
  static constexpr int kRepetitions = 3;
  static constexpr double kShortStepSeconds = 1;
  Backend& backend_;
  const Machine& machine_;
  Logger& log_;
};

void check_flags(const ToolArguments& arguments) {
  for (const char* name : {"model", "hf", "weights", "solve", "matrix", "verify", "show_formula", "tensors", "calls", "compare",
                           "run", "interactive"}) {
    if (arguments.has(name)) throw user_error("--budget and --{} are two questions; ask one at a time", name);
  }
}

}  // namespace

void answer_budget(const BudgetCall& call, std::ostream& out, Logger& log) {
  const ToolArguments& arguments = call.arguments;
  check_flags(arguments);
  BudgetQuestion question{.seconds = parse_duration(*arguments.value("budget")),
                          .price_per_hour = arguments.positive_number("price").value_or(0),
                          .line = call.line,
                          .names_model = call.names_model};
  if (std::ranges::find(call.line.set_keys, "epochs") != call.line.set_keys.end()) {
    throw user_error("--budget and --epochs both say how long the run is; leave one of the two out");
  }
  if (!question.line.config.init_from.empty()) {
    throw user_error("--budget asks what to train from random weights, and init_from names weights; leave one of the two out");
  }
  choose_tokenizer(question.line, log);
  ProgressPrinter progress(progress_to_standard_error());
  question.text = measure_text(question.line.config, log, &progress);
  const MachineRequest request = machine_request(arguments.value("gpu"), arguments.value("fits"));
  std::unique_ptr<Backend> backend;
  question.machine = find_machine(request, question.line.config, call.processes, backend);
  TrainConfig typed = question.line.config;
  resolve_dtype(typed, question.machine);

  std::vector<BudgetRun> runs;
  std::string source;
  const std::optional<double> given = arguments.positive_number("tflops");
  if (given || request.gpu != nullptr) {
    const Rate rate = given ? Rate{*given, "as given"} : sustained_rate(*request.gpu, parse_dtype(typed.dtype));
    source = fmt::format("{:.4g} TFLOP/s ({})", rate.tflops, rate.source);
    runs = plan_budget(question, TrainingRates(1e12 * rate.tflops));
  } else {
    TrainingRates rates(1e9 * measure_product_rate(*backend, parse_dtype(typed.dtype)));
    runs = plan_measured_budget(question, rates, StepTimer(*backend, question.machine, log));
    source = fmt::format("{:.1f} GFLOP/s, by steps of the best model on this machine",
                         1e-9 * rates.at(static_cast<double>(best_run(runs).parameters)));
  }
  out << (arguments.has("json") ? budget_json(question, runs, source).dump(2) + "\n" : describe_budget(question, runs, source));
}

}  // namespace virgil

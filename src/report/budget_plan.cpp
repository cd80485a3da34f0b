#include "virgil/report/budget_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "virgil/base/error.h"
#include "virgil/base/format.h"
#include "virgil/config/config_architecture.h"
#include "virgil/config/config_text.h"
#include "virgil/plan/estimates.h"
#include "virgil/plan/parameter_count.h"
#include "virgil/plan/recipe.h"
#include "virgil/train/trainer.h"

namespace virgil {

namespace {

constexpr std::int64_t kLargestWidth = 16384;
constexpr std::int64_t kLeastSteps = 50;             // fewer teach nothing that a loss could be told of
constexpr std::int64_t kEvaluations = 10;            // and one at the start
constexpr double kReserve = 0.03;                    // start, samples, checkpoints
constexpr std::int64_t kMicroBatchTokens = 1 << 14;  // more make a step no faster
constexpr std::int64_t kShortContext = 256;
constexpr std::int64_t kLongContext = 1024;

/// Makes the run of one model.
class RunMaker {
 public:
  RunMaker(const BudgetQuestion& question, const TrainingRates& rates)
      : question_(question), rates_(rates), budget_(memory_budget(question.line.config, question.machine)) {}

  /// Nothing where the time is too short for it.
  std::optional<BudgetRun> make(const Architecture& model) {
    BudgetRun run{.model = trainable(model)};
    const ParameterBreakdown count = count_parameters(run.model);
    run.parameters = count.total;
    run.tokens_per_s = rates_.at(static_cast<double>(run.parameters)) / count_flops(run.model).training() *
                       static_cast<double>(question_.machine.processes);
    const double time_s = question_.seconds * (1 - kReserve);
    const double most = kMostPasses * static_cast<double>(question_.text.train_tokens);
    const double tokens = std::min(time_s * run.tokens_per_s, most);
    run.config = question_.line.config;
    set_model(run.config, run.model);
    set_recipe(run.config, recommend_recipe(static_cast<double>(count.all_layers), tokens, run.config.block_size));
    if (!set_length(run, time_s, most)) return std::nullopt;
    plan(run);
    set_figures(run);
    return run;
  }

 private:
  [[nodiscard]] bool is_given(std::string_view key) const { return virgil::is_given(question_.line, key); }

  static void set_model(TrainConfig& config, const Architecture& model) {
    config.n_layer = model.num_layers;
    config.n_head = model.num_heads;
    config.n_embd = model.embedding_dim;
    config.block_size = model.block_size;
  }

  void set_recipe(TrainConfig& config, const Recipe& recipe) const {
    if (!is_given("batch_size") && !is_given("total_batch_size") && !is_given("grad_accum_steps")) {
      const std::int64_t whole = config.block_size * question_.machine.processes;  // each process has as many sequences
      config.total_batch_size = std::max<std::int64_t>(1, (recipe.tokens_per_step + whole / 2) / whole) * whole;
      config.batch_size = 0;
    }
    if (!is_given("learning_rate")) config.learning_rate = recipe.learning_rate;
    if (!is_given("min_lr")) config.min_lr = std::min(recipe.min_lr, config.learning_rate);
    if (!is_given("beta2")) config.beta2 = recipe.beta2;
  }

  /// Steps, so that these and the evaluations between them take the time.
  bool set_length(BudgetRun& run, double time_s, double most_tokens) const {
    TrainConfig& config = run.config;
    config.epochs = 0;
    const std::int64_t step_tokens = config.total_batch_size != 0
                                         ? config.total_batch_size
                                         : std::max<std::int64_t>(1, config.batch_size) * config.grad_accum_steps *
                                               config.block_size * question_.machine.processes;
    const double step_s = static_cast<double>(step_tokens) / run.tokens_per_s;
    const auto most_steps = static_cast<std::int64_t>(std::min(most_tokens / static_cast<double>(step_tokens), 1e15));
    std::int64_t steps = std::min(most_steps, static_cast<std::int64_t>(std::min(time_s / step_s, 1e15)));
    if (steps < kLeastSteps) return false;
    set_intervals(config, steps);
    const double evaluations_s = evaluation_seconds(run, step_tokens);
    const auto affordable = static_cast<std::int64_t>(std::min(std::max(0.0, time_s - evaluations_s) / step_s, 1e15));
    run.text_is_exhausted = most_steps < affordable;
    steps = std::min(steps, affordable);
    if (steps < kLeastSteps) return false;
    set_intervals(config, steps);
    config.max_iters = steps;
    if (!is_given("warmup_iters")) config.warmup_iters = std::max<std::int64_t>(1, steps / 20);
    run.tokens = static_cast<double>(steps) * static_cast<double>(step_tokens);
    run.seconds = (static_cast<double>(steps) * step_s + evaluations_s) / (1 - kReserve);
    return true;
  }

  void set_intervals(TrainConfig& config, std::int64_t steps) const {
    const std::int64_t interval = std::max<std::int64_t>(1, (steps + kEvaluations - 1) / kEvaluations);
    if (!is_given("eval_interval")) config.eval_interval = interval;
    if (!is_given("sample_interval")) config.sample_interval = interval;
    if (!is_given("save_interval")) config.save_interval = interval;
  }

  /// A forward pass is a third of a step.
  [[nodiscard]] double evaluation_seconds(const BudgetRun& run, std::int64_t step_tokens) const {
    if (run.config.eval_interval == 0) return 0;
    TrainConfig config = run.config;
    config.total_batch_size = step_tokens;
    const std::int64_t tokens = config.eval_iters == kAutoEvalIters
                                    ? std::min(question_.text.val_tokens, auto_eval_tokens(config))
                                : config.eval_iters == 0 ? question_.text.val_tokens
                                                         : std::min(question_.text.val_tokens, config.eval_iters * step_tokens);
    return static_cast<double>((kEvaluations + 1) * tokens) / (3 * run.tokens_per_s);
  }

  /// The least recomputation with which it fits, unless the command says which.
  void plan(BudgetRun& run) const {
    for (const Recompute level : kAllRecompute) {
      if (!is_given("recompute")) run.config.recompute = name_of(level);
      RunPlan planned = plan_with_small_batch(run.config, run.model);
      run.shape = std::move(planned.shape);
      run.planned_bytes = planned.memory.total_bytes();
      run.fits = run.planned_bytes <= budget_.aim_bytes;
      if (run.fits || is_given("recompute") || level == kAllRecompute.back()) {
        run.config = std::move(planned.config);
        return;
      }
    }
  }

  [[nodiscard]] RunPlan plan_with_small_batch(TrainConfig config, const Architecture& model) const {
    resolve_config(config, question_.machine.processes);
    RunPlan plan = plan_run(config, model, question_.machine, budget_);
    const std::int64_t most = std::max<std::int64_t>(1, kMicroBatchTokens / config.block_size);
    if (is_given("batch_size") || plan.config.batch_size <= most) return plan;
    const std::int64_t sequences = plan.config.total_batch_size / config.block_size / question_.machine.processes;
    config.batch_size = most;
    while (sequences % config.batch_size != 0) --config.batch_size;
    config.grad_accum_steps = 1;
    resolve_config(config, question_.machine.processes);
    return plan_run(std::move(config), model, question_.machine, budget_);
  }

  void set_figures(BudgetRun& run) const {
    const TextMeasure& text = question_.text;
    run.passes = run.tokens / static_cast<double>(text.train_tokens);
    run.price = run.seconds / 3600 * question_.price_per_hour * static_cast<double>(question_.machine.processes);
    const double bytes_per_token = static_cast<double>(text.train_bytes) / static_cast<double>(text.train_tokens);
    run.loss = forecast_loss({.parameters = static_cast<double>(run.parameters),
                              .bytes_seen = run.tokens * bytes_per_token,
                              .bytes_of_text = static_cast<double>(text.train_bytes)});
    run.changes = changes(run.config);
  }

  [[nodiscard]] KeyValues changes(const TrainConfig& config) const {
    static constexpr std::array kKeys = {"tokenizer",    "n_layer",    "n_head",           "n_embd",        "block_size",
                                         "recompute",    "batch_size", "total_batch_size", "learning_rate", "min_lr",
                                         "warmup_iters", "beta2",      "eval_interval",    "save_interval", "sample_interval"};
    const TrainConfig defaults;
    KeyValues changed;
    for (const char* name : kKeys) {
      if (is_given(name)) continue;
      const ConfigKey& key = *find_config_key(name);
      const std::string value = plain_value(config, key);
      if (value != plain_value(defaults, key)) changed.emplace_back(name, value);
    }
    changed.emplace_back("max_iters", std::to_string(config.max_iters));
    return changed;
  }

  const BudgetQuestion& question_;
  const TrainingRates& rates_;
  MemoryBudget budget_;
};

Architecture base_model(const BudgetQuestion& question) {
  const TrainConfig& config = question.line.config;
  const bool is_short = question.text.train_bytes < kShortTextBytes;
  Architecture model = architecture_of(config, std::max(config.vocab_size, question.text.vocab_size));
  const bool is_given_context = question.names_model || is_given(question.line, "block_size");
  if (!is_given_context) model.block_size = is_short ? kShortContext : kLongContext;
  model.vocab_multiple = kVocabMultiple;
  return model;
}

/// As published models have them: 64 of width for each layer up to 24 layers, then 128; heads of 64.
std::int64_t usual_layers(std::int64_t width) {
  return std::max({std::int64_t{2}, std::min<std::int64_t>(width / 64, 24), width / 128});
}

/// Models of usual shapes, smallest first, about half a power of two apart: the loss is flat around its lowest.
std::vector<Architecture> model_ladder(const Architecture& like) {
  constexpr std::int64_t kHeadSize = 64;
  constexpr std::int64_t kNarrow = 256;  // below it heads of 64 would be few
  std::vector<Architecture> models;
  for (std::int64_t width = kHeadSize; width <= kLargestWidth;) {
    Architecture model = like;
    model.embedding_dim = width;
    model.num_heads = width / (width < kNarrow ? kHeadSize / 2 : kHeadSize);
    model.d_ff = 0;
    model.num_layers = usual_layers(width);
    models.push_back(model);
    if (width <= 2 * kNarrow) {  // widths are far apart here
      model.num_layers += (model.num_layers + 1) / 2;
      models.push_back(model);
    }
    std::int64_t step = kHeadSize;
    while (step * 8 <= width) step *= 2;
    width += step;
  }
  std::ranges::stable_sort(models, {}, [](const Architecture& model) { return count_parameters(trainable(model)).total; });
  return models;
}

}  // namespace

bool is_given(const CommandLine& line, std::string_view key) {
  return std::ranges::find(line.set_keys, key) != line.set_keys.end() ||
         std::ranges::find(line.file_keys, key) != line.file_keys.end();
}

void TrainingRates::add(double parameters, double flops_per_s) {
  const auto place = std::ranges::lower_bound(measured_, parameters, {}, &Point::parameters);
  if (place != measured_.end() && place->parameters == parameters) {
    place->flops_per_s = flops_per_s;
  } else {
    measured_.insert(place, {parameters, flops_per_s});
  }
}

double TrainingRates::at(double parameters) const {
  if (measured_.empty()) return everywhere_;
  const auto above = std::ranges::lower_bound(measured_, parameters, {}, &Point::parameters);
  if (above == measured_.begin()) return above->flops_per_s;
  if (above == measured_.end()) return measured_.back().flops_per_s;
  const Point& below = *std::prev(above);
  const double share = std::log(parameters / below.parameters) / std::log(above->parameters / below.parameters);
  return below.flops_per_s + share * (above->flops_per_s - below.flops_per_s);
}

std::vector<BudgetRun> plan_budget(const BudgetQuestion& question, const TrainingRates& rates) {
  RunMaker maker(question, rates);
  const Architecture base = base_model(question);
  std::vector<BudgetRun> runs;
  if (question.names_model) {
    if (auto run = maker.make(base)) runs.push_back(*std::move(run));
  } else {
    for (const Architecture& model : model_ladder(base)) {
      auto run = maker.make(model);
      const bool goes_on = run && run->fits;
      if (run) runs.push_back(*std::move(run));
      if (!goes_on) break;  // larger ones get fewer steps and need more memory
    }
  }
  if (runs.empty()) {
    throw user_error("{} {} steps in {} on this text: give more time or a longer text{}",
                     question.names_model ? "this model gets fewer than" : "not even the smallest model gets", kLeastSteps,
                     duration_in_words(question.seconds), question.names_model ? ", or a smaller model" : "");
  }
  if (std::ranges::none_of(runs, &BudgetRun::fits)) {
    const BudgetRun& run = runs.front();
    throw user_error("{} parameters need {} to train, and {} may be used ({}): give more memory or a smaller model",
                     format_count(run.parameters), format_bytes(run.planned_bytes),
                     format_bytes(memory_budget(question.line.config, question.machine).aim_bytes),
                     question.machine.free_source);
  }
  return runs;
}

const BudgetRun& best_run(const std::vector<BudgetRun>& runs) {
  const BudgetRun* best = nullptr;
  for (const BudgetRun& run : runs) {
    if (run.fits && (best == nullptr || run.loss.expected < best->loss.expected)) best = &run;
  }
  VIRGIL_CHECK(best != nullptr, "best_run: none fits");
  return *best;
}

std::vector<BudgetRun> plan_measured_budget(const BudgetQuestion& question, TrainingRates& rates, const MeasureRate& measure) {
  constexpr int kMostMeasured = 5;
  std::vector<Architecture> measured;
  for (int i = 0;; ++i) {
    std::vector<BudgetRun> runs = plan_budget(question, rates);
    const BudgetRun& best = best_run(runs);
    if (i == kMostMeasured || std::ranges::find(measured, best.model) != measured.end()) return runs;
    rates.add(static_cast<double>(best.parameters), measure(best));
    measured.push_back(best.model);
  }
}

}  // namespace virgil

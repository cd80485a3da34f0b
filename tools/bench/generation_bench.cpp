#include "bench/generation_bench.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <span>
#include <utility>

#include "bench/op_timer.h"
#include "bench/peak_meter.h"
#include "bench/random_tokens.h"
#include "bench/random_values.h"
#include "virgil/base/error.h"
#include "virgil/base/format.h"
#include "virgil/generate/inference_model.h"
#include "virgil/generate/token_sampler.h"
#include "virgil/machine/device.h"
#include "virgil/memory/tracking_resource.h"
#include "virgil/model/gpt_decoder.h"
#include "virgil/model/inference_plan.h"

namespace virgil::bench {

namespace {

/// A cell's plan, and what its rounds have measured.
struct TimedCell {
  struct Round {
    MachinePeak peak;  // beside it
    double first_token_ms = 0;
    double token_ms = 0;  // median
  };
  MemoryPlan plan;
  bool fits = false;
  std::int64_t held_bytes = 0;
  std::vector<Round> rounds = {};
};

/// One cell in memory, for one round.
class CellRound {
 public:
  CellRound(Backend& backend, TimedCell& cell)
      : backend_(backend), cell_(cell), resource_(backend.memory()), memory_(cell.plan, resource_) {
    constexpr float kDeviation = 0.02F;  // as GPT-2 is initialised
    cell_.held_bytes = resource_.current().total();
    const std::int64_t elements = cell.plan.parameters().flat_elements();
    fill_with_normal_values(backend, memory_.view(PlanSlot::kWeights, 0, cell.plan.dtype(), {elements}), kDeviation);
    decoder_.emplace(backend, cell.plan, memory_);
    prompts_ = random_tokens(shape().num_sequences * shape().max_length, cell.plan.model().vocab_size, 0);
  }
  ~CellRound() { backend_.bind_workspace({}); }
  CellRound(const CellRound&) = delete;
  CellRound& operator=(const CellRound&) = delete;

  /// Without the peak, which lies around it.
  TimedCell::Round run() {
    // A pass of each size that the prompt is cut into: a library makes its code at the first.
    constexpr std::int64_t kLargest = kPrefillRows[0];
    const std::int64_t warm_up = std::min(shape().max_length, kLargest + shape().max_length % kLargest);
    static_cast<void>(decoder_->append(std::span(prompts_).first(static_cast<std::size_t>(warm_up * shape().num_sequences))));
    decoder_->reset();
    TimedCell::Round round;
    round.first_token_ms = time_pass(prompts_);
    std::vector<double> token_ms;
    for (int i = 0; i <= kTokensPerRound; ++i) {
      // Again and again the last position: a step further there may be none.
      decoder_->rewind(shape().max_length - 1);
      const std::vector<std::int32_t> tokens = next_;
      const double ms = time_pass(tokens);
      if (i > 0) token_ms.push_back(ms);
    }
    round.token_ms = median(token_ms);
    return round;
  }

 private:
  [[nodiscard]] const DecodeShape& shape() const { return cell_.plan.decoder().shape(); }

  /// A pass over these tokens, and the choice of each sequence's next.
  double time_pass(std::span<const std::int32_t> tokens) {
    const auto V = static_cast<std::size_t>(cell_.plan.model().vocab_size);
    const Clock::time_point start = Clock::now();
    const std::span<const float> logits = decoder_->append(tokens);
    next_.clear();
    for (std::size_t first = 0; first < logits.size(); first += V) {
      next_.push_back(sampler_.choose(logits.subspan(first, V), {}, 0.5));
    }
    return milliseconds_since(start);
  }

  Backend& backend_;
  TimedCell& cell_;
  TrackingResource resource_;
  PlannedMemory memory_;
  std::optional<GptDecoder> decoder_;
  TokenSampler sampler_{SamplingOptions{}};
  std::vector<std::int32_t> prompts_, next_;
};

bool names_dtype(const CommandLine& line) {
  const auto has = [](const std::vector<std::string>& keys) { return std::ranges::find(keys, "dtype") != keys.end(); };
  return has(line.set_keys) || has(line.file_keys);
}

std::vector<TimedCell> plan_cells(const Architecture& model, const GenerationGrid& grid, DType dtype, const Backend& backend) {
  std::vector<TimedCell> cells;
  for (const std::int64_t context : grid.contexts) {
    for (const std::int64_t batch : grid.batches) {
      const InferenceShape shape{.num_sequences = batch, .dtype = dtype, .context = context};
      cells.push_back({.plan = plan_inference(model, shape, backend.traits())});
    }
  }
  return cells;
}

/// Every cell that fits, in turns.
void measure(Backend& backend, PeakMeter& meter, std::vector<TimedCell>& cells, std::int64_t rounds, Logger& log) {
  constexpr double kWorthTelling_ms = 5000;
  const Clock::time_point start = Clock::now();
  for (std::int64_t round = 0; round < rounds; ++round) {
    for (TimedCell& cell : cells) {
      if (!cell.fits) continue;
      try {
        TimedCell::Round times;
        const MachinePeak peak = meter.around([&] { times = CellRound(backend, cell).run(); });
        times.peak = peak;
        cell.rounds.push_back(times);
      } catch (const OutOfMemoryError&) {
        cell.fits = false;  // others have taken the memory meanwhile
      }
    }
    const double elapsed_ms = milliseconds_since(start);
    if (round == 0 && rounds > 1 && elapsed_ms > kWorthTelling_ms) {
      log.info(fmt::format("the first of {} rounds took {}", rounds, format_duration(elapsed_ms / 1000)));
    }
  }
}

GenerationSpeed floor_of(const TimedCell& cell, const GenerationShape& shape, const MachinePeak& peak) {
  const int bits = static_cast<int>(8 * size_of(cell.plan.dtype()));
  return bound_generation_speed(cell.plan.model(), *std::ranges::find(kWeightTypes, bits, &WeightType::bits), shape,
                                PeakRates{.flops_per_s = 1e9 * peak.gemm_gflops, .bytes_per_s = 1e9 * peak.bandwidth_gb_per_s});
}

GenerationCell result_of(const TimedCell& cell, const MachinePeak& peak) {
  GenerationCell result;
  result.shape = {cell.plan.decoder().shape().num_sequences, cell.plan.decoder().shape().max_length};
  result.floor = floor_of(cell, result.shape, peak);
  result.planned_bytes = cell.plan.total_bytes();
  if (!cell.fits) return result;
  result.held_bytes = cell.held_bytes;
  std::vector<double> first_ms, token_ms, first_shares, token_shares;
  for (const TimedCell::Round& round : cell.rounds) {
    const GenerationSpeed floor = floor_of(cell, result.shape, round.peak);
    first_ms.push_back(round.first_token_ms);
    token_ms.push_back(round.token_ms);
    first_shares.push_back(1000 * floor.prompt_s / round.first_token_ms);
    token_shares.push_back(1000 * floor.token_s / round.token_ms);
  }
  result.times = GenerationTimes{median(first_ms), median(token_ms), spread_of(first_shares), spread_of(token_shares)};
  return result;
}

}  // namespace

GenerationTable bench_generation(const Subject& subject, const GenerationGrid& grid, Logger& log) {
  if (!subject.trainable) throw UserError(subject.why_not);
  const TrainConfig& config = subject.resolved;
  const std::unique_ptr<Backend> backend = make_backend(device_request(config), log);
  GenerationTable table;
  table.device = backend->description();
  table.model = *subject.trainable;
  table.dtype =
      choose_inference_dtype(names_dtype(subject.command_line) ? config.dtype : InferenceOptions{}.dtype, *backend, log);
  table.rounds = grid.rounds;
  PeakMeter meter(*backend, table.dtype, config.threads);
  std::vector<TimedCell> cells = plan_cells(table.model, grid, table.dtype, *backend);
  table.budget = memory_budget(config, machine_of(*backend));
  for (TimedCell& cell : cells) cell.fits = cell.plan.total_bytes() <= table.budget.limit_bytes;
  const auto smallest = std::ranges::min_element(cells, {}, [](const TimedCell& cell) { return cell.plan.total_bytes(); });
  check_plan_fits(smallest->plan, table.budget.limit_bytes, table.budget.source,
                  table.dtype == DType::kFloat32 ? "a smaller model, smaller --contexts and --batches, or --dtype bfloat16"
                                                 : "a smaller model, or smaller --contexts and --batches");
  measure(*backend, meter, cells, grid.rounds, log);
  table.peak = meter.spread();
  const MachinePeak peak = table.peak.medians();
  for (const TimedCell& cell : cells) table.cells.push_back(result_of(cell, peak));
  return table;
}

}  // namespace virgil::bench

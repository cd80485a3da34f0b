#include "bench/generation_report.h"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

#include "bench/machine_peak.h"
#include "virgil/base/format.h"
#include "virgil/plan/parameter_count.h"
#include "virgil/report/model_report.h"

namespace virgil::bench {

namespace {

/// With three digits or more, as fits a time from microseconds to minutes.
std::string describe_ms(double ms) { return fmt::format("{:.{}f} ms", ms, ms < 10 ? 3 : ms < 100 ? 2 : 1); }

std::string describe_rate(double rate) { return rate < 100 ? fmt::format("{:.1f}", rate) : format_count(std::llround(rate)); }

std::string cell_line(const GenerationCell& cell, const MemoryBudget& budget) {
  const std::string begin = fmt::format("{:>9}{:>8}", format_count(cell.shape.context), format_count(cell.shape.num_sequences));
  if (!cell.times) {
    return fmt::format("{}   does not fit: the plan needs {}, and {} may be used ({})\n", begin,
                       format_bytes(cell.planned_bytes), format_bytes(budget.limit_bytes), budget.source);
  }
  return fmt::format("{}{:>15}{:>8.0f} %{:>15}{:>8.0f} %{:>12}{:>13}\n", begin, describe_ms(cell.times->first_token_ms),
                     100 * cell.first_token_share(), describe_ms(cell.times->token_ms), 100 * cell.token_share(),
                     describe_rate(cell.tokens_per_s()), format_bytes(cell.planned_bytes));
}

nlohmann::ordered_json cell_json(const GenerationCell& cell) {
  nlohmann::ordered_json json = {{"context", cell.shape.context},
                                 {"batch", cell.shape.num_sequences},
                                 {"fits", cell.times.has_value()},
                                 {"planned_bytes", cell.planned_bytes},
                                 {"first_token_floor_ms", 1000 * cell.floor.prompt_s},
                                 {"token_floor_ms", 1000 * cell.floor.token_s}};
  if (!cell.times) return json;
  json["held_bytes"] = cell.held_bytes;
  json["first_token_ms"] = cell.times->first_token_ms;
  json["token_ms"] = cell.times->token_ms;
  json["tokens_per_s"] = cell.tokens_per_s();
  return json;
}

}  // namespace

std::string text_report(const GenerationTable& table) {
  std::string text = fmt::format("device   {}\npeak     {}\n", table.device, describe_peak(table.peak));
  text += fmt::format("model    {} layers, {} heads, {} wide, {} ids: {} parameters in {}\n", table.model.num_layers,
                      table.model.num_heads, format_count(table.model.embedding_dim), format_count(table.model.vocab_size),
                      short_count(count_parameters(table.model).total), name_of(table.dtype));
  text += fmt::format("medians  of {} round{} in turns: a prompt of the whole context in every sequence, then {} tokens\n\n",
                      table.rounds, table.rounds == 1 ? "" : "s", kTokensPerRound);
  text += fmt::format("{:>9}{:>8}{:>15}{:>10}{:>15}{:>10}{:>12}{:>13}\n", "context", "batch", "first token", "of floor",
                      "then a token", "of floor", "tokens/s", "memory");
  for (const GenerationCell& cell : table.cells) text += cell_line(cell, table.budget);
  return text;
}

std::string json_report(const GenerationTable& table) {
  nlohmann::ordered_json json = {{"device", table.device},
                                 {"gemm_peak_gflops", table.peak.gemm_gflops_by_dtype},
                                 {"bandwidth_gb_per_s", table.peak.bandwidth_gb_per_s}};
  nlohmann::ordered_json cells = nlohmann::ordered_json::array();
  for (const GenerationCell& cell : table.cells) cells.push_back(cell_json(cell));
  json["generate"] = {{"parameters", count_parameters(table.model).total},
                      {"dtype", name_of(table.dtype)},
                      {"rounds", table.rounds},
                      {"tokens_per_round", kTokensPerRound},
                      {"limit_bytes", table.budget.limit_bytes},
                      {"limit_source", table.budget.source},
                      {"cells", std::move(cells)}};
  return json.dump(2) + "\n";
}

}  // namespace virgil::bench

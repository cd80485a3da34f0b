#include "bench/generation_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

#include "bench/spread_text.h"
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
  return fmt::format("{}{:>15}{}{:>14}{}{:>11}{:>13}\n", begin, describe_ms(cell.times->first_token_ms),
                     share_cell(cell.times->first_token_share), describe_ms(cell.times->token_ms),
                     share_cell(cell.times->token_share), describe_rate(cell.tokens_per_s()), format_bytes(cell.planned_bytes));
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
  json["first_token_share"] = spread_json(cell.times->first_token_share);
  json["token_share"] = spread_json(cell.times->token_share);
  return json;
}

}  // namespace

std::string text_report(const GenerationTable& table) {
  std::string text = fmt::format("device   {}\npeak     {}\n", table.device, describe_peak(table.peak));
  text += fmt::format("model    {} layers, {} heads, {} wide, {} ids: {} parameters in {}\n", table.model.num_layers,
                      table.model.num_heads, format_count(table.model.embedding_dim), format_count(table.model.vocab_size),
                      short_count(count_parameters(table.model).total), name_of(table.dtype));
  text += fmt::format(
      "medians  of {} round{} in turns with {} slices of the peak: a prompt of the whole context in every sequence, "
      "then {} tokens; ± half of the shares' middle half\n\n",
      table.rounds, table.rounds == 1 ? "" : "s", table.peak.gemm_gflops.count, kTokensPerRound);
  text += fmt::format("{:>9}{:>8}{:>15}{:>9}{:>21}{:>9}{:>18}{:>13}\n", "context", "batch", "first token", "of floor",
                      "then a token", "of floor", "tokens/s", "memory");
  for (const GenerationCell& cell : table.cells) text += cell_line(cell, table.budget);
  text += explain_marks(std::ranges::any_of(table.cells, [](const GenerationCell& cell) {
    return cell.times && !(cell.times->first_token_share.tells_from(1) && cell.times->token_share.tells_from(1));
  }));
  if (const std::string doubt = doubt_of_peak(table.peak); !doubt.empty()) text += fmt::format("warning  {}\n", doubt);
  return text;
}

std::string json_report(const GenerationTable& table) {
  nlohmann::ordered_json json = {{"device", table.device}};
  const nlohmann::json peak = peak_json(table.peak);
  for (const auto& [key, value] : peak.items()) json[key] = value;
  nlohmann::ordered_json cells = nlohmann::ordered_json::array();
  for (const GenerationCell& cell : table.cells) cells.push_back(cell_json(cell));
  json["generate"] = {{"parameters", count_parameters(table.model).total},
                      {"dtype", name_of(table.dtype)},
                      {"rounds", table.rounds},
                      {"tokens_per_round", kTokensPerRound},
                      {"limit_bytes", table.budget.limit_bytes},
                      {"limit_source", table.budget.source},
                      {"cells", std::move(cells)}};
  json["warnings"] = nlohmann::ordered_json::array();
  if (const std::string doubt = doubt_of_peak(table.peak); !doubt.empty()) json["warnings"].push_back(doubt);
  return json.dump(2) + "\n";
}

}  // namespace virgil::bench

#include "bench/loss_race_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <nlohmann/json.hpp>
#include <optional>

#include "virgil/base/format.h"

namespace virgil::bench {

namespace {

std::vector<LossSummary> summaries_of(const std::vector<std::vector<RaceRun>>& runs) {
  std::vector<LossSummary> summaries;
  for (const std::vector<RaceRun>& of_one : runs) {
    std::vector<LossResult> results;
    for (const RaceRun& run : of_one) results.push_back(run.result);
    summaries.push_back(summarize(results));
  }
  return summaries;
}

std::string time_text(const std::optional<double>& seconds) { return seconds ? format_duration(*seconds) : "-"; }

/// Of this entrant's median to the first one's.
std::optional<double> ratio_of(const LossSummary& summary, const LossSummary& first) {
  if (!summary.median_s || !first.median_s || !(*first.median_s > 0)) return std::nullopt;
  return *summary.median_s / *first.median_s;
}

std::string line_of(const std::string& name, std::size_t width, const LossSummary& summary, const LossSummary& first) {
  const std::optional<double> ratio = ratio_of(summary, first);
  return fmt::format("{:<{}} {:>8} {:>8} {:>9} {:>19} {:>6} {:>9} {:>9}\n", name, width,
                     fmt::format("{} of {}", summary.reached, summary.runs),
                     summary.median_steps ? format_count(*summary.median_steps) : "-", time_text(summary.median_s),
                     summary.reached > 0 ? time_text(summary.least_s) + ".." + time_text(summary.most_s) : "-",
                     ratio ? fmt::format("{:.2f}", *ratio) : "-",
                     std::isfinite(summary.median_best_loss) ? fmt::format("{:.4f}", summary.median_best_loss) : "-",
                     format_count(std::llround(summary.median_tokens_per_s)));
}

nlohmann::ordered_json run_json(const RaceRun& run) {
  const LossResult& result = run.result;
  nlohmann::ordered_json json = {{"seed", run.seed}, {"command", run.command}, {"folder", run.folder.string()}};
  json["seconds"] = result.seconds ? nlohmann::ordered_json(*result.seconds) : nlohmann::ordered_json(nullptr);
  json["steps"] = result.seconds ? nlohmann::ordered_json(result.steps) : nlohmann::ordered_json(nullptr);
  if (std::isfinite(result.best_loss)) json.update({{"best_loss", result.best_loss}, {"best_step", result.best_step}});
  json["trained_seconds"] = result.trained_s;
  json["tokens_per_s"] = result.tokens_per_s;
  return json;
}

}  // namespace

std::string text_report(const LossRace& race, const std::vector<std::vector<RaceRun>>& runs, const std::string& machine) {
  std::string text =
      fmt::format("Training time until a validation loss of {} nats a character, without evaluations\n", race.target.loss);
  text += fmt::format("on {}; {} seed{}, in turns", machine, race.seeds.size(), race.seeds.size() == 1 ? "" : "s");
  if (race.target.within_s) text += fmt::format("; best loss within {} of training", format_duration(*race.target.within_s));
  text += "\n\n";
  std::size_t width = 4;
  for (const Entrant& entrant : race.entrants) width = std::max(width, entrant.name.size());
  text += fmt::format("{:<{}} {:>8} {:>8} {:>9} {:>19} {:>6} {:>9} {:>9}\n", "", width, "reached", "steps", "median",
                      "least..most", "ratio", "best loss", "tokens/s");
  const std::vector<LossSummary> summaries = summaries_of(runs);
  for (std::size_t i = 0; i < summaries.size(); ++i) {
    text += line_of(race.entrants[i].name, width, summaries[i], summaries.front());
  }
  return text;
}

std::string json_report(const LossRace& race, const std::vector<std::vector<RaceRun>>& runs, const std::string& machine) {
  nlohmann::ordered_json json = {{"machine", machine}, {"target_loss", race.target.loss}};
  if (race.target.within_s) json["within_seconds"] = *race.target.within_s;
  const std::vector<LossSummary> summaries = summaries_of(runs);
  for (std::size_t i = 0; i < runs.size(); ++i) {
    nlohmann::ordered_json entrant = {{"name", race.entrants[i].name}, {"reached", summaries[i].reached}};
    if (summaries[i].median_s) entrant["median_seconds"] = *summaries[i].median_s;
    if (const auto ratio = ratio_of(summaries[i], summaries.front())) entrant["ratio"] = *ratio;
    for (const RaceRun& run : runs[i]) entrant["runs"].push_back(run_json(run));
    json["entrants"].push_back(entrant);
  }
  return json.dump(2) + "\n";
}

}  // namespace virgil::bench

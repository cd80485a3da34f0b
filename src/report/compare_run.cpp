// calc_params --run DIR.
#include <fmt/format.h>

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "virgil/base/error.h"
#include "virgil/base/file_system.h"
#include "virgil/base/json.h"
#include "virgil/base/nearest_name.h"
#include "virgil/config/config_schema.h"
#include "virgil/format/checkpoint.h"
#include "virgil/format/hf_config.h"
#include "virgil/plan/plan_config.h"
#include "virgil/report/verify.h"
#include "virgil/train/run_folder.h"
#include "virgil/train/run_sessions.h"

namespace virgil {

namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr std::int64_t kMaxMetricsBytes = std::int64_t{1} << 32;
/// The last whole line that carries memory figures.
Json last_line_with_memory(const fs::path& path) {
  std::istringstream lines(read_file(path, kMaxMetricsBytes));
  Json last;
  for (std::string line; std::getline(lines, line);) {
    Json object = parse_json_or_null(line);
    if (object.is_object() && object.contains("mem") && object["mem"].is_object()) last = std::move(object);
  }
  if (last.is_null()) throw user_error("{}: holds no step with memory figures; train at least one step", path.string());
  return last;
}

std::int64_t bytes_in(const Json& memory, const std::string& key, const fs::path& path) {
  if (!memory.contains(key) || !memory[key].is_number_integer()) {
    throw user_error("{}: \"mem\" has no whole number \"{}\"", path.string(), key);
  }
  return memory[key].get<std::int64_t>();
}

/// Rank 0's memory.
MemoryComparison read_comparison(const Json& line, const fs::path& path) {
  const Json& memory = line["mem"];
  if (!memory.contains("by_category") || !memory["by_category"].is_object()) {
    throw user_error("{}: \"mem\" has no \"by_category\"", path.string());
  }
  MemoryComparison comparison;
  const bool has_peaks = memory.contains("peak_by_category") && memory["peak_by_category"].is_object();
  for (const MemoryCategory category : kAllMemoryCategories) {
    const std::string name(name_of(category));
    comparison.allocated[category] = bytes_in(memory["by_category"], name, path);
    comparison.peak[category] = has_peaks ? bytes_in(memory["peak_by_category"], name, path) : comparison.allocated[category];
  }
  comparison.peak_bytes = bytes_in(memory, "peak", path);
  if (memory.contains("process_rss")) comparison.after.rss_bytes = bytes_in(memory, "process_rss", path);
  if (memory.contains("process_peak")) comparison.after.peak_bytes = bytes_in(memory, "process_peak", path);
  return comparison;
}

/// The run's configuration with the model that its checkpoint holds, which alone knows the vocabulary.
Subject read_subject(const fs::path& run, std::int64_t processes) {
  CommandLine line;
  apply_config_file(line.config, run_config_path(run));
  line.config.init_from.clear();  // the run's sizes are its own, and where it began may be gone
  const std::vector<fs::path> checkpoints = list_step_checkpoints(run);
  if (checkpoints.empty())
    throw user_error("{}: there is no checkpoint, which would tell the model's vocabulary", run.string());
  const fs::path config = checkpoints.back() / "config.json";
  line.config.vocab_size = parse_hf_config(read_file(config, kMaxConfigBytes), config.string()).vocab_size;
  return make_subject({}, line, {}, processes);
}

}  // namespace

RunComparison compare_run(const fs::path& run) {
  if (!fs::is_regular_file(metrics_path(run))) {
    const std::string near = fs::exists(run) ? std::string() : nearest_path(run);
    throw user_error("{}: there is no metrics.jsonl; {}", run.string(),
                     near.empty() ? "name the folder of a run, such as runs/tiny" : fmt::format("did you mean {}?", near));
  }
  const Json line = last_line_with_memory(metrics_path(run));
  RunComparison result{.run = run, .backend = {}, .memory = read_comparison(line, metrics_path(run))};
  if (const std::vector<RunSession> sessions = read_run_sessions(run); !sessions.empty()) {
    result.memory.before.rss_bytes = sessions.back().process_before_bytes;
  } else if (line["mem"].contains("process_before")) {  // of a version that wrote no sessions
    result.memory.before.rss_bytes = bytes_in(line["mem"], "process_before", metrics_path(run));
  }
  const bool has_ranks = line.contains("ranks") && line["ranks"].is_array() && !line["ranks"].empty();
  const auto processes = has_ranks ? static_cast<std::int64_t>(line["ranks"].size()) : 1;
  const PlannedSubject planned = plan_subject(read_subject(run, processes));
  result.memory.planned = planned.get().by_category();
  result.backend = planned.machine->description;
  return result;
}

std::string describe_run_comparison(const RunComparison& comparison) {
  std::string text = fmt::format("{}: the last step of metrics.jsonl beside the plan made again ({})\n",
                                 comparison.run.string(), comparison.backend);
  for (const std::string& line : describe_memory(comparison.memory)) text += line + "\n";
  return text;
}

}  // namespace virgil

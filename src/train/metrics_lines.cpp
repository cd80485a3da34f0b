#include "train/metrics_lines.h"

#include <fmt/format.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "virgil/base/file_system.h"
#include "virgil/base/json.h"
#include "virgil/base/paths.h"
#include "virgil/train/memory_json.h"

namespace virgil {

namespace {

double to_milliseconds(double seconds) { return std::round(seconds * 1000) / 1000; }

MetricsLine memory_json(const MemoryUse& memory) {
  MetricsLine json = {{"allocated", memory.allocated_bytes},
                      {"peak", memory.peak_bytes},
                      {"process_rss", memory.process_rss_bytes},
                      {"process_peak", memory.process_peak_bytes},
                      {"by_category", categories_json(memory.by_category)},
                      {"peak_by_category", categories_json(memory.peak_by_category)}};
  if (memory.device) {
    json["device_used"] = memory.device->total_bytes - memory.device->free_bytes;
    json["device_free"] = memory.device->free_bytes;
    json["device_context"] = memory.device->context_bytes;
    json["device_others"] = memory.device->others_bytes;
  }
  return json;
}

MetricsLine ranks_json(const std::vector<RankStep>& ranks) {
  MetricsLine json = MetricsLine::array();
  for (const RankStep& rank : ranks) {
    MetricsLine entry = {{"compute_ms", rank.compute_ms},
                         {"allocated", rank.allocated_bytes},
                         {"peak", rank.peak_bytes},
                         {"process_rss", rank.process_rss_bytes}};
    if (rank.device_used_bytes > 0) entry["device_used"] = rank.device_used_bytes;
    json.push_back(entry);
  }
  return json;
}

void add_evaluation(MetricsLine& line, const EvalMetrics& evaluation) {
  line["val_loss"] = json_of_figure(evaluation.loss);
  line["val_ppl"] = json_of_figure(evaluation.perplexity);
  line["val_bpb"] = json_of_figure(evaluation.bits_per_byte);
}

}  // namespace

MetricsLine step_line(const StepMetrics& m, double smoothed_loss, std::string_view sample) {
  MetricsLine line = {{"step", m.step},
                      {"time", to_milliseconds(m.time_s)},
                      {"tokens", m.tokens},
                      {"epoch", m.epoch},
                      {"loss", json_of_figure(m.loss)},
                      {"loss_smoothed", json_of_figure(smoothed_loss)},
                      {"lr", m.learning_rate},
                      {"grad_norm", json_of_figure(m.grad_norm)},
                      {"updated", m.updated},
                      {"dt_ms", m.elapsed_ms},
                      {"tokens_per_s", m.tokens_per_s},
                      {"model_gflops", m.model_gflops},
                      {"mem", memory_json(m.memory)}};
  if (m.mfu > 0) line["mfu"] = m.mfu;
  if (m.loss_scale > 0) line["loss_scale"] = m.loss_scale;
  if (m.ranks.size() > 1) {
    const std::size_t slowest = slowest_rank(m.ranks);
    line["slowest_rank"] = slowest;
    line["slowest_ms"] = m.ranks[slowest].compute_ms;
    line["ranks"] = ranks_json(m.ranks);
  }
  if (m.evaluation) add_evaluation(line, *m.evaluation);
  if (!sample.empty()) line["sample"] = sample;
  return line;
}

MetricsLine evaluation_line(const EvalMetrics& evaluation, double time) {
  MetricsLine line = {{"step", evaluation.step}, {"time", to_milliseconds(time)}};
  add_evaluation(line, evaluation);
  return line;
}

MetricsLine sample_line(std::int64_t step, double time, std::string_view sample) {
  return {{"step", step}, {"time", to_milliseconds(time)}, {"sample", sample}};
}

std::string line_text(const MetricsLine& line) {
  return line.dump(-1, ' ', false, MetricsLine::error_handler_t::replace) + "\n";
}

std::optional<double> number_in(const MetricsLine& line, const char* key) {
  const auto entry = line.find(key);
  return entry == line.end() ? std::nullopt : figure_of_json(*entry);
}

std::string_view text_in(const MetricsLine& line, const char* key) {
  const auto entry = line.find(key);
  if (entry == line.end() || !entry->is_string()) return {};
  return entry->get_ref<const std::string&>();
}

namespace {

constexpr std::uint64_t kMostSteps = std::uint64_t{1} << 60;

struct KeptLines {
  std::string text;
  std::int64_t num_steps = 0;    // different ones
  std::int64_t num_damaged = 0;  // whole lines that are no figures
};

KeptLines keep_lines(const std::string& content, std::int64_t step, const std::function<void(const MetricsLine&)>& on_kept) {
  KeptLines kept;
  std::int64_t last_step = -1;
  std::size_t begin = 0;
  // What follows the last line's end was torn by a kill.
  for (std::size_t end = content.find('\n'); end != content.npos; end = content.find('\n', begin)) {
    const std::string_view line = std::string_view(content).substr(begin, end - begin);
    begin = end + 1;
    const MetricsLine object = parse_json_or_null(line);
    const bool whole = object.is_object() && object.contains("step") && object["step"].is_number_unsigned() &&
                       object["step"].get<std::uint64_t>() <= kMostSteps;
    if (!whole) {
      ++kept.num_damaged;
    } else if (object.contains("loss") && object["step"].get<std::int64_t>() < step) {
      kept.num_steps += object["step"].get<std::int64_t>() == last_step ? 0 : 1;
      last_step = object["step"].get<std::int64_t>();
      kept.text.append(line).push_back('\n');
      if (on_kept) on_kept(object);
    }
  }
  return kept;
}

}  // namespace

std::string truncate_metrics(FileSystem& files, const std::filesystem::path& path, std::int64_t step,
                             const std::function<void(const MetricsLine&)>& on_kept) {
  constexpr std::int64_t kMaxMetricsBytes = std::int64_t{1} << 32;
  if (!path_exists(path)) {
    return step == 0 ? ""
                     : fmt::format("{}: missing: the figures of the {} steps before are lost, and a new file begins",
                                   path.string(), step);
  }
  const std::string content = read_file(path, kMaxMetricsBytes);
  const KeptLines kept = keep_lines(content, step, on_kept);
  std::string problem;
  if (kept.num_damaged > 0) {
    std::filesystem::path damaged = path;
    damaged += ".damaged";
    while (is_name_taken(damaged)) damaged += "+";
    write_file_atomically(files, damaged, content);
    problem = fmt::format("{}: {} lines are damaged and are left out; the file as it was is kept as {}", path.string(),
                          kept.num_damaged, damaged.string());
  }
  if (kept.num_steps < step) {
    problem += problem.empty() ? fmt::format("{}: ", path.string()) : "; ";
    problem += fmt::format("it holds the figures of {} of the {} steps before", kept.num_steps, step);
  }
  write_file_atomically(files, path, kept.text);
  return problem;
}

}  // namespace virgil

#include "virgil/train/metrics.h"

#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <span>

#include "virgil/base/json.h"
#include "virgil/base/paths.h"

namespace virgil {

namespace {

using Json = nlohmann::ordered_json;

/// JSON has no NaN or infinity; a figure that is not finite is written as a string, so that no reader takes it for a number.
Json number(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  return value;
}

Json categories_json(const BytesByCategory& bytes) {
  Json json;
  for (const MemoryCategory category : kAllMemoryCategories) json[std::string(name_of(category))] = bytes[category];
  return json;
}

Json memory_json(const MemoryUse& memory) {
  Json json = {{"planned", memory.planned_bytes},
               {"allocated", memory.allocated_bytes},
               {"peak", memory.peak_bytes},
               {"process_rss", memory.process_rss_bytes},
               {"process_peak", memory.process_peak_bytes},
               {"by_category", categories_json(memory.by_category)},
               {"planned_by_category", categories_json(memory.planned_by_category)},
               {"peak_by_category", categories_json(memory.peak_by_category)}};
  if (memory.process_before_bytes > 0) json["process_before"] = memory.process_before_bytes;
  if (memory.device) {
    json["device_used"] = memory.device->total_bytes - memory.device->free_bytes;
    json["device_free"] = memory.device->free_bytes;
    json["device_context"] = memory.device->context_bytes;
    json["device_others"] = memory.device->others_bytes;
  }
  return json;
}

Json ranks_json(const std::vector<RankStep>& ranks) {
  Json json = Json::array();
  for (const RankStep& rank : ranks) {
    Json entry = {{"compute_ms", rank.compute_ms},
                  {"allocated", rank.allocated_bytes},
                  {"peak", rank.peak_bytes},
                  {"process_rss", rank.process_rss_bytes}};
    if (rank.device_used_bytes > 0) entry["device_used"] = rank.device_used_bytes;
    json.push_back(entry);
  }
  return json;
}

void add_evaluation(Json& line, const EvalMetrics& evaluation) {
  line["val_loss"] = number(evaluation.loss);
  line["val_ppl"] = number(evaluation.perplexity);
  line["val_bpb"] = number(evaluation.bits_per_byte);
}

}  // namespace

std::size_t slowest_rank(const std::vector<RankStep>& ranks) {
  return static_cast<std::size_t>(std::ranges::max_element(ranks, {}, &RankStep::compute_ms) - ranks.begin());
}

void JsonlMetrics::step(const StepMetrics& m) {
  Json line = {{"step", m.step},
               {"tokens", m.tokens},
               {"epoch", m.epoch},
               {"loss", number(m.loss)},
               {"lr", m.learning_rate},
               {"grad_norm", number(m.grad_norm)},
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
  write_line(line.dump());
}

void JsonlMetrics::final_evaluation(const EvalMetrics& metrics) {
  Json line = {{"step", metrics.step}};
  add_evaluation(line, metrics);
  write_line(line.dump());
}

void JsonlMetrics::write_line(const std::string& line) {
  if (file_ == nullptr) return;
  const std::string with_end = line + "\n";
  file_->append(std::as_bytes(std::span(with_end)));
  file_->flush();
}

namespace {

struct KeptLines {
  std::string text;
  std::int64_t num_steps = 0;    // different ones
  std::int64_t num_damaged = 0;  // whole lines that are no figures
};

KeptLines keep_lines(const std::string& content, std::int64_t step) {
  KeptLines kept;
  std::int64_t last_step = -1;
  std::size_t begin = 0;
  // What follows the last line's end was torn by a kill.
  for (std::size_t end = content.find('\n'); end != content.npos; end = content.find('\n', begin)) {
    const std::string_view line = std::string_view(content).substr(begin, end - begin);
    begin = end + 1;
    const Json object = parse_json_or_null(line);
    const bool whole = object.is_object() && object.contains("step") && object["step"].is_number_integer();
    if (!whole) {
      ++kept.num_damaged;
    } else if (object.contains("loss") && object["step"].get<std::int64_t>() < step) {
      kept.num_steps += object["step"].get<std::int64_t>() == last_step ? 0 : 1;
      last_step = object["step"].get<std::int64_t>();
      kept.text.append(line).push_back('\n');
    }
  }
  return kept;
}

}  // namespace

std::string truncate_metrics(FileSystem& files, const std::filesystem::path& path, std::int64_t step) {
  constexpr std::int64_t kMaxMetricsBytes = std::int64_t{1} << 32;
  if (!path_exists(path)) {
    return step == 0 ? ""
                     : fmt::format("{}: missing: the figures of the {} steps before are lost, and a new file begins",
                                   path.string(), step);
  }
  const std::string content = read_file(path, kMaxMetricsBytes);
  const KeptLines kept = keep_lines(content, step);
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

ProcessMemory read_process_memory() {
  ProcessMemory memory;
  std::ifstream statm("/proc/self/statm");
  std::int64_t total_pages = 0;
  std::int64_t resident_pages = 0;
  if (statm >> total_pages >> resident_pages) memory.rss_bytes = resident_pages * sysconf(_SC_PAGESIZE);
  rusage usage{};
  // The system counts the peak less exactly than the present, and sometimes below it.
  if (getrusage(RUSAGE_SELF, &usage) == 0) memory.peak_bytes = std::max(memory.rss_bytes, std::int64_t{usage.ru_maxrss} * 1024);
  return memory;
}

}  // namespace virgil

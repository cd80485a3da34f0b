#include "train/event_log.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <variant>
#include <vector>

#include "virgil/base/remove_quietly.h"
#include "virgil/config/config_schema.h"
#include "virgil/config/config_text.h"

namespace virgil {

namespace {

struct ScalarOfLine {
  const char* key;  // in the line, or in its "mem"
  const char* tag;
  double scale = 1;
};

constexpr double kMebibytes = 1.0 / (1 << 20);
constexpr std::array<ScalarOfLine, 11> kOfStep = {{{"loss", "loss/train"},
                                                   {"loss_smoothed", "loss/smoothed"},
                                                   {"val_loss", "loss/val"},
                                                   {"val_bpb", "val/bits_per_byte"},
                                                   {"val_ppl", "val/perplexity"},
                                                   {"lr", "train/learning_rate"},
                                                   {"grad_norm", "train/grad_norm"},
                                                   {"loss_scale", "train/loss_scale"},
                                                   {"tokens_per_s", "speed/tokens_per_s"},
                                                   {"dt_ms", "speed/step_ms"},
                                                   {"mfu", "speed/mfu"}}};
constexpr std::array<ScalarOfLine, 3> kOfMemory = {{{"allocated", "memory/allocated_MiB", kMebibytes},
                                                    {"process_rss", "memory/process_MiB", kMebibytes},
                                                    {"device_used", "memory/device_MiB", kMebibytes}}};

template <std::size_t kCount>
void collect(std::vector<EventScalar>& scalars, const MetricsLine& figures, const std::array<ScalarOfLine, kCount>& names) {
  for (const ScalarOfLine& name : names) {
    if (const auto number = number_in(figures, name.key)) scalars.push_back({name.tag, name.scale * *number});
  }
}

/// TensorBoard shows texts as Markdown, where indented lines stand as they are.
std::string as_markdown_code(std::string_view text) {
  constexpr std::string_view kIndent = "    ";
  std::string code(kIndent);
  for (const char c : text) {
    code += c;
    if (c == '\n') code += kIndent;
  }
  return code;
}

struct EarlierFile {
  std::filesystem::path path;
  std::int64_t seconds = 0;
};

std::vector<EarlierFile> earlier_files(const std::filesystem::path& run) {
  std::vector<EarlierFile> files;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(run, error), end; !error && entry != end; entry.increment(error)) {
    if (const auto seconds = event_file_time(entry->path().filename().string())) files.push_back({entry->path(), *seconds});
  }
  return files;
}

/// Readers continue with the file whose name comes next, so it is later than all others, also of a session in the same second.
std::filesystem::path unused_event_path(const std::filesystem::path& run, double started) {
  auto seconds = static_cast<std::int64_t>(std::max(0.0, started));
  for (const EarlierFile& file : earlier_files(run)) seconds = std::max(seconds, file.seconds + 1);
  return run / event_file_name(seconds);
}

}  // namespace

EventLog::EventLog(FileSystem& files, const std::filesystem::path& run, double started, const TrainConfig& config)
    : files_(files), run_(run), path_(unused_event_path(run, started)), started_(started) {
  temporary_ = temporary_name(path_);
  file_.emplace(files_.create(temporary_), started_);
  file_->hyperparameters(started_, hyperparameters_of(config));
}

EventLog::~EventLog() {
  if (!published_) remove_quietly(files_, temporary_);
}

void EventLog::add(const MetricsLine& line) {
  const auto step = line.at("step").get<std::int64_t>();
  const double time = number_in(line, "time").value_or(started_);
  std::vector<EventScalar> scalars;
  collect(scalars, line, kOfStep);
  if (const auto memory = line.find("mem"); memory != line.end() && memory->is_object()) collect(scalars, *memory, kOfMemory);
  file_->scalars(step, time, scalars);
  if (const std::string_view sample = text_in(line, "sample"); !sample.empty()) {
    file_->text(step, time, "sample", as_markdown_code(sample));
  }
  if (published_) file_->flush();
}

void EventLog::publish() {
  file_->flush();
  for (const EarlierFile& file : earlier_files(run_)) files_.remove_all(file.path);
  files_.rename(temporary_, path_);
  published_ = true;
}

bool has_event_file(const std::filesystem::path& run) { return !earlier_files(run).empty(); }

std::vector<Hyperparameter> hyperparameters_of(const TrainConfig& config) {
  std::vector<Hyperparameter> parameters;
  for (const ConfigKey& key : config_keys()) {
    if (!key.saved) continue;
    std::visit(
        [&](auto member) {
          const auto& value = config.*member;
          using Value = std::remove_cvref_t<decltype(value)>;
          if constexpr (std::is_same_v<Value, bool>) {
            parameters.push_back({key.name, value});
          } else if constexpr (std::is_arithmetic_v<Value>) {
            parameters.push_back({key.name, static_cast<double>(value)});
          } else if constexpr (std::is_same_v<Value, std::string>) {
            parameters.push_back({key.name, value});
          } else {
            parameters.push_back({key.name, value_text(config, key)});
          }
        },
        key.member);
  }
  return parameters;
}

}  // namespace virgil

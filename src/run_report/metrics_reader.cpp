#include "run_report/metrics_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "virgil/base/error.h"
#include "virgil/base/excerpt.h"
#include "virgil/base/format.h"
#include "virgil/base/json.h"
#include "virgil/memory/memory_resource.h"

namespace virgil {

namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kMostRows = 50'000'000;     // 10 GB of lines
constexpr std::size_t kMostKeptSamples = 256;     // kept; of more, every second, every fourth...
constexpr std::size_t kLongestSample = 8 * 1024;  // bytes

/// A figure, or a flag as 0 or 1. Nothing for anything else.
std::optional<double> figure_value(const Json& value) {
  if (value.is_boolean()) return value.get<bool>() ? 1.0 : 0.0;
  return figure_of_json(value);
}

const Json* find_member(const Json& object, std::string_view key) {
  const auto found = object.find(key);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

/// False where the key holds something that is no figure.
bool read_figure(const Json& object, std::string_view key, std::optional<double>& value) {
  const Json* found = find_member(object, key);
  if (found == nullptr) return true;
  value = figure_value(*found);
  return value.has_value();
}

}  // namespace

struct MetricsReader::Line {
  std::int64_t step = 0;
  std::array<std::optional<double>, kNumFigures> figures;
  std::array<std::optional<double>, kNumMemoryCategories> memory;
  std::optional<double> planned;
  std::optional<std::string> sample;

  [[nodiscard]] bool has(Figure figure) const { return figures[static_cast<std::size_t>(figure)].has_value(); }
};

bool MetricsReader::parse(std::string_view text, Line& line) {
  const Json object = parse_json_or_null(text);
  if (!object.is_object()) return false;
  const Json* step = find_member(object, "step");
  if (step == nullptr || !step->is_number_integer()) return false;
  if (step->is_number_unsigned() ? step->get<std::uint64_t>() > std::numeric_limits<std::int64_t>::max()
                                 : step->get<std::int64_t>() < 0) {
    return false;
  }
  line.step = step->get<std::int64_t>();
  const Json* memory = find_member(object, "mem");
  if (memory != nullptr && !memory->is_object()) return false;
  for (const FigureKey& key : figure_keys()) {
    const Json* owner = key.of_memory ? memory : &object;
    if (owner != nullptr && !read_figure(*owner, key.key, line.figures[static_cast<std::size_t>(key.figure)])) return false;
  }
  if (memory != nullptr) {
    if (!read_figure(*memory, "planned", line.planned)) return false;
    const Json* categories = find_member(*memory, "by_category");
    if (categories != nullptr && !categories->is_object()) return false;
    for (const MemoryCategory category : kAllMemoryCategories) {
      std::optional<double>& bytes = line.memory[static_cast<std::size_t>(category)];
      if (categories != nullptr && !read_figure(*categories, name_of(category), bytes)) return false;
    }
  }
  if (const Json* sample = find_member(object, "sample")) {
    if (!sample->is_string()) return false;
    line.sample = excerpt(sample->get_ref<const std::string&>(), kLongestSample);
  }
  return line.has(Figure::kLoss) || line.has(Figure::kValLoss) || line.sample.has_value();
}

void MetricsReader::read_line(std::string_view text) {
  if (text.find_first_not_of(" \t\r") == text.npos) return;
  Line line;
  if (parse(text, line)) {
    add(line);
  } else {
    ++num_damaged_;
  }
}

/// Forgets what a run that went on from `step` does again.
void MetricsReader::drop_from(std::int64_t step) {
  std::size_t rows = history_.rows();
  while (rows > 0 && history_.steps[rows - 1] >= step) {
    --rows;
    if (history_.at(Figure::kLoss, rows)) ++num_repeated_;
  }
  if (rows == history_.rows()) return;
  history_.steps.resize(rows);
  for (FigureColumn& column : history_.figures) column.truncate(rows);
  for (FigureColumn& column : history_.memory) column.truncate(rows);
  while (!history_.plans.empty() && history_.plans.back().first_step >= step) history_.plans.pop_back();
}

void MetricsReader::forget_samples_from(std::int64_t step) {
  while (!history_.samples.empty() && history_.samples.back().step >= step) {
    history_.samples.pop_back();
    --num_samples_;
  }
}

void MetricsReader::keep_sample(const Line& line) {
  forget_samples_from(line.step);
  last_sample_ = {.step = line.step, .text = *line.sample};
  if (num_samples_++ % sample_stride_ != 0) return;
  std::vector<RunSample>& samples = history_.samples;
  samples.push_back(last_sample_);
  if (samples.size() <= kMostKeptSamples) return;
  std::size_t kept = 0;
  for (std::size_t i = 0; i < samples.size(); i += 2) {
    if (kept != i) samples[kept] = std::move(samples[i]);
    ++kept;
  }
  samples.resize(kept);
  sample_stride_ *= 2;
}

void MetricsReader::add(const Line& line) {
  const bool is_step = line.has(Figure::kLoss);
  if (is_step) {
    drop_from(line.step);
    if (line.step < std::numeric_limits<std::int64_t>::max()) forget_samples_from(line.step + 1);
  } else if (history_.rows() > 0 && line.step < history_.steps.back()) {
    ++num_damaged_;  // an evaluation or a sample of the end, before the end
    return;
  }
  if (line.sample) keep_sample(line);
  if (!is_step && !line.has(Figure::kValLoss)) return;
  // The evaluation after the last step has a row of its own.
  if (history_.rows() == 0 || history_.steps.back() != line.step) history_.steps.push_back(line.step);
  if (history_.rows() > kMostRows) {
    throw user_error("{}: more than {} steps, which no report can hold", (history_.folder / "metrics.jsonl").string(),
                     format_count(static_cast<std::int64_t>(kMostRows)));
  }
  const std::size_t row = history_.rows() - 1;
  for (std::size_t i = 0; i < kNumFigures; ++i) {
    if (line.figures[i]) history_.figures[i].set(row, *line.figures[i]);
  }
  for (std::size_t i = 0; i < line.memory.size(); ++i) {
    if (line.memory[i]) history_.memory[i].set(row, *line.memory[i]);
  }
  if (!line.planned || !(*line.planned >= 0 && *line.planned < 1e18)) return;
  const auto planned = static_cast<std::int64_t>(*line.planned);
  if (history_.plans.empty() || history_.plans.back().total_bytes != planned) {
    history_.plans.push_back({.first_step = line.step, .total_bytes = planned});
  }
}

void MetricsReader::finish() {
  std::vector<RunSample>& samples = history_.samples;
  if (num_samples_ > 0 && (samples.empty() || samples.back().step < last_sample_.step))
    samples.push_back(std::move(last_sample_));
  history_.samples_left_out = std::max<std::int64_t>(0, num_samples_ - static_cast<std::int64_t>(samples.size()));
  const auto lines = [](std::int64_t count) { return fmt::format("{} line{}", format_count(count), count == 1 ? "" : "s"); };
  if (num_damaged_ > 0) {
    history_.problems.push_back(fmt::format("metrics.jsonl: {} damaged and left out", lines(num_damaged_)));
  }
  if (num_repeated_ > 0) {
    history_.problems.push_back(
        fmt::format("metrics.jsonl: {} of steps that were done again later are left out", lines(num_repeated_)));
  }
}

}  // namespace virgil

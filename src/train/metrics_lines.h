// The lines of metrics.jsonl: one object a step, and after the last one what no step carries.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "virgil/base/file_system.h"
#include "virgil/train/metrics.h"

namespace virgil {

using MetricsLine = nlohmann::ordered_json;

/// `sample` is a text that was made with the weights before the step; empty: none was.
[[nodiscard]] MetricsLine step_line(const StepMetrics& metrics, double smoothed_loss, std::string_view sample);
[[nodiscard]] MetricsLine evaluation_line(const EvalMetrics& evaluation, double time);
[[nodiscard]] MetricsLine sample_line(std::int64_t step, double time, std::string_view sample);

/// As it stands in the file, with its end. Bytes that are not UTF-8 are replaced.
[[nodiscard]] std::string line_text(const MetricsLine& line);

/// A figure of a line that was read: also NaN and infinities, which stand there as words. Nothing where it is not there.
[[nodiscard]] std::optional<double> number_in(const MetricsLine& line, const char* key);
[[nodiscard]] std::string_view text_in(const MetricsLine& line, const char* key);

/// Keeps the lines of a metrics.jsonl that belong to steps before `step`, drops later and torn ones, atomically: what a resumed
/// run will write again. Calls `on_kept` for each that stays. A missing file stays missing. Returns what is wrong with the
/// figures of the steps before `step`, for a warning: that the file is missing, that lines are damaged (the file as it was is
/// then kept beside, as "metrics.jsonl.damaged"), or that steps are absent; empty where all are there.
std::string truncate_metrics(FileSystem& files, const std::filesystem::path& path, std::int64_t step,
                             const std::function<void(const MetricsLine&)>& on_kept = {});

}  // namespace virgil

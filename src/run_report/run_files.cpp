#include "run_report/run_files.h"

#include <fmt/format.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "virgil/base/error.h"
#include "virgil/base/excerpt.h"
#include "virgil/base/file_system.h"
#include "virgil/base/json.h"
#include "virgil/base/paths.h"
#include "virgil/config/config_schema.h"
#include "virgil/format/checkpoint.h"
#include "virgil/train/run_sessions.h"

namespace virgil {

namespace {

constexpr std::size_t kLongestWord = 200;

/// A session from `plan` on; what earlier ones planned for these steps did not happen.
void add_plan(std::vector<PlanFromStep>& plans, const PlanFromStep& plan) {
  while (!plans.empty() && plans.back().first_step >= plan.first_step) plans.pop_back();
  if (plans.empty() || plans.back().total_bytes != plan.total_bytes) plans.push_back(plan);
}

}  // namespace

void add_sessions(RunHistory& history) {
  try {
    history.sessions = read_run_sessions(history.folder);
  } catch (const UserError& error) {
    history.problems.push_back(fmt::format("{}; the page leaves it out", bounded_message(error.what())));
  }
  std::vector<PlanFromStep> plans;
  auto& starts = history.session_starts;
  for (std::size_t i = 0; i < history.sessions.size(); ++i) {
    const RunSession& session = history.sessions[i];
    add_plan(plans, {.first_step = session.first_step, .total_bytes = session.planned_by_category.total()});
    while (!starts.empty() && starts.back().first >= session.first_step) starts.pop_back();
    starts.emplace_back(session.first_step, i);
  }
  if (!plans.empty()) history.plans = std::move(plans);
}

void add_config(RunHistory& history) {
  try {
    const std::filesystem::path path = history.folder / kRunConfigFile;
    if (!path_exists(path)) {
      history.problems.push_back(fmt::format("{}: missing; the page leaves the configuration out", kRunConfigFile));
      return;
    }
    const nlohmann::ordered_json document = parse_json(read_file(path, kMaxConfigBytes), kRunConfigFile);
    const JsonObject object(document, kRunConfigFile);
    for (const auto& [key, value] : object.json().items()) {
      history.config.emplace_back(excerpt(key, kLongestWord), excerpt(value.dump(), kLongestWord));
    }
  } catch (const UserError& error) {
    history.problems.push_back(fmt::format("{}; the page leaves it out", bounded_message(error.what())));
  }
}

}  // namespace virgil

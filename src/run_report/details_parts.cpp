#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "run_report/axis.h"
#include "run_report/html_text.h"
#include "run_report/page_parts.h"
#include "virgil/base/format.h"
#include "virgil/base/json.h"
#include "virgil/config/config_schema.h"
#include "virgil/config/train_config.h"

namespace virgil {

namespace {

constexpr std::size_t kLongestCell = 200;  // characters
constexpr std::size_t kMostSamples = 24;   // shown of a run, the first and the last among them

/// The validation loss at the step or the last before it.
std::string loss_beside(const RunHistory& run, std::int64_t step) {
  const auto after = std::ranges::upper_bound(run.steps, step);
  for (auto row = static_cast<std::size_t>(after - run.steps.begin()); row-- > 0;) {
    if (const auto loss = run.at(Figure::kValLoss, row)) return fmt::format("validation loss {}", value_text(*loss, 5));
    if (static_cast<std::size_t>(after - run.steps.begin()) - row > 100'000) break;
  }
  return "";
}

std::string samples_of(const RunHistory& run) {
  const std::size_t count = run.samples.size();
  const std::size_t shown = std::min(count, kMostSamples);
  std::string html = "<div class=\"samples\">\n";
  for (std::size_t i = 0; i < shown; ++i) {
    const RunSample& sample = run.samples[shown == 1 ? 0 : i * (count - 1) / (shown - 1)];
    const std::string loss = loss_beside(run, sample.step);
    html += fmt::format("<div class=\"sample\"><div><b>step {}</b>{}{}</div><pre>\n{}</pre></div>\n", format_count(sample.step),
                        loss.empty() ? "" : " · ", loss, markup_text(sample.text));
  }
  html += "</div>\n";
  const std::int64_t left_out = static_cast<std::int64_t>(count - shown) + run.samples_left_out;
  if (left_out > 0) {
    html += fmt::format("<p class=\"lead\">{} more samples between these are in metrics.jsonl.</p>\n", format_count(left_out));
  }
  return html;
}

using Config = std::vector<std::pair<std::string, std::string>>;

Config default_config() {
  Config config;
  const nlohmann::ordered_json defaults = parse_json(config_to_json(TrainConfig{}), "defaults");
  for (const auto& [key, value] : defaults.items()) config.emplace_back(key, value.dump());
  return config;
}

/// A table of keys, a column for each configuration.
std::string config_table(const std::vector<std::string>& keys, const std::vector<std::map<std::string, std::string>>& configs,
                         const std::vector<std::string>& heads) {
  std::string html = "<div class=\"card\"><table>\n<tr><th>key</th>";
  for (const std::string& head : heads) html += fmt::format("<th>{}</th>", markup_text(head));
  html += "</tr>\n";
  for (const std::string& key : keys) {
    html += fmt::format("<tr><td><code>{}</code></td>", markup_text(key));
    for (const auto& config : configs) {
      const auto found = config.find(key);
      html += found == config.end() ? "<td>–</td>" : fmt::format("<td><code>{}</code></td>", markup_text(found->second));
    }
    html += "</tr>\n";
  }
  return html + "</table></div>\n";
}

struct Configs {
  std::vector<std::string> keys;  // of all, in the order they stand in
  std::vector<std::map<std::string, std::string>> values;
};

Configs collect(const std::vector<const Config*>& all) {
  Configs configs;
  std::set<std::string> known;
  for (const Config* config : all) {
    configs.values.emplace_back(config->begin(), config->end());
    for (const auto& [key, value] : *config) {
      if (known.insert(key).second) configs.keys.push_back(key);
    }
  }
  return configs;
}

std::vector<std::string> different_keys(const Configs& configs) {
  std::vector<std::string> keys;
  for (const std::string& key : configs.keys) {
    const auto value = [&](const std::map<std::string, std::string>& config) {
      const auto found = config.find(key);
      return found == config.end() ? std::string() : found->second;
    };
    const std::string first = value(configs.values.front());
    if (std::ranges::any_of(configs.values, [&](const auto& config) { return value(config) != first; })) keys.push_back(key);
  }
  return keys;
}

/// "2026-11-30 14:23 UTC"; empty for what is no time of ours.
std::string time_text(double unix_seconds) {
  constexpr double kYear9999 = 253402300799;
  if (!(unix_seconds > 0 && unix_seconds < kYear9999)) return "";
  using namespace std::chrono;
  const sys_seconds time{seconds{static_cast<std::int64_t>(unix_seconds)}};
  const sys_days day = floor<days>(time);
  const year_month_day date{day};
  const auto minutes_of_day = duration_cast<minutes>(time - day).count();
  return fmt::format("{:04}-{:02}-{:02} {:02}:{:02} UTC", static_cast<int>(date.year()), static_cast<unsigned>(date.month()),
                     static_cast<unsigned>(date.day()), minutes_of_day / 60, minutes_of_day % 60);
}

std::string count_or_dash(std::int64_t count) { return count > 0 ? format_count(count) : "–"; }

std::string session_row(const RunHistory& run, const RunSession& session, bool with_name) {
  std::string html = "<tr>";
  const auto add = [&](const std::string& text, const char* css = "") {
    html += fmt::format("<td{}>{}</td>", css, text.empty() ? "–" : markup_text(short_name(text, kLongestCell)));
  };
  if (with_name) add(run.name, " class=\"name\"");
  add(time_text(session.started));
  add(format_count(session.first_step), " class=\"n\"");
  add(session.device);
  add(session.host);
  add(count_or_dash(session.processes), " class=\"n\"");
  add(session.peak_gflops > 0 ? value_text(session.peak_gflops, 4) : "", " class=\"n\"");
  add(count_or_dash(session.train_tokens), " class=\"n\"");
  add(count_or_dash(session.val_tokens), " class=\"n\"");
  add(session.program);
  return html + "</tr>\n";
}

}  // namespace

std::string samples_part(const std::vector<RunHistory>& runs) {
  std::string html;
  for (const RunHistory& run : runs) {
    if (run.samples.empty()) continue;
    if (runs.size() > 1) html += fmt::format("<h3>{}</h3>\n", markup_text(run.name));
    html += samples_of(run);
  }
  return html.empty() ? "" : "<section><h2>What it wrote</h2>\n" + html + "</section>\n";
}

std::string config_part(const std::vector<RunHistory>& runs) {
  std::vector<const Config*> all;
  std::vector<std::string> heads;
  for (const RunHistory& run : runs) {
    if (run.config.empty()) continue;
    all.push_back(&run.config);
    heads.push_back(runs.size() == 1 ? "this run" : run.name);
  }
  if (all.empty()) return "";
  const Configs own = collect(all);
  const Config defaults = default_config();
  if (runs.size() == 1) {
    all.push_back(&defaults);
    heads.emplace_back("default");
  }
  const Configs compared = collect(all);
  const std::vector<std::string> keys = different_keys(compared);
  std::string html =
      fmt::format("<section><h2>{}</h2>\n",
                  runs.size() == 1 ? "Configuration, where it differs from the defaults" : "Where the configurations differ");
  html += keys.empty() ? "<p class=\"lead\">Nowhere.</p>\n" : config_table(keys, compared.values, heads);
  if (runs.size() == 1) heads.pop_back();
  html += "<details><summary>All keys</summary>\n" + config_table(own.keys, own.values, heads) + "</details></section>\n";
  return html;
}

std::string sessions_part(const std::vector<RunHistory>& runs) {
  constexpr std::size_t kMostRows = 200;
  std::string rows;
  std::size_t count = 0;
  for (const RunHistory& run : runs) {
    for (const RunSession& session : run.sessions) {
      if (count++ < kMostRows) rows += session_row(run, session, runs.size() > 1);
    }
  }
  if (count == 0) return "";
  std::string html = "<section><h2>Machine</h2>\n<div class=\"card\"><table>\n<tr>";
  if (runs.size() > 1) html += "<th>run</th>";
  html +=
      "<th>started</th><th class=\"n\">from step</th><th>device</th><th>host</th><th class=\"n\">processes</th><th class=\"n\">matrix GFLOP/s</th>"
      "<th class=\"n\">tokens to train on</th><th class=\"n\">held out</th><th>program</th></tr>\n";
  html += rows + "</table></div>\n";
  if (count > kMostRows) html += fmt::format("<p class=\"lead\">{} more are in run.json.</p>\n", count - kMostRows);
  return html + "</section>\n";
}

}  // namespace virgil

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "run_report/axis.h"
#include "run_report/chart.h"
#include "run_report/html_text.h"
#include "run_report/page_parts.h"
#include "virgil/base/format.h"
#include "virgil/run_report/run_digest.h"

namespace virgil {

namespace {

std::string number_or_dash(const std::optional<double>& value, int digits) { return value ? value_text(*value, digits) : "–"; }

std::string whole_or_dash(const std::optional<double>& value) {
  return value ? (std::abs(*value) < 1e15 ? number_text(*value, 0) : value_text(*value, 4)) : "–";
}

std::string size_or_dash(const std::optional<double>& bytes) {
  return bytes && *bytes > 0 && *bytes < 9e18 ? format_bytes(static_cast<std::int64_t>(*bytes)) : "–";
}

std::string duration_text(double seconds) {
  return seconds > 0 && seconds < 10 ? fmt::format("{:.1f} s", seconds) : format_duration(seconds);
}

/// How the peak is to the plan.
std::string plan_text(const RunDigest& digest) {
  if (digest.planned_bytes <= 0) return "";
  const double planned = static_cast<double>(digest.planned_bytes);
  if (digest.peak_bytes && *digest.peak_bytes == planned) return "exactly as planned";
  const std::string text = fmt::format("planned {}", format_bytes(digest.planned_bytes));
  if (!digest.peak_bytes) return text;
  return fmt::format("{} ({:+.2f} %)", text, 100 * (*digest.peak_bytes / planned - 1));
}

std::string bad_steps_text(const RunDigest& digest) {
  std::string text;
  if (digest.non_finite_steps > 0) text = fmt::format("{} not finite", format_count(digest.non_finite_steps));
  if (digest.skipped_steps > 0) {
    text += fmt::format("{}{} without an update", text.empty() ? "" : ", ", format_count(digest.skipped_steps));
  }
  return text;
}

void add_tile(std::string& html, std::string_view name, const std::string& value, const std::string& note) {
  html += fmt::format("<div class=\"tile\"><span>{}</span><b>{}</b><span>{}</span></div>\n", name, markup_text(value),
                      note.empty() ? "&nbsp;" : markup_text(note));
}

std::string best_note(const RunDigest& digest) {
  if (!digest.best_val_loss) return "no evaluation";
  std::string note = fmt::format("at step {}", format_count(digest.best_step));
  if (digest.best_bits_per_byte) note += fmt::format(", {} bits/byte", value_text(*digest.best_bits_per_byte, 4));
  return note;
}

std::string tiles(const RunDigest& digest) {
  std::string html = "<div class=\"tiles\">\n";
  add_tile(html, "Best validation loss", number_or_dash(digest.best_val_loss, 5), best_note(digest));
  add_tile(html, "Final training loss", number_or_dash(digest.final_smoothed, 5),
           digest.final_loss ? fmt::format("smoothed; last step {}", value_text(*digest.final_loss, 5)) : "");
  const std::string bad = bad_steps_text(digest);
  add_tile(html, "Steps", format_count(digest.steps), bad.empty() ? "all updated the weights" : bad);
  add_tile(html, "Training time", duration_text(digest.seconds), "without pauses");
  add_tile(html, "Tokens", whole_or_dash(digest.tokens),
           digest.passes ? fmt::format("{} passes over the text", value_text(*digest.passes, 3)) : "");
  add_tile(html, "Tokens per second", whole_or_dash(digest.tokens_per_s),
           digest.mfu_percent ? fmt::format("{} % of the measured matrix rate", value_text(*digest.mfu_percent, 3))
                              : "mean of the steps");
  if (digest.parameters > 0) add_tile(html, "Parameters", format_count(digest.parameters), "");
  add_tile(html, "Memory at its peak", size_or_dash(digest.peak_bytes), plan_text(digest));
  return html + "</div>\n";
}

std::string cell(std::string_view css, const std::string& value, const std::string& note = "") {
  return fmt::format("<td class=\"{}\">{}{}</td>", css, markup_text(value),
                     note.empty() ? "" : fmt::format("<small>{}</small>", markup_text(note)));
}

std::string swatch(std::size_t run) {
  return fmt::format(
      "<span class=\"swatch\"><svg class=\"chart\" viewBox=\"0 0 11 11\"><rect class=\"f{}\" width=\"11\" height=\"11\" rx=\"3\"/>"
      "</svg></span>",
      run % kNumColours);
}

std::string table(const std::vector<RunHistory>& runs) {
  std::vector<RunDigest> digests;
  std::optional<double> best;
  for (const RunHistory& run : runs) {
    digests.push_back(digest_of(run));
    const std::optional<double>& loss = digests.back().best_val_loss;
    if (loss && (!best || *loss < *best)) best = loss;
  }
  std::string html = "<div class=\"card\"><table>\n<tr><th>run</th>";
  for (const char* name : {"best validation", "final train", "final validation", "steps", "time", "tokens", "tokens/s",
                           "parameters", "memory peak"}) {
    html += fmt::format("<th class=\"n\">{}</th>", name);
  }
  html += "</tr>\n";
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const RunDigest& digest = digests[i];
    html += fmt::format("<tr><td class=\"name\">{}{}</td>", swatch(i), markup_text(runs[i].name));
    html +=
        cell(best && digest.best_val_loss == best ? "n best" : "n", number_or_dash(digest.best_val_loss, 5), best_note(digest));
    html += cell("n", number_or_dash(digest.final_smoothed, 5), "smoothed");
    html += cell("n", number_or_dash(digest.final_val_loss, 5));
    html += cell("n", format_count(digest.steps), bad_steps_text(digest));
    html += cell("n", duration_text(digest.seconds));
    html +=
        cell("n", whole_or_dash(digest.tokens), digest.passes ? fmt::format("{} passes", value_text(*digest.passes, 3)) : "");
    html += cell("n", whole_or_dash(digest.tokens_per_s));
    html += cell("n", digest.parameters > 0 ? format_count(digest.parameters) : "–");
    html += cell("n", size_or_dash(digest.peak_bytes), plan_text(digest)) + "</tr>\n";
  }
  return html + "</table></div>\n";
}

}  // namespace

std::string summary_part(const std::vector<RunHistory>& runs) {
  return runs.size() == 1 ? tiles(digest_of(runs.front())) : table(runs);
}

std::string problems_part(const std::vector<RunHistory>& runs) {
  std::string items;
  for (const RunHistory& run : runs) {
    for (const std::string& problem : run.problems) {
      items += fmt::format("<li>{}{}</li>", runs.size() == 1 ? "" : markup_text(run.name) + ": ", markup_text(problem));
    }
  }
  return items.empty() ? "" : fmt::format("<div class=\"note\">This report is not complete:<ul>{}</ul></div>\n", items);
}

}  // namespace virgil

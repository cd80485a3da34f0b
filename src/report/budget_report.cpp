#include "virgil/report/budget_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <nlohmann/json.hpp>
#include <numbers>
#include <string_view>

#include "virgil/base/format.h"
#include "virgil/config/program_name.h"
#include "virgil/report/model_report.h"

namespace virgil {

namespace {

using Json = nlohmann::ordered_json;

constexpr std::ptrdiff_t kRowsAround = 3;  // of the best one

std::string_view name_of(LossBasis basis) {
  switch (basis) {
    case LossBasis::kSmallText:
      return "small text";
    case LossBasis::kBetween:
      return "between";
    case LossBasis::kPublished:
      break;
  }
  return "published";
}

std::string_view describe(LossBasis basis) {
  switch (basis) {
    case LossBasis::kSmallText:
      return "by a law fitted on this program's own runs over two texts of about a megabyte";
    case LossBasis::kBetween:
      return "a guess: more text than our own runs saw, less than the published laws were fitted on";
    case LossBasis::kPublished:
      break;
  }
  return "by the laws of Hoffmann et al. 2022, Besiroglu et al. 2024 and Muennighoff et al. 2023, which differ by less; English "
         "web text";
}

std::string row(const BudgetQuestion& question, const BudgetRun& run, bool is_best) {
  const double bytes = question.text.bytes_per_token();
  std::string text =
      fmt::format("{} {:>9} {:>8} {:>9} {:>8} {:>6.1f} {:>10} {:>8}  {:.2f}  {:.2f}-{:.2f}", is_best ? '>' : ' ',
                  short_count(run.parameters), fmt::format("{} x {}", run.model.num_layers, run.model.embedding_dim),
                  format_count(std::llround(run.tokens_per_s)), short_count(std::llround(run.tokens)), run.passes,
                  format_bytes(run.planned_bytes), run.fits ? format_duration(run.seconds) : "no room",
                  run.loss.expected * bytes, run.loss.low * bytes, run.loss.high * bytes);
  if (question.price_per_hour > 0) text += fmt::format("  {:>9.2f}", run.price);
  return text + "\n";
}

std::string describe_text(const TextMeasure& text) {
  std::string words = fmt::format("{} tokens to train on ({}, {} ids; {:.2f} MB)", format_count(text.train_tokens),
                                  text.tokenizer, format_count(text.vocab_size), static_cast<double>(text.train_bytes) / 1e6);
  return words + (text.val_tokens > 0 ? fmt::format(", {} held out", format_count(text.val_tokens)) : ", nothing held out");
}

/// What a reader should know of the best run besides its figures.
std::string describe_choice(const BudgetQuestion& question, const BudgetRun& best, const std::vector<BudgetRun>& runs) {
  std::string text;
  if (best.text_is_exhausted) {
    text += fmt::format(
        "The text is short for that time: after {:.0f} passes more of them bring next to nothing, so the run ends after {}. A "
        "longer text would lower the loss.\n",
        kMostPasses, duration_in_words(best.seconds));
  } else if (best.passes > 4) {
    text += fmt::format(
        "{:.0f} passes over the text: from the fifth on they count less and less (Muennighoff et al. 2023), so a longer text "
        "would lower the loss; watch the validation loss.\n",
        best.passes);
  }
  const bool is_largest = !question.names_model && &best == &runs.back();
  if (!runs.back().fits && runs.size() > 1 && &best == &runs[runs.size() - 2]) {
    text += fmt::format("Larger models need more memory than {}.\n", question.machine.free_source);
  } else if (is_largest && runs.back().fits) {
    text += "Larger models would get too few steps in that time.\n";
  }
  return text;
}

Json run_json(const BudgetRun& run, double bytes_per_token, const std::string& command) {
  Json json = {{"parameters", run.parameters},
               {"n_layer", run.model.num_layers},
               {"n_head", run.model.num_heads},
               {"n_embd", run.model.embedding_dim},
               {"block_size", run.model.block_size},
               {"batch_size", run.config.batch_size},
               {"grad_accum_steps", run.config.grad_accum_steps},
               {"total_batch_size", run.config.total_batch_size},
               {"max_iters", run.config.max_iters},
               {"learning_rate", run.config.learning_rate},
               {"tokens_per_s", run.tokens_per_s},
               {"tokens", run.tokens},
               {"passes", run.passes},
               {"planned_bytes", run.planned_bytes},
               {"fits", run.fits},
               {"seconds", run.seconds},
               {"price", run.price},
               {"text_is_exhausted", run.text_is_exhausted}};
  json["loss"] = {{"expected", run.loss.expected * bytes_per_token},
                  {"low", run.loss.low * bytes_per_token},
                  {"high", run.loss.high * bytes_per_token},
                  {"bits_per_byte", run.loss.expected / std::numbers::ln2},
                  {"basis", name_of(run.loss.basis)}};
  json["command"] = command;
  return json;
}

std::string command_of(const BudgetQuestion& question, const BudgetRun& run) {
  return command_text(train_command(question.line.program_folder, question.machine.processes), question.line, run.changes);
}

}  // namespace

std::string describe_budget(const BudgetQuestion& question, const std::vector<BudgetRun>& runs,
                            const std::string& rate_source) {
  const BudgetRun& best = best_run(runs);
  const double bytes = question.text.bytes_per_token();
  std::string text = fmt::format("Time     {} on {}{}\n", duration_in_words(question.seconds),
                                 question.machine.processes == 1 ? "" : fmt::format("{} x ", question.machine.processes),
                                 question.machine.description);
  text += fmt::format("Rate     {}\nText     {}\n\n", rate_source, describe_text(question.text));
  text +=
      fmt::format("  {:>9} {:>8} {:>9} {:>8} {:>6} {:>10} {:>8}  {}{}\n", "params", "layers", "tokens/s", "tokens", "passes",
                  "memory", "time", "val loss, range", question.price_per_hour > 0 ? fmt::format("  {:>9}", "price") : "");
  const std::ptrdiff_t at = &best - runs.data();
  const std::ptrdiff_t first = std::max<std::ptrdiff_t>(0, at - kRowsAround);
  const std::ptrdiff_t last = std::min(std::ssize(runs) - 1, at + kRowsAround);
  for (std::ptrdiff_t i = first; i <= last; ++i) text += row(question, runs[static_cast<std::size_t>(i)], i == at);
  text += fmt::format(
      "\nBest     {} parameters, {} steps of {} tokens: validation loss about {:.2f} nats a token ({:.2f} bits a byte), likely "
      "{:.2f} to {:.2f}: {}.\n",
      short_count(best.parameters), format_count(best.config.max_iters), format_count(best.config.total_batch_size),
      best.loss.expected * bytes, best.loss.expected / std::numbers::ln2, best.loss.low * bytes, best.loss.high * bytes,
      describe(best.loss.basis));
  text += describe_choice(question, best, runs);
  return text + fmt::format("\n  {}\n", command_of(question, best));
}

nlohmann::ordered_json budget_json(const BudgetQuestion& question, const std::vector<BudgetRun>& runs,
                                   const std::string& rate_source) {
  const TextMeasure& text = question.text;
  Json json = {{"budget_seconds", question.seconds},
               {"machine", question.machine.description},
               {"processes", question.machine.processes},
               {"rate_source", rate_source}};
  json["text"] = {{"tokenizer", text.tokenizer},
                  {"vocab_size", text.vocab_size},
                  {"train_tokens", text.train_tokens},
                  {"train_bytes", text.train_bytes},
                  {"val_tokens", text.val_tokens},
                  {"val_bytes", text.val_bytes},
                  {"bytes_per_token", text.bytes_per_token()}};
  json["runs"] = Json::array();
  for (const BudgetRun& run : runs) json["runs"].push_back(run_json(run, text.bytes_per_token(), command_of(question, run)));
  json["best"] = &best_run(runs) - runs.data();
  return json;
}

}  // namespace virgil

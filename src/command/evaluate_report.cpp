#include "command/evaluate_report.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <nlohmann/json.hpp>
#include <numbers>
#include <optional>

#include "virgil/base/dtype.h"
#include "virgil/base/format.h"
#include "virgil/generate/text_stream.h"

namespace virgil {

namespace {

using Json = nlohmann::ordered_json;

/// The losses of one file. Its first token is predicted from the file before; of the first file it is not.
struct FileFigures {
  const FileTokens& file;
  std::int64_t num_predicted = 0;
  double loss = 0;  // nats per token; that and what follows: where something was predicted
  double perplexity = 0;
  std::optional<double> bits_per_byte{};  // none of a file without a byte
};

std::vector<FileFigures> figures_of_files(const EvaluateReport& report) {
  std::vector<FileFigures> figures;
  for (std::size_t i = 0; i < report.data.files.size(); ++i) {
    const FileTokens& file = report.data.files[i];
    // One file is the whole.
    const EvalMetrics& whole = report.metrics;
    const PartLoss part = report.losses.empty() ? PartLoss{whole.loss * static_cast<double>(whole.num_tokens), whole.num_tokens}
                                                : report.losses[i];
    FileFigures one{file, part.num_tokens};
    if (part.num_tokens > 0) {
      one.loss = report.losses.empty() ? whole.loss : part.loss_sum / static_cast<double>(part.num_tokens);
      one.perplexity = std::exp(one.loss);
      if (file.text_bytes > 0) {
        const double bytes_per_token = static_cast<double>(file.text_bytes) / static_cast<double>(file.num_tokens);
        one.bits_per_byte = one.loss / std::numbers::ln2 / bytes_per_token;
      }
    }
    figures.push_back(one);
  }
  return figures;
}

Json files_json(const EvaluateReport& report) {
  Json files = Json::array();
  for (const FileFigures& one : figures_of_files(report)) {
    const bool predicted = one.num_predicted > 0;
    files.push_back({{"file", to_valid_utf8(one.file.path.string())},
                     {"bytes", one.file.text_bytes},
                     {"tokens", one.file.num_tokens},
                     {"predicted_tokens", one.num_predicted},
                     {"loss", predicted ? Json(one.loss) : Json()},
                     {"perplexity", predicted ? Json(one.perplexity) : Json()},
                     {"bits_per_byte", one.bits_per_byte ? Json(*one.bits_per_byte) : Json()}});
  }
  return files;
}

std::string files_text(const EvaluateReport& report) {
  constexpr std::size_t kWidest = 60;
  std::size_t width = 4;
  for (const FileTokens& file : report.data.files) width = std::max(width, std::min(kWidest, file.path.string().size()));
  std::string text =
      fmt::format("\n{:<{}}  {:>12}  {:>8}  {:>12}  {:>9}\n", "file", width, "predicted", "loss", "perplexity", "bits/byte");
  for (const FileFigures& one : figures_of_files(report)) {
    const std::string loss = one.num_predicted == 0 ? "-" : fmt::format("{:.4f}", one.loss);
    const std::string perplexity = one.num_predicted == 0 ? "-" : fmt::format("{:.4f}", one.perplexity);
    const std::string bits = one.bits_per_byte ? fmt::format("{:.4f}", *one.bits_per_byte) : "-";
    text += fmt::format("{:<{}}  {:>12}  {:>8}  {:>12}  {:>9}\n", one.file.path.string(), width,
                        format_count(one.num_predicted), loss, perplexity, bits);
  }
  return text + "\nall of them\n";
}

}  // namespace

std::string evaluate_json(const EvaluateReport& report) {
  std::vector<std::string> inputs;
  for (const std::string& input : report.inputs) inputs.push_back(to_valid_utf8(input));
  const TokenData& text = report.data.train;
  const EvalMetrics& metrics = report.metrics;
  return Json({{"checkpoint", to_valid_utf8(report.model.directory().string())},
               {"step", report.model.step()},
               {"inputs", inputs},
               {"documents", report.data.num_documents},
               {"bytes", text.text_bytes},
               {"tokens", text.tokens.size()},
               {"predicted_tokens", metrics.num_tokens},
               {"block_size", report.options.length},
               {"stride", report.options.stride},
               {"dtype", name_of(report.model.plan().dtype())},
               {"loss", metrics.loss},
               {"perplexity", metrics.perplexity},
               {"bits_per_byte", metrics.bits_per_byte},
               {"elapsed_ms", metrics.elapsed_ms},
               {"files", files_json(report)}})
             .dump() +
         "\n";
}

std::string evaluate_text(const EvaluateReport& report) {
  const TokenData& data = report.data.train;
  const EvalMetrics& metrics = report.metrics;
  const std::int64_t num_files = std::ssize(report.data.files);
  std::string text = fmt::format("checkpoint  {}, step {}\n", report.model.directory().string(), report.model.step());
  text += fmt::format("text        {}: {}{} bytes, {} tokens ({})\n", fmt::join(report.inputs, ", "),
                      num_files == 1 ? std::string() : fmt::format("{} files, ", format_count(num_files)),
                      format_count(data.text_bytes), format_count(std::ssize(data.tokens)), report.model.tokenizer().name());
  text += fmt::format("windows     of {} tokens, {} apart; {} tokens predicted in {:.1f} s\n", report.options.length,
                      report.options.stride, format_count(metrics.num_tokens), metrics.elapsed_ms / 1000);
  if (num_files > 1) text += files_text(report);
  return text + fmt::format("loss        {:.4f} nats per token\nperplexity  {:.4f}\nbits/byte   {:.4f}\n", metrics.loss,
                            metrics.perplexity, metrics.bits_per_byte);
}

}  // namespace virgil

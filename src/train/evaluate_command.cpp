#include "virgil/train/evaluate_command.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <ostream>
#include <span>
#include <string>
#include <vector>

#include "data/dataset_sources.h"
#include "virgil/base/error.h"
#include "virgil/base/file_system.h"
#include "virgil/base/format.h"
#include "virgil/base/non_finite_error.h"
#include "virgil/data/dataset.h"
#include "virgil/model/gpt.h"
#include "virgil/model/gpt_decoder.h"
#include "virgil/train/console_metrics.h"
#include "virgil/train/evaluator.h"
#include "virgil/train/inference_model.h"
#include "virgil/train/text_generator.h"
#include "virgil/train/text_stream.h"

namespace virgil {

namespace {

/// What is measured, on what.
struct Subject {
  const EvaluateRequest& request;
  const InferenceModel& model;
  const Dataset& data;
  const EvaluationOptions& options;
};

std::string as_json(const Subject& subject, const EvalMetrics& metrics) {
  std::vector<std::string> inputs;
  for (const std::string& input : subject.request.inputs) inputs.push_back(to_valid_utf8(input));
  const TokenData& text = subject.data.train;
  return nlohmann::ordered_json({{"checkpoint", to_valid_utf8(subject.model.directory().string())},
                                 {"step", subject.model.step()},
                                 {"inputs", inputs},
                                 {"documents", subject.data.num_documents},
                                 {"bytes", text.text_bytes},
                                 {"tokens", text.tokens.size()},
                                 {"predicted_tokens", metrics.num_tokens},
                                 {"block_size", subject.options.length},
                                 {"stride", subject.options.stride},
                                 {"dtype", name_of(subject.model.plan().dtype())},
                                 {"loss", metrics.loss},
                                 {"perplexity", metrics.perplexity},
                                 {"bits_per_byte", metrics.bits_per_byte},
                                 {"elapsed_ms", metrics.elapsed_ms}})
             .dump() +
         "\n";
}

std::string as_text(const Subject& subject, const EvalMetrics& metrics) {
  const TokenData& data = subject.data.train;
  const std::int64_t documents = subject.data.num_documents;
  std::string text = fmt::format("checkpoint  {}, step {}\n", subject.model.directory().string(), subject.model.step());
  text += fmt::format("text        {}: {}{} bytes, {} tokens ({})\n", fmt::join(subject.request.inputs, ", "),
                      documents == 1 ? std::string() : fmt::format("{} files, ", format_count(documents)),
                      format_count(data.text_bytes), format_count(std::ssize(data.tokens)), subject.model.tokenizer().name());
  text += fmt::format("windows     of {} tokens, {} apart; {} tokens predicted in {:.1f} s\n", subject.options.length,
                      subject.options.stride, format_count(metrics.num_tokens), metrics.elapsed_ms / 1000);
  text += fmt::format("loss        {:.4f} nats per token\nperplexity  {:.4f}\nbits/byte   {:.4f}\n", metrics.loss,
                      metrics.perplexity, metrics.bits_per_byte);
  return text;
}

void check_request(const EvaluateRequest& request) {
  const auto is_empty = [](const std::string& input) { return input.empty(); };
  if (request.inputs.empty() || std::ranges::all_of(request.inputs, is_empty)) {
    throw user_error("no text to evaluate on: give one with --input FILE");
  }
  if (request.batch_size < 1) throw user_error("batch_size is {}: choose 1 or more", request.batch_size);
}

DataRequest data_request(const EvaluateRequest& request) {
  return {.inputs = request.inputs, .val_fraction = 0, .text = request.text, .token_type = request.token_type};
}

/// All of the inputs as one text, end to end as in training.
Dataset load_text(const EvaluateRequest& request, const InferenceModel& model, Logger& log) {
  DataRequest wanted = data_request(request);
  wanted.made_tokenizer = model.shared_tokenizer();
  wanted.progress = request.progress;
  const std::unique_ptr<FileSystem> files = make_posix_file_system();
  Dataset data = load_dataset(wanted, *files, log);
  const std::size_t num_tokens = data.train.tokens.size();
  if (num_tokens >= 2) return data;
  throw user_error("{}: has {} token{}, and none follows to be predicted; give a longer text", fmt::join(request.inputs, ", "),
                   num_tokens, num_tokens == 1 ? "" : "s");
}

EvalMetrics measure(const Evaluator& evaluator, const InferenceModel& model, ProgressMonitor* progress) {
  Gpt gpt(model.backend(), model.plan(), model.memory());
  return evaluator.run(gpt, model.step(), {}, progress);
}

/// The loss of some window is not finite: reads the windows one by one, as they would be read for generating, until it has
/// found where that begins.
[[noreturn]] void explain_non_finite(const EvaluateRequest& request, const Evaluator& evaluator, Logger& log) {
  NullLogger quiet;
  log.warn("the loss is NaN or infinite; looking for where that begins");
  const InferenceModel model(request.checkpoint,
                             {.num_sequences = 1, .batch_size = 0, .dtype = request.dtype, .device = request.device}, quiet);
  GptDecoder decoder(model.backend(), model.plan(), model.memory());
  const std::int64_t T = model.plan().model().block_size();
  std::vector<std::int32_t> inputs(static_cast<std::size_t>(request.batch_size * T));
  std::vector<std::int32_t> targets(inputs.size());
  std::optional<NonFiniteOutput> found;
  ProgressPhase phase(request.progress, "searching", "windows", evaluator.total_windows());
  for (std::int64_t batch = 0; batch < evaluator.num_batches() && !found; ++batch) {
    phase.advance(request.batch_size);
    evaluator.fill(batch, inputs, targets);
    for (std::int64_t row = 0; row < request.batch_size && !found; ++row) {
      found =
          decoder.find_non_finite(std::span(inputs).subspan(static_cast<std::size_t>(row * T), static_cast<std::size_t>(T)));
    }
  }
  throw NonFiniteError(describe_non_finite("losses of this text", found, model.plan().dtype()));
}

}  // namespace

void run_evaluate(const EvaluateRequest& request, std::ostream& out, Logger& log) {
  check_request(request);
  NullLogger quiet;
  (void)expand_request(data_request(request), quiet);  // a missing file is told before the model is read
  std::optional<InferenceModel> model;
  model.emplace(
      request.checkpoint,
      InferenceOptions{.num_sequences = 0, .batch_size = request.batch_size, .dtype = request.dtype, .device = request.device},
      log);
  const Dataset data = load_text(request, *model, log);
  const std::int64_t block_size = model->plan().model().block_size();
  const EvaluationOptions options{.batch_size = request.batch_size,
                                  .length = block_size,
                                  .stride = request.stride == 0 ? block_size : request.stride,
                                  .max_batches = 0};
  const Evaluator evaluator(data.train.tokens, data.train.text_bytes, options);
  const EvalMetrics metrics = measure(evaluator, *model, request.progress);
  if (!std::isfinite(metrics.loss)) {
    model.reset();  // its memory is needed for another plan
    explain_non_finite(request, evaluator, log);
  }
  const Subject subject{request, *model, data, options};
  out << (request.json ? as_json(subject, metrics) : as_text(subject, metrics)) << std::flush;
  if (!out) throw user_error("cannot write the output: is the disk full, or the reader gone?");
}

}  // namespace virgil

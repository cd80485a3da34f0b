#include "virgil/command/evaluate_command.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <optional>
#include <ostream>
#include <span>
#include <string>
#include <vector>

#include "command/evaluate_report.h"
#include "virgil/base/error.h"
#include "virgil/base/file_system.h"
#include "virgil/base/non_finite_error.h"
#include "virgil/data/dataset.h"
#include "virgil/data/dataset_sources.h"
#include "virgil/generate/inference_model.h"
#include "virgil/generate/text_generator.h"
#include "virgil/model/gpt.h"
#include "virgil/model/gpt_decoder.h"
#include "virgil/train/evaluator.h"

namespace virgil {

namespace {

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
  wanted.tell_files = true;
  const std::unique_ptr<FileSystem> files = make_posix_file_system();
  Dataset data = load_dataset(wanted, *files, log);
  const std::size_t num_tokens = data.train.tokens.size();
  if (num_tokens >= 2) return data;
  throw user_error("{}: has {} token{}, and none follows to be predicted; give a longer text", fmt::join(request.inputs, ", "),
                   num_tokens, num_tokens == 1 ? "" : "s");
}

std::vector<std::size_t> ends_of_files(const Dataset& data) {
  std::vector<std::size_t> ends;
  for (const FileTokens& file : data.files) {
    ends.push_back((ends.empty() ? 0 : ends.back()) + static_cast<std::size_t>(file.num_tokens));
  }
  return ends;
}

/// The file that a token is from.
std::string file_of(const Dataset& data, std::int64_t token) {
  std::int64_t end = 0;
  for (const FileTokens& file : data.files) {
    end += file.num_tokens;
    if (token < end) return file.path.string();
  }
  return data.files.back().path.string();
}

/// The loss of a batch is not finite: reads its windows one by one, as they would be read for generating, until it has found
/// where that begins.
[[noreturn]] void explain_non_finite(const EvaluateRequest& request, const Evaluator& evaluator, const Dataset& data,
                                     std::int64_t batch) {
  NullLogger quiet;
  const InferenceModel model(request.checkpoint,
                             {.num_sequences = 1, .batch_size = 0, .dtype = request.dtype, .device = request.device}, quiet);
  GptDecoder decoder(model.backend(), model.plan(), model.memory());
  const std::int64_t T = model.plan().model().block_size;
  std::vector<std::int32_t> inputs(static_cast<std::size_t>(request.batch_size * T));
  std::vector<std::int32_t> targets(inputs.size());
  evaluator.fill(batch, inputs, targets);
  std::optional<NonFiniteOutput> found;
  std::int64_t row = 0;
  for (; row < request.batch_size; ++row) {
    if (request.progress != nullptr && request.progress->stop_requested()) throw Stopped();
    found = decoder.find_non_finite(std::span(inputs).subspan(static_cast<std::size_t>(row * T), static_cast<std::size_t>(T)));
    if (found) break;
  }
  const std::int64_t token = found ? evaluator.token_at(batch, row, found->position) : evaluator.token_at(batch, 0, 0);
  throw NonFiniteError(
      describe_non_finite(fmt::format("{}: losses of this text", file_of(data, token)), found, model.plan().dtype()));
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
  const std::int64_t block_size = model->plan().model().block_size;
  const EvaluationOptions options{.batch_size = request.batch_size,
                                  .length = block_size,
                                  .stride = request.stride == 0 ? block_size : request.stride,
                                  .max_batches = 0};
  const Evaluator evaluator(data.train.tokens, data.train.text_bytes, options);
  EvaluationDetail detail;
  if (data.files.size() > 1) detail.part_ends = ends_of_files(data);
  EvalMetrics metrics;
  {
    Gpt gpt(model->backend(), model->plan(), model->memory());
    metrics = evaluator.run(gpt, model->step(), {}, request.progress, &detail);
  }
  if (detail.first_non_finite_batch >= 0) {
    model.reset();  // its memory is needed for another plan
    explain_non_finite(request, evaluator, data, detail.first_non_finite_batch);
  }
  const EvaluateReport report{*model, request.inputs, data, options, metrics, detail.parts};
  out << (request.json ? evaluate_json(report) : evaluate_text(report)) << std::flush;
  if (!out) throw user_error("cannot write the output: is the disk full, or the reader gone?");
}

}  // namespace virgil

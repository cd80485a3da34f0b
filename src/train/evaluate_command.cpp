#include "virgil/train/evaluate_command.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <ostream>

#include "virgil/base/error.h"
#include "virgil/data/dataset.h"
#include "virgil/model/gpt.h"
#include "virgil/train/console_metrics.h"
#include "virgil/train/evaluator.h"
#include "virgil/train/inference_model.h"
#include "virgil/train/text_stream.h"

namespace virgil {

namespace {

std::string as_json(const EvaluateRequest& request, const InferenceModel& model, const TokenData& data,
                    const EvaluationOptions& options, const EvalMetrics& metrics) {
  return nlohmann::ordered_json({{"checkpoint", to_valid_utf8(model.directory().string())},
                                 {"step", model.step()},
                                 {"input", to_valid_utf8(request.input)},
                                 {"bytes", data.text_bytes},
                                 {"tokens", data.tokens.size()},
                                 {"predicted_tokens", metrics.num_tokens},
                                 {"block_size", options.length},
                                 {"stride", options.stride},
                                 {"loss", metrics.loss},
                                 {"perplexity", metrics.perplexity},
                                 {"bits_per_byte", metrics.bits_per_byte},
                                 {"elapsed_ms", metrics.elapsed_ms}})
             .dump() +
         "\n";
}

std::string as_text(const EvaluateRequest& request, const InferenceModel& model, const TokenData& data,
                    const EvaluationOptions& options, const EvalMetrics& metrics) {
  std::string text = fmt::format("checkpoint  {}, step {}\n", model.directory().string(), model.step());
  text += fmt::format("text        {}: {} bytes, {} tokens ({})\n", request.input, format_count(data.text_bytes),
                      format_count(std::ssize(data.tokens)), model.tokenizer().name());
  text += fmt::format("windows     of {} tokens, {} apart; {} tokens predicted in {:.1f} s\n", options.length, options.stride,
                      format_count(metrics.num_tokens), metrics.elapsed_ms / 1000);
  text += fmt::format("loss        {:.4f} nats per token\nperplexity  {:.4f}\nbits/byte   {:.4f}\n", metrics.loss,
                      metrics.perplexity, metrics.bits_per_byte);
  return text;
}

}  // namespace

void run_evaluate(const EvaluateRequest& request, std::ostream& out, Logger& log) {
  if (request.input.empty()) throw user_error("no text to evaluate on: give one with --input FILE");
  if (request.batch_size < 1) throw user_error("batch_size is {}: choose 1 or more", request.batch_size);
  const Text text = read_text(request.input, log);
  const InferenceModel model(request.checkpoint,
                             {.num_sequences = 0, .batch_size = request.batch_size, .device = request.device}, log);
  const TokenData data = tokenize(model.tokenizer(), text.bytes);
  if (data.tokens.size() < 2) {
    throw user_error("{}: has {} token, and none follows it to be predicted; give a longer text", request.input,
                     data.tokens.size());
  }
  const std::int64_t block_size = model.plan().model().block_size();
  const EvaluationOptions options{.batch_size = request.batch_size,
                                  .length = block_size,
                                  .stride = request.stride == 0 ? block_size : request.stride,
                                  .max_batches = 0};
  const Evaluator evaluator(data.tokens, data.text_bytes, options);
  Gpt gpt(model.backend(), model.plan(), model.memory());
  const EvalMetrics metrics = evaluator.run(gpt, model.step());
  out << (request.json ? as_json(request, model, data, options, metrics) : as_text(request, model, data, options, metrics))
      << std::flush;
  if (!out) throw user_error("cannot write the output: is the disk full, or the reader gone?");
}

}  // namespace virgil

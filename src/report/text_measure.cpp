#include "virgil/report/text_measure.h"

#include <utility>
#include <vector>

#include "virgil/base/error.h"
#include "virgil/base/input_file.h"
#include "virgil/data/dataset_sources.h"
#include "virgil/data/token_sink.h"
#include "virgil/train/data_request.h"

namespace virgil {

namespace {

/// Counts tokens and forgets them.
class TokenCounter final : public TokenSink {
 public:
  TokenCounter(std::int64_t& tokens, std::int64_t& bytes) : tokens_(tokens), bytes_(bytes) {}
  void add(std::vector<std::int32_t> tokens, std::int64_t text_bytes) override {
    tokens_ += std::ssize(tokens);
    bytes_ += text_bytes;
  }

 private:
  std::int64_t& tokens_;
  std::int64_t& bytes_;
};

ExpandedInputs expand(const DataRequest& request, Logger& log) {
  if (request.inputs.empty()) throw user_error("no text is given: name it with --input FILE");
  return expand_request(request, log);
}

}  // namespace

double TextMeasure::bytes_per_token() const {
  return val_tokens > 0 ? static_cast<double>(val_bytes) / static_cast<double>(val_tokens)
                        : static_cast<double>(train_bytes) / static_cast<double>(train_tokens);
}

std::int64_t input_bytes(const TrainConfig& config, Logger& log) {
  std::int64_t total = 0;
  for (const auto& path : expand(data_request(config), log).files.train) total += InputFile(path).size_bytes();
  return total;
}

TextMeasure measure_text(const TrainConfig& config, Logger& log, ProgressMonitor* progress) {
  DataRequest request = data_request(config);
  request.progress = progress;
  ExpandedInputs inputs = expand(request, log);
  TextMeasure measure;
  std::shared_ptr<const Tokenizer> tokenizer;
  if (inputs.hold_tokens) {
    const Dataset data = load_token_dataset(request, inputs.files, log);
    tokenizer = data.tokenizer;
    measure.train_tokens = static_cast<std::int64_t>(data.train.tokens.size());
    measure.train_bytes = data.train.text_bytes;
    if (data.val) {
      measure.val_tokens = static_cast<std::int64_t>(data.val->tokens.size());
      measure.val_bytes = data.val->text_bytes;
    }
  } else {
    TokenCounter train(measure.train_tokens, measure.train_bytes);
    TokenCounter val(measure.val_tokens, measure.val_bytes);
    tokenizer = stream_text_dataset(
                    request, std::move(inputs.files),
                    [&](const Tokenizer&) {
                      return PartSinks{train, val};
                    },
                    log)
                    .tokenizer;
  }
  measure.tokenizer = tokenizer->name();
  measure.vocab_size = tokenizer->vocab_size();
  if (measure.train_tokens < 1 || measure.train_bytes < 1) throw user_error("the input holds no text to train on");
  return measure;
}

}  // namespace virgil

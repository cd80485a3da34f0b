#include "virgil/command/tokenize_command.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <ostream>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "command/output_folder.h"
#include "command/tokenize_report.h"
#include "virgil/base/error.h"
#include "virgil/data/dataset_sources.h"
#include "virgil/data/tokenizer_builder.h"

namespace virgil {
namespace {

namespace fs = std::filesystem;

/// Counts what passes, keeps the first tokens, and hands everything on to the token files where there are any.
class CountingSink final : public TokenSink {
 public:
  CountingSink(TokenStatistics& statistics, std::optional<ShardSink>& shards) : statistics_(statistics), shards_(shards) {}

  void keep_first(std::size_t limit) { limit_ = limit; }
  void add(std::vector<std::int32_t> tokens, std::int64_t text_bytes) override {
    statistics_.add(tokens);
    num_tokens_ += std::ssize(tokens);
    text_bytes_ += text_bytes;
    const auto kept = static_cast<std::ptrdiff_t>(std::min(tokens.size(), limit_ - first_.size()));
    first_.insert(first_.end(), tokens.begin(), tokens.begin() + kept);
    if (shards_) shards_->add(std::move(tokens), text_bytes);
  }

  [[nodiscard]] std::int64_t num_tokens() const { return num_tokens_; }
  [[nodiscard]] std::int64_t text_bytes() const { return text_bytes_; }
  [[nodiscard]] const std::vector<std::int32_t>& first() const { return first_; }

 private:
  TokenStatistics& statistics_;
  std::optional<ShardSink>& shards_;
  std::size_t limit_ = 0;
  std::vector<std::int32_t> first_;
  std::int64_t num_tokens_ = 0;
  std::int64_t text_bytes_ = 0;
};

void write_tokenizer(FileSystem& files, const fs::path& folder, const Tokenizer& tokenizer) {
  files.create_directories(folder);
  for (const Tokenizer::File& file : tokenizer.files()) write_file_atomically(files, folder / file.name, file.content);
}

/// What stands between the marks of a text; empty where marks stand together.
std::vector<std::string_view> split_at(std::string_view mark, std::string_view text) {
  std::vector<std::string_view> documents;
  for (;;) {
    const std::size_t at = text.find(mark);
    documents.push_back(text.substr(0, at));
    if (at == text.npos) return documents;
    text.remove_prefix(at + mark.size());
  }
}

/// What one call makes on its way.
class Tokenization {
 public:
  Tokenization(const TokenizeRequest& request, FileSystem& files, Logger& log) : request_(request), files_(files), log_(log) {}

  void run() {
    const auto start = std::chrono::steady_clock::now();
    if (!request_.output.empty()) output_.emplace(files_, request_.output);
    if (request_.text) {
      tokenize_text();
    } else {
      tokenize_inputs();
    }
    elapsed_s_ = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    if (statistics_->num_tokens() == 0) throw UserError("the input holds no tokens");
    finish_output();
    if (!request_.save_tokenizer.empty()) write_tokenizer(files_, request_.save_tokenizer, *dataset_.tokenizer);
  }

  [[nodiscard]] TokenizeReport report() const {
    std::vector<std::int32_t> shown = train_->first();
    return {.tokenizer = *dataset_.tokenizer,
            .statistics = *statistics_,
            .inputs = request_.text ? std::vector<std::string>{} : request_.data.inputs,
            .num_documents = dataset_.num_documents + dataset_.num_val_documents,
            .end_mark = dataset_.end_mark,
            .num_split_marks = dataset_.marks_split ? dataset_.num_marks : 0,
            .text_bytes = train_->text_bytes() + val_->text_bytes(),
            .train_tokens = train_->num_tokens(),
            .val_tokens = val_->num_tokens(),
            .shown = std::move(shown),
            .output = request_.output,
            .files = written_,
            .tokenizer_folder = request_.save_tokenizer,
            .top = static_cast<std::size_t>(request_.top),
            .elapsed_s = elapsed_s_};
  }

 private:
  PartSinks open_sinks(const Tokenizer& tokenizer) {
    statistics_.emplace(tokenizer.vocab_size());
    if (output_) {
      const ShardOptions options{request_.format, static_cast<std::size_t>(request_.shard_tokens)};
      train_shards_.emplace(files_, output_->partial() / "train", "train", tokenizer, options);
      val_shards_.emplace(files_, output_->partial() / "val", "val", tokenizer, options);
    }
    train_.emplace(*statistics_, train_shards_);
    val_.emplace(*statistics_, val_shards_);
    if (request_.inspect) train_->keep_first(static_cast<std::size_t>(request_.inspect_tokens));
    return {*train_, *val_};
  }

  void tokenize_text() {
    const std::unique_ptr<TokenizerBuilder> builder = make_tokenizer_builder(request_.data.tokenizer, request_.data.progress);
    dataset_.end_mark = builder->end_of_text_mark();
    const bool split = request_.data.text.split_documents && !dataset_.end_mark.empty();
    const std::vector<std::string_view> documents =
        split ? split_at(dataset_.end_mark, *request_.text) : std::vector{std::string_view(*request_.text)};
    for (const std::string_view document : documents) builder->add_text(document);
    dataset_.tokenizer = builder->finish();
    dataset_.num_documents = 1;
    dataset_.num_marks = std::ssize(documents) - 1;
    dataset_.marks_split = split;
    TokenSink& sink = open_sinks(*dataset_.tokenizer).train;
    for (std::size_t i = 0; i < documents.size(); ++i) {
      if (i > 0) sink.add({dataset_.tokenizer->end_of_text()}, 0);
      sink.add(dataset_.tokenizer->encode(documents[i]), std::ssize(documents[i]));
    }
  }

  void tokenize_inputs() {
    ExpandedInputs inputs = expand_request(request_.data, log_);
    const OpenSinks open = [this](const Tokenizer& tokenizer) { return open_sinks(tokenizer); };
    if (!inputs.hold_tokens) {
      dataset_ = stream_text_dataset(request_.data, std::move(inputs.files), open, log_);
      return;
    }
    dataset_ = load_token_dataset(request_.data, inputs.files, log_);
    const PartSinks sinks = open(*dataset_.tokenizer);
    copy_tokens(dataset_.train, sinks.train, request_.data.progress);
    if (dataset_.val) copy_tokens(*dataset_.val, sinks.val, request_.data.progress);
  }

  static void copy_tokens(const TokenData& data, TokenSink& sink, ProgressMonitor* progress) {
    ProgressPhase phase(progress, "counting tokens", "tokens", static_cast<std::int64_t>(data.tokens.size()));
    constexpr std::size_t kBlock = std::size_t{1} << 20;
    for (std::size_t at = 0; at < data.tokens.size(); at += kBlock) {
      std::vector<std::int32_t> block(std::min(kBlock, data.tokens.size() - at));
      data.tokens.copy(at, block);
      const std::int64_t copied = std::ssize(block);
      sink.add(std::move(block), at + kBlock >= data.tokens.size() ? data.text_bytes : 0);
      phase.advance(copied);
    }
  }

  void finish_output() {
    if (!output_) return;
    for (const std::string& name : train_shards_->finish()) written_.push_back("train/" + name);
    for (const std::string& name : val_shards_->finish()) written_.push_back("val/" + name);
    write_tokenizer(files_, output_->partial(), *dataset_.tokenizer);
    for (const Tokenizer::File& file : dataset_.tokenizer->files()) written_.push_back(file.name);
    output_->finish();
  }

  const TokenizeRequest& request_;
  FileSystem& files_;
  Logger& log_;
  std::optional<OutputFolder> output_;
  Dataset dataset_;
  std::optional<TokenStatistics> statistics_;
  std::optional<ShardSink> train_shards_, val_shards_;
  std::optional<CountingSink> train_, val_;
  std::vector<std::string> written_;
  double elapsed_s_ = 0;
};

/// A folder that is there must be empty: nothing is written over.
void check_folder(const std::string& folder, const char* flag) {
  std::error_code ignored;
  if (folder.empty() || !fs::exists(folder, ignored)) return;
  if (!fs::is_directory(folder, ignored)) throw user_error("--{} {}: a file, not a folder; choose another name", flag, folder);
  if (fs::is_empty(folder, ignored)) return;
  throw user_error("--{} {}: the folder holds something already; choose another, or remove it", flag, folder);
}

void check_request(const TokenizeRequest& request) {
  if (request.text && !request.data.inputs.empty()) throw UserError("--text and --input exclude each other; give one");
  if (request.text && request.text->empty()) throw UserError("--text is empty; give at least one character");
  if (!request.text && request.data.inputs.empty()) {
    throw UserError("nothing to tokenise: give a text file with --input FILE, or a text with --text TEXT");
  }
  const auto check_positive = [](const char* flag, std::int64_t value, std::int64_t least) {
    if (value < least) throw user_error("--{} is {}; it takes a whole number of at least {}", flag, value, least);
  };
  check_positive("shard_tokens", request.shard_tokens, 1);
  check_positive("inspect_tokens", request.inspect_tokens, 1);
  check_positive("top", request.top, 0);
  check_folder(request.output, "output");
  check_folder(request.save_tokenizer, "save_tokenizer");
}

}  // namespace

TokenFileFormat parse_token_file_format(const std::string& name) {
  if (name == "virgil") return TokenFileFormat::kVirgil;
  if (name == "llm.c") return TokenFileFormat::kLlmC;
  if (name == "nanogpt") return TokenFileFormat::kNanoGpt;
  throw user_error("format is \"{}\"; choose virgil, llm.c or nanogpt", name);
}

void run_tokenize(const TokenizeRequest& request, FileSystem& files, std::ostream& out, Logger& log) {
  check_request(request);
  Tokenization work(request, files, log);
  work.run();
  const TokenizeReport report = work.report();
  out << (request.json ? tokenize_json_report(report) : tokenize_text_report(report)) << std::flush;
  if (!out) throw user_error("cannot write the output: is the disk full, or the reader gone?");
}

}  // namespace virgil

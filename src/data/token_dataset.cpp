#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "data/file_bytes.h"
#include "data/parallel_encode.h"
#include "virgil/base/error.h"
#include "virgil/data/dataset_sources.h"
#include "virgil/data/token_file.h"
#include "virgil/data/tokenizer_builder.h"

namespace virgil {
namespace {

void check_file(const TokenFile& file, const Tokenizer& tokenizer, const std::filesystem::path& path, ProgressPhase& phase) {
  const std::string& fingerprint = file.info.tokenizer_fingerprint;
  if (!fingerprint.empty() && fingerprint != tokenizer.fingerprint()) {
    throw user_error(
        "{}: its ids are of another tokenizer ({} ids, fingerprint {:.16}...) than {} ({} ids, {:.16}...); set "
        "\"tokenizer\" to the one the file was made with",
        path.string(), file.info.vocab_size, fingerprint, tokenizer.name(), tokenizer.vocab_size(), tokenizer.fingerprint());
  }
  check_token_file_ids(file, tokenizer.vocab_size(), path, &phase);
}

TokenSequence open_all(const std::vector<std::filesystem::path>& paths, TokenType type, const Tokenizer& tokenizer,
                       ProgressMonitor* progress, Logger& log, std::vector<FileTokens>* files = nullptr) {
  ProgressPhase phase(progress, "reading token files", "bytes", file_bytes(paths));
  std::vector<TokenFile> opened(paths.size());
  for_each_in_parallel(paths.size(), [&](std::size_t i) {
    opened[i] = open_token_file(paths[i], type, &phase);
    check_file(opened[i], tokenizer, paths[i], phase);
  });
  TokenSequence tokens;
  const TokenFileFormat format = opened.front().info.format;
  for (std::size_t i = 0; i < paths.size(); ++i) {
    if (opened[i].info.format != format) {
      throw user_error("{} is in {}'s format, {} in {}'s; give token files of one format", paths.front().string(),
                       name_of(format), paths[i].string(), name_of(opened[i].info.format));
    }
    if (files != nullptr) files->push_back({paths[i], static_cast<std::int64_t>(opened[i].tokens.size())});
    tokens.append(opened[i].tokens);
  }
  if (format != TokenFileFormat::kVirgil) {
    log.info(fmt::format("{}: token files in {}'s format do not name their tokenizer; taken as {}'s ids",
                         paths.front().string(), name_of(format), tokenizer.name()));
  }
  return tokens;
}

std::int64_t decoded_size(const Tokenizer& tokenizer, const TokenSequence& tokens) {
  std::vector<std::int32_t> ids(tokens.size());
  tokens.copy(0, ids);
  return static_cast<std::int64_t>(tokenizer.decode(ids).size());
}

/// How many bytes of text ids stand for: not all files know it, and a part of a file does not. The end of text is no text.
std::int64_t count_text_bytes(const Tokenizer& tokenizer, const TokenSequence& tokens, ProgressMonitor* progress) {
  ProgressPhase phase(progress, "measuring the tokens' text", "tokens", static_cast<std::int64_t>(tokens.size()));
  constexpr std::size_t kTokensPerTask = std::size_t{1} << 20;
  std::vector<std::size_t> cuts{0};
  while (cuts.back() < tokens.size()) {
    std::size_t cut = std::min(tokens.size(), cuts.back() + kTokensPerTask);
    // An id that decodes to nothing alone is half a byte of the char tokenizer's: the next one completes it.
    while (cut < tokens.size() && decoded_size(tokenizer, tokens.slice(cut - 1, 1)) == 0) ++cut;
    cuts.push_back(cut);
  }
  std::vector<std::int64_t> sums(cuts.size() - 1);
  for_each_in_parallel(sums.size(), [&](std::size_t i) {
    std::vector<std::int32_t> ids(cuts[i + 1] - cuts[i]);
    tokens.copy(cuts[i], ids);
    std::erase(ids, tokenizer.end_of_text());
    sums[i] = static_cast<std::int64_t>(tokenizer.decode(ids).size());
    phase.advance(static_cast<std::int64_t>(cuts[i + 1] - cuts[i]));
  });
  return std::accumulate(sums.begin(), sums.end(), std::int64_t{0});
}

TokenData describe(TokenSequence tokens, const Tokenizer& tokenizer, ProgressMonitor* progress) {
  TokenData data{std::move(tokens), 0, {}};
  data.text_bytes = count_text_bytes(tokenizer, data.tokens, progress);
  data.fingerprint = fingerprint_of(data.tokens, progress);
  return data;
}

/// The tokenizer that the ids are of: none that would have to learn from a text.
std::shared_ptr<const Tokenizer> tokenizer_of(const DataRequest& request, const InputFiles& inputs) {
  if (request.made_tokenizer) return request.made_tokenizer;
  const std::unique_ptr<TokenizerBuilder> builder = make_tokenizer_builder(request.tokenizer, request.progress);
  if (builder->needs_text()) {
    throw user_error(
        "{}: tokenizer \"{}\" learns from a text, and this is a token file; set \"tokenizer\" to the tokenizer file "
        "that was saved with it",
        inputs.train.front().string(), request.tokenizer);
  }
  return builder->finish();
}

}  // namespace

Dataset load_token_dataset(const DataRequest& request, const InputFiles& inputs, Logger& log) {
  Dataset dataset;
  dataset.num_documents = std::ssize(inputs.train);
  dataset.num_val_documents = std::ssize(inputs.val);
  dataset.tokenizer = tokenizer_of(request, inputs);
  TokenSequence train = open_all(inputs.train, request.token_type, *dataset.tokenizer, request.progress, log,
                                 request.tell_files ? &dataset.files : nullptr);
  TokenSequence val;
  if (!inputs.val.empty()) {
    val = open_all(inputs.val, request.token_type, *dataset.tokenizer, request.progress, log);
  } else {
    const std::size_t cut = train_size(train.size(), request.val_fraction);
    val = train.slice(cut, train.size() - cut);
    train = train.slice(0, cut);
  }
  std::size_t begin = 0;
  for (FileTokens& file : dataset.files) {
    const auto count = static_cast<std::size_t>(file.num_tokens);
    file.text_bytes = count_text_bytes(*dataset.tokenizer, train.slice(begin, count), request.progress);
    begin += count;
  }
  dataset.train = describe(std::move(train), *dataset.tokenizer, request.progress);
  if (!val.empty()) dataset.val = describe(std::move(val), *dataset.tokenizer, request.progress);
  return dataset;
}

}  // namespace virgil

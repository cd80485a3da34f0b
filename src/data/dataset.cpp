#include "virgil/data/dataset.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "data/parallel_encode.h"
#include "virgil/base/error.h"
#include "virgil/base/input_file.h"
#include "virgil/base/sha256.h"
#include "virgil/data/dataset_sources.h"
#include "virgil/data/input_files.h"

namespace virgil {
namespace {

std::string beginning_of(const std::filesystem::path& path) {
  std::string start(4096, '\0');
  start.resize(InputFile(path).read(start));
  return start;
}

/// Of two files of one size. Shards of one size are common, and most differ at once.
bool is_same_file(const std::filesystem::path& a, const std::filesystem::path& b) {
  std::error_code error;
  if (std::filesystem::equivalent(a, b, error)) return true;
  return beginning_of(a) == beginning_of(b) && sha256_of_file(a) == sha256_of_file(b);
}

/// What is evaluated on must not be what is trained on.
void warn_of_overlap(const InputFiles& inputs, Logger& log) {
  if (inputs.val.empty()) return;
  std::multimap<std::int64_t, std::filesystem::path> train_by_size;
  for (const std::filesystem::path& train : inputs.train) train_by_size.emplace(InputFile(train).size_bytes(), train);
  std::vector<std::string> shared;
  for (const std::filesystem::path& val : inputs.val) {
    const auto [first, last] = train_by_size.equal_range(InputFile(val).size_bytes());
    if (std::any_of(first, last, [&](const auto& train) { return is_same_file(val, train.second); }))
      shared.push_back(val.string());
  }
  if (shared.empty()) return;
  constexpr std::size_t kNamed = 3;
  const std::size_t named = std::min(kNamed, shared.size());
  const std::string names =
      fmt::format("{}", fmt::join(shared.begin(), shared.begin() + static_cast<std::ptrdiff_t>(named), ", "));
  log.warn(
      fmt::format("{}{}: trained on and evaluated on: the validation loss will not tell learning from memorising; give other "
                  "texts to --val_input, or leave it out to hold out the tail of the input",
                  names, shared.size() > named ? fmt::format(" and {} more", shared.size() - named) : ""));
}

bool holds_token_files(const std::vector<std::filesystem::path>& files) {
  for (const std::filesystem::path& file : files) {
    if (is_token_file(file) == is_token_file(files.front())) continue;
    throw user_error("{} and {}: texts and token files (.bin) cannot be mixed; tokenise the texts first",
                     files.front().string(), file.string());
  }
  return is_token_file(files.front());
}

}  // namespace

TextSplit split_text(std::string_view text, double val_fraction) {
  const std::size_t cut = find_character_cut(text, train_size(text.size(), val_fraction));
  return {text.substr(0, cut), text.substr(cut)};
}

std::size_t train_size(std::size_t size, double val_fraction) {
  if (!(val_fraction >= 0.0 && val_fraction < 1.0)) {
    throw user_error("val_fraction is {}; it must be at least 0 and below 1", val_fraction);
  }
  return val_fraction == 0.0 ? size : static_cast<std::size_t>(static_cast<double>(size) * (1.0 - val_fraction));
}

TokenData tokenize(const Tokenizer& tokenizer, std::string_view text) {
  TokenData data{tokenizer.encode(text), static_cast<std::int64_t>(text.size()), {}};
  data.fingerprint = fingerprint_of(data.tokens);
  return data;
}

ExpandedInputs expand_request(const DataRequest& request, Logger& log) {
  if (request.inputs.empty()) throw UserError("no input is given; name a text file with --input");
  InputFiles inputs{expand_inputs(request.inputs, log), expand_inputs(request.val_inputs, log)};
  const bool tokens = holds_token_files(inputs.train);
  if (!inputs.val.empty() && holds_token_files(inputs.val) != tokens) {
    throw user_error("{} and {}: the inputs and val_inputs must both be texts or both token files (.bin)",
                     inputs.train.front().string(), inputs.val.front().string());
  }
  warn_of_overlap(inputs, log);
  return {std::move(inputs), tokens};
}

Dataset load_dataset(const DataRequest& request, FileSystem& files, Logger& log) {
  ExpandedInputs inputs = expand_request(request, log);
  return inputs.hold_tokens ? load_token_dataset(request, inputs.files, log)
                            : load_text_dataset(request, std::move(inputs.files), files, log);
}

}  // namespace virgil

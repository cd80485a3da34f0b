// The two kinds of inputs load_dataset knows.
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <vector>

#include "virgil/data/dataset.h"
#include "virgil/data/token_sink.h"

namespace virgil {

struct InputFiles {
  std::vector<std::filesystem::path> train;
  std::vector<std::filesystem::path> val;
};

/// How many of `size` bytes or ids are trained on. Throws UserError unless the fraction is in [0, 1).
[[nodiscard]] std::size_t train_size(std::size_t size, double val_fraction);

/// Where the tokens of both parts go as they are made.
struct PartSinks {
  TokenSink& train;
  TokenSink& val;
};
/// Called once, as soon as the tokenizer is known.
using OpenSinks = std::function<PartSinks(const Tokenizer& tokenizer)>;
/// load_dataset without the tokens, which go to the sinks: nothing of the size of the texts is kept.
[[nodiscard]] Dataset stream_text_dataset(const DataRequest& request, InputFiles inputs, const OpenSinks& open, Logger& log);

/// The files of a request, and whether they hold tokens. Throws UserError on inputs that do not fit together.
struct ExpandedInputs {
  InputFiles files;
  bool hold_tokens = false;
};
[[nodiscard]] ExpandedInputs expand_request(const DataRequest& request, Logger& log);

[[nodiscard]] Dataset load_text_dataset(const DataRequest& request, InputFiles inputs, FileSystem& files, Logger& log);
[[nodiscard]] Dataset load_token_dataset(const DataRequest& request, const InputFiles& inputs, Logger& log);

}  // namespace virgil

// The two kinds of inputs load_dataset knows.
#pragma once

#include <cstddef>
#include <filesystem>
#include <vector>

#include "virgil/data/dataset.h"

namespace virgil {

struct InputFiles {
  std::vector<std::filesystem::path> train;
  std::vector<std::filesystem::path> val;
};

/// How many of `size` bytes or ids are trained on. Throws UserError unless the fraction is in [0, 1).
[[nodiscard]] std::size_t train_size(std::size_t size, double val_fraction);

[[nodiscard]] Dataset load_text_dataset(const DataRequest& request, InputFiles inputs, FileSystem& files, Logger& log);
[[nodiscard]] Dataset load_token_dataset(const DataRequest& request, const InputFiles& inputs, Logger& log);

}  // namespace virgil

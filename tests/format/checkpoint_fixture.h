// A small model's checkpoint whose every byte follows from a seed.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "support/temporary_directory.h"
#include "support/unsynced_file_system.h"
#include "virgil/format/checkpoint.h"
#include "virgil/model/parameter_layout.h"

namespace virgil::test_support {

class CheckpointFixture : public ::testing::Test {
 protected:
  /// Contents of step `seed` of a bias-free, tied model: L 2, H 2, C 16, T 8, V 256.
  CheckpointContents make_contents(std::int64_t seed) const {
    CheckpointContents contents;
    contents.model = {
        .num_layers = 2, .num_heads = 2, .embedding_dim = 16, .block_size = 8, .vocab_size = 256, .d_ff = 64, .biases = {}};
    contents.tokenizer = tokenizer_.get();
    contents.state.step = seed;
    contents.state.tokens_seen = 1000 * seed;
    contents.state.seed = 42;
    contents.state.best_val_loss = 1.0 / 3;
    contents.state.best_step = seed - 1;
    contents.state.last_val_loss = 2.0 / 3;
    contents.state.last_eval_step = seed - 1;
    contents.state.loss_scaler = {.scale = 0x1p15, .good_steps = 12};
    contents.state.data_fingerprint = "0123";
    contents.state.val_fingerprint = "4567";
    contents.state.config_json = "{\n  \"n_layer\": 2,\n  \"lr\": 0.1,\n  \"input\": [\n    \"a.txt\",\n    \"b.txt\"\n  ]\n}";
    fill_tensors(contents, seed);
    return contents;
  }

  /// Tensors of contents.model, made from `seed`.
  static void fill_tensors(CheckpointContents& contents, std::int64_t seed) {
    contents.parameters.clear();
    contents.optimizer.clear();
    const ParameterLayout layout{trainable(contents.model)};
    for (const ParameterSpec& spec : layout.parameters()) {
      contents.parameters.push_back(make_tensor(spec.name, spec.stored_shape, seed));
      contents.optimizer.push_back(make_tensor("m." + spec.name, spec.stored_shape, seed));
      contents.optimizer.push_back(make_tensor("v." + spec.name, spec.stored_shape, seed));
    }
  }

  static void expect_tensors(const SafetensorsFile& file, const std::vector<TensorSource>& tensors) {
    for (const TensorSource& tensor : tensors) {
      const SafetensorsFile::Entry* entry = file.find(tensor.name);
      ASSERT_NE(entry, nullptr) << tensor.name;
      EXPECT_EQ(entry->shape, tensor.shape);
      std::vector<std::byte> expected(entry->bytes.size());
      tensor.read(expected, 0);
      EXPECT_TRUE(std::ranges::equal(entry->bytes, expected)) << tensor.name;
    }
  }

  TemporaryDirectory directory_;
  std::filesystem::path best_ = directory_.path() / "best";
  std::unique_ptr<FileSystem> files_ = std::make_unique<UnsyncedFileSystem>();
  std::unique_ptr<Tokenizer> tokenizer_ = make_tokenizer("byte", "");

 private:
  static TensorSource make_tensor(const std::string& name, Shape shape, std::int64_t seed) {
    const std::size_t salt = std::hash<std::string>()(name) + static_cast<std::size_t>(seed);
    return {name, DType::kFloat32, shape, [salt](std::span<std::byte> dst, std::int64_t offset) {
              for (std::size_t i = 0; i < dst.size(); ++i) {
                const std::size_t at = i + static_cast<std::size_t>(offset);
                dst[i] = static_cast<std::byte>((salt + at) * 2654435761U >> 24U);
                if (at % 4 == 3) dst[i] &= std::byte{0xBF};  // all values are finite
              }
            }};
  }
};

}  // namespace virgil::test_support

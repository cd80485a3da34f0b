#include "train/run_data.h"

#include <cstdint>
#include <filesystem>

#include "virgil/base/error.h"

namespace virgil {

namespace {

DataRequest data_request(const TrainConfig& config) {
  constexpr std::int64_t kCacheFromBytes = std::int64_t{64} << 20;  // shorter texts are tokenised in a moment
  DataRequest request;
  request.inputs = config.input;
  request.val_inputs = config.val_input;
  request.val_fraction = config.val_fraction;
  request.tokenizer = config.tokenizer;
  request.text.allow_nul = config.force;
  if (config.cache_dir == "auto") {
    request.cache_directory = std::filesystem::path(config.out_dir) / kTokenCacheFolder;
    request.cache_min_bytes = kCacheFromBytes;
  } else if (config.cache_dir != "none") {
    request.cache_directory = config.cache_dir;
  }
  return request;
}

}  // namespace

Dataset load_run_data(const TrainConfig& config, const LoadedCheckpoint* checkpoint, FileSystem& files, Logger& log,
                      ProgressMonitor* progress) {
  if (config.input.empty()) throw user_error("nothing to train on: give a text with --input FILE");
  DataRequest request = data_request(config);
  request.progress = progress;
  if (checkpoint != nullptr) request.tokenizer = std::filesystem::absolute(checkpoint->directory).string();
  return load_dataset(request, files, log);
}

ModelConfig make_model_config(const TrainConfig& config, const Tokenizer& tokenizer) {
  if (config.vocab_size != 0 && config.vocab_size < tokenizer.vocab_size()) {
    throw user_error("vocab_size is {}, the tokenizer {} has {} tokens: set vocab_size to 0 or to at least {}",
                     config.vocab_size, tokenizer.name(), tokenizer.vocab_size(), tokenizer.vocab_size());
  }
  return ModelConfig({.num_layers = config.n_layer,
                      .num_heads = config.n_head,
                      .embedding_dim = config.n_embd,
                      .block_size = config.block_size,
                      .vocab_size = config.vocab_size != 0 ? config.vocab_size : tokenizer.vocab_size(),
                      .d_ff = config.d_ff,
                      .bias = config.bias,
                      .tie_weights = config.tie_weights,
                      .dropout = static_cast<float>(config.dropout)});
}

void check_same_model(const LoadedCheckpoint& checkpoint, const ModelConfig& model) {
  const ModelSizes& saved = checkpoint.model;
  const ModelSizes& asked = model.sizes();
  const auto check = [&](const char* key, auto saved_value, auto asked_value) {
    if (saved_value == asked_value) return;
    throw user_error("checkpoint {}: {} is {}, the config says {}; set \"{}\": {}", checkpoint.directory.string(), key,
                     saved_value, asked_value, key, saved_value);
  };
  check("n_layer", saved.num_layers, asked.num_layers);
  check("n_head", saved.num_heads, asked.num_heads);
  check("n_embd", saved.embedding_dim, asked.embedding_dim);
  check("block_size", saved.block_size, asked.block_size);
  check("vocab_size", saved.vocab_size, asked.vocab_size);
  check("d_ff", ModelConfig(saved).d_ff(), model.d_ff());
  check("bias", saved.bias, asked.bias);
  check("tie_weights", saved.tie_weights, asked.tie_weights);
}

}  // namespace virgil

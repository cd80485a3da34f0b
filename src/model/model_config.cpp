#include "virgil/model/model_config.h"

#include <fmt/format.h>

#include <string>

#include "virgil/base/error.h"
#include "virgil/base/shape.h"

namespace virgil {

namespace {

/// Far above any model that exists, and low enough that products of three of them need checking only in the layouts.
constexpr std::int64_t kMaxSize = std::int64_t{1} << 31;

void check_size(const char* key, std::int64_t value) {
  if (value < 1 || value > kMaxSize) throw user_error("{} is {}: choose a value between 1 and {}", key, value, kMaxSize);
}

}  // namespace

ModelConfig::ModelConfig(const ModelSizes& sizes) : sizes_(sizes) {
  check_size("n_layer", sizes.num_layers);
  check_size("n_head", sizes.num_heads);
  check_size("n_embd", sizes.embedding_dim);
  check_size("block_size", sizes.block_size);
  check_size("vocab_size", sizes.vocab_size);
  if (sizes_.d_ff == 0) sizes_.d_ff = checked_multiply(4, sizes.embedding_dim);
  check_size("d_ff", sizes_.d_ff);
  if (sizes.embedding_dim % sizes.num_heads != 0) {
    const std::int64_t below = sizes.embedding_dim / sizes.num_heads * sizes.num_heads;
    const std::string near = below > 0 ? fmt::format("{} or ", below) : "";
    throw user_error("n_embd is {} and n_head is {}: n_embd must be a multiple of n_head; {}{} would be", sizes.embedding_dim,
                     sizes.num_heads, near, below + sizes.num_heads);
  }
  if (head_size() % 8 != 0 || head_size() > kMaxHeadSize) {
    throw user_error(
        "n_embd / n_head is {}: the head size must be a multiple of 8 up to {}; with n_embd {} choose n_head {} for heads of "
        "64",
        head_size(), kMaxHeadSize, sizes.embedding_dim, sizes.embedding_dim >= 64 ? sizes.embedding_dim / 64 : 1);
  }
  if (!(sizes.dropout >= 0 && sizes.dropout < 1)) throw user_error("dropout is {}: choose a value in [0, 1)", sizes.dropout);
  padded_vocab_size_ = round_up(sizes.vocab_size, kVocabMultiple);
}

}  // namespace virgil

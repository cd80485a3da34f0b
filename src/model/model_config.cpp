#include "virgil/model/model_config.h"

#include <string>

#include "virgil/base/error.h"
#include "virgil/base/shape.h"
#include "virgil/model/head_choice.h"

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
  if (const std::string problem = head_problem(sizes.embedding_dim, sizes.num_heads); !problem.empty()) {
    throw UserError(problem);
  }
  if (!(sizes.dropout >= 0 && sizes.dropout < 1)) throw user_error("dropout is {}: choose a value in [0, 1)", sizes.dropout);
  padded_vocab_size_ = round_up(sizes.vocab_size, kVocabMultiple);
}

}  // namespace virgil

#include "virgil/plan/step_work.h"

namespace virgil {

namespace {

/// Multiply-adds that a machine makes in the time in which it moves one float: about 100 G a second against 5 G on two server
/// cores, and as much on a GPU without tensor cores.
constexpr double kMultiplyAddsPerFloatMoved = 20;

/// Multiply-adds of a token in one block's forward pass.
struct BlockWork {
  double linear = 0;        // four matrix products
  double attention = 0;     // scores and values, half of both under the causal mask
  double last_product = 0;  // the MLP's second, of which recomputation needs the inputs alone
};

BlockWork block_work(const ModelConfig& model) {
  const auto C = static_cast<double>(model.embedding_dim());
  const auto F = static_cast<double>(model.d_ff());
  return {.linear = 4 * C * C + 2 * C * F, .attention = C * static_cast<double>(model.block_size()), .last_product = C * F};
}

/// Floats of a token that one block's GELU, and its layernorms, read and write.
double gelu_floats(const ModelConfig& model) { return 2 * static_cast<double>(model.d_ff()); }
double norm_floats(const ModelConfig& model) { return 4 * static_cast<double>(model.embedding_dim()); }

/// What one block runs again, in multiply-adds.
double work_again(const ModelConfig& model, Recompute recompute) {
  double floats = 0;
  double products = 0;
  if (recompute >= Recompute::kGelu) floats += gelu_floats(model);
  if (recompute >= Recompute::kNorm) floats += norm_floats(model);
  if (recompute == Recompute::kBlock) {
    const BlockWork block = block_work(model);
    products = block.linear - block.last_product + block.attention;
  }
  return products + kMultiplyAddsPerFloatMoved * floats;
}

/// Products over few rows read their weights twice and their gradients once, and write these, for few tokens: blocks once a
/// micro-step, the head once a chunk of logits. One pass of these four over `weights` weights by `rows` tokens.
double weight_pass(double weights, double rows) { return kMultiplyAddsPerFloatMoved * weights / rows; }

}  // namespace

StepWorkParts step_work_parts(const TrainingShape& shape, const BackendTraits& traits) {
  const ModelConfig model(shape.model);
  const StepShape step = *plan_request(shape).step;
  const auto rows = static_cast<double>(checked_multiply(step.batch_size, step.length));
  const auto chunk_rows = static_cast<double>(choose_logits_rows(model, step, traits));
  const BlockWork block = block_work(model);
  const double head = static_cast<double>(model.padded_vocab_size()) * static_cast<double>(model.embedding_dim());
  // The backward pass has two products for each of the forward pass; attention has five for two, as it makes the scores again.
  return {.blocks_forward =
              static_cast<double>(model.num_layers()) * (block.linear + block.attention + weight_pass(block.linear, rows)),
          .head = 3 * head + 4 * weight_pass(head, chunk_rows),
          .block_backward = 2 * block.linear + 2.5 * block.attention + work_again(model, shape.recompute) +
                            3 * weight_pass(block.linear, rows)};
}

double step_work(const TrainingShape& shape, const BackendTraits& traits) {
  return step_work_parts(shape, traits).total(shape.model.num_layers);
}

}  // namespace virgil

#include "virgil/model/gpt.h"

#include <algorithm>
#include <vector>

#include "virgil/base/error.h"
#include "virgil/model/float_copy.h"

namespace virgil {

namespace {

const TensorView kAbsent{};

TensorView flat_view(const MemoryPlan& plan, const PlannedMemory& memory, PlanSlot slot, DType dtype) {
  return memory.view(slot, 0, dtype, {plan.parameters().flat_elements()});
}

}  // namespace

Gpt::Gpt(Backend& backend, const MemoryPlan& plan, const PlannedMemory& memory, std::int64_t rank)
    : backend_(backend),
      plan_(plan),
      memory_(memory),
      config_(plan.model()),
      weights_(flat_view(plan, memory, PlanSlot::kWeights, plan.dtype())),
      rank_(rank),
      master_weights_(memory.flat(plan, plan.master_slot(), rank)),
      gradients_(plan.step().training ? memory.view(PlanSlot::kGradients, 0, DType::kFloat32, {plan.gradients().num_elements()})
                                      : weights_),
      parameters_(config_, plan.parameters(), weights_),
      parameter_gradients_(config_, plan.parameters(),
                           [&](const ParameterSpec& spec) {
                             return plan.step().training ? plan.gradients().view_of(plan.parameters(), spec, gradients_)
                                                         : parameter_view(weights_, spec);
                           }),
      inputs_(memory.view(PlanSlot::kInputs, 0, DType::kInt32, {plan.step().batch_size, plan.step().length})),
      targets_(memory.view(PlanSlot::kTargets, 0, DType::kInt32, {plan.step().batch_size, plan.step().length})),
      losses_(memory.view(PlanSlot::kLosses, 0, DType::kFloat32, {inputs_.num_elements()})),
      loss_sum_(memory.scalar(PlanScalar::kLossSum)),
      loss_sums_(memory.micro_step_losses(plan.step().micro_steps)) {
  VIRGIL_CHECK(plan.step().length <= config_.block_size(), "length {} of block_size {}", plan.step().length,
               config_.block_size());
  backend_.bind_workspace(memory.bytes(PlanSlot::kWorkspace));
}

void Gpt::refresh_weights() {
  if (master_weights_.view().data() == weights_.data()) return;
  if (master_weights_.is_whole()) {
    backend_.run(ops::Convert{weights_, master_weights_.view()});
    return;
  }
  const FlatTensor weights = FlatTensor::whole(plan_.parameters(), weights_);
  for (std::size_t bucket = 0; bucket < plan_.parameters().buckets().size(); ++bucket) {
    backend_.run(ops::Convert{weights.part_of_bucket(bucket, rank_), master_weights_.part_of_bucket(bucket, rank_)});
  }
}

TensorView Gpt::gradients() const {
  VIRGIL_CHECK(plan_.step().training, "a plan without training has no gradients");
  return gradients_;
}

TensorView Gpt::activation(Activation kind, std::int64_t layer, Pass pass) const {
  const ActivationSpec& spec = plan_.activations().find(kind, layer, pass);
  return memory_.view(PlanSlot::kActivations, spec.offset_bytes, spec.dtype, spec.shape);
}

Dropout Gpt::dropout(RandomPurpose purpose, std::int64_t site, const PassRandomness* randomness) const {
  if (randomness == nullptr) return {};
  return {config_.dropout(),
          {randomness->seed, purpose, static_cast<std::uint32_t>(site), randomness->step},
          randomness->first_sequence};
}

void Gpt::load_batch(std::span<const std::int32_t> inputs, std::span<const std::int32_t> targets) {
  backend_.copy_from_host(inputs_, std::as_bytes(inputs));
  backend_.copy_from_host(targets_, std::as_bytes(targets));
}

double Gpt::evaluate() {
  forward(nullptr);
  classify(0, false, {});
  return read_loss_sum();
}

void Gpt::read_losses(std::span<float> losses) {
  VIRGIL_CHECK(static_cast<std::int64_t>(losses.size()) == losses_.num_elements(), "{} losses", losses.size());
  backend_.copy_to_host(std::as_writable_bytes(losses), losses_);
}

double Gpt::evaluate_with_logits(std::span<float> logits) {
  VIRGIL_CHECK(static_cast<std::int64_t>(logits.size()) == inputs_.num_elements() * config_.vocab_size(), "{} logits",
               logits.size());
  forward(nullptr);
  classify(0, false, logits);
  return read_loss_sum();
}

void Gpt::zero_gradients() { backend_.run(ops::SetZero{gradients()}); }

void Gpt::enqueue_gradients(float grad_scale, const PassRandomness& randomness, std::int64_t micro_step,
                            GradientObserver* observer) {
  VIRGIL_CHECK(plan_.step().training, "the plan is for evaluation only");
  VIRGIL_CHECK(micro_step >= 0 && micro_step < plan_.step().micro_steps, "micro-step {} of {}", micro_step,
               plan_.step().micro_steps);
  const auto pass = [&] {
    const BucketKind head = config_.tie_weights() ? BucketKind::kEmbeddings : BucketKind::kHead;
    const std::size_t head_bucket = plan_.parameters().find_bucket(head);
    forward(&randomness);
    if (observer != nullptr) observer->before_bucket(head_bucket);
    classify(grad_scale, true, {});
    if (observer != nullptr && head == BucketKind::kHead) observer->after_bucket(head_bucket);
    backward(randomness, observer);
  };
  if (observer != nullptr) {
    pass();  // what the observer starts is another's to record
  } else {
    const PassKey key{grad_scale, randomness.seed};
    if (training_pass_ == nullptr || training_pass_key_ != key) {
      training_pass_ = backend_.make_sequence();
      training_pass_key_ = key;
    }
    training_pass_->run({randomness.step, randomness.first_sequence}, pass);
  }
  backend_.run(ops::Copy{loss_sums_.slice(micro_step, {1}), loss_sum_});
}

double Gpt::read_loss_sum() {
  float loss_sum = 0;
  backend_.copy_to_host(std::as_writable_bytes(std::span(&loss_sum, 1)), loss_sum_);
  return loss_sum;
}

double Gpt::accumulate_gradients(float grad_scale, const PassRandomness& randomness) {
  enqueue_gradients(grad_scale, randomness);
  return read_loss_sum();
}

void Gpt::forward(const PassRandomness* randomness) {
  using enum Activation;
  const std::int64_t L = config_.num_layers();
  const auto forward_activation = [&](Activation kind, std::int64_t layer) { return activation(kind, layer, Pass::kForward); };

  backend_.run(ops::EmbeddingForward{forward_activation(kResidual, 0), inputs_, parameters_.wte, parameters_.wpe, 0,
                                     dropout(RandomPurpose::kEmbeddingDropout, 0, randomness)});
  const BlockViews& first = parameters_.blocks.front();
  backend_.run(ops::LayernormForward{forward_activation(kNorm1, 0), forward_activation(kNorm1Mean, 0),
                                     forward_activation(kNorm1Rstd, 0), forward_activation(kResidual, 0), first.norm1_weight,
                                     first.norm1_bias});
  for (std::int64_t l = 0; l < L; ++l) {
    block_until_gelu(l, Pass::kForward, randomness);
    const BlockViews& block = parameters_.blocks[static_cast<std::size_t>(l)];
    const TensorView branch = forward_activation(kBranch, l);
    backend_.run(ops::Matmul{branch, forward_activation(kGelu, l), block.mlp_weight, block.mlp_bias, {}});
    // The block's last residual add is fused with the norm that reads it: the next block's first, or the final one.
    const bool last = l + 1 == L;
    const TensorView norm = last ? forward_activation(kFinalNorm, 0) : forward_activation(kNorm1, l + 1);
    const TensorView mean = last ? forward_activation(kFinalNormMean, 0) : forward_activation(kNorm1Mean, l + 1);
    const TensorView rstd = last ? forward_activation(kFinalNormRstd, 0) : forward_activation(kNorm1Rstd, l + 1);
    const TensorView weight = last ? parameters_.norm_weight : parameters_.blocks[static_cast<std::size_t>(l + 1)].norm1_weight;
    const TensorView bias = last ? parameters_.norm_bias : parameters_.blocks[static_cast<std::size_t>(l + 1)].norm1_bias;
    backend_.run(ops::ResidualLayernormForward{forward_activation(kResidual, l + 1), norm, mean, rstd,
                                               forward_activation(kResidualMid, l), branch, weight, bias,
                                               dropout(RandomPurpose::kResidualDropout, 2 * l + 1, randomness)});
  }
}

void Gpt::block_until_gelu(std::int64_t l, Pass pass, const PassRandomness* randomness) {
  using enum Activation;
  const BlockViews& block = parameters_.blocks[static_cast<std::size_t>(l)];
  const TensorView qkv = activation(kQkv, l, pass);
  const TensorView attention = activation(kAttention, l, pass);
  const TensorView branch = activation(kBranch, l, pass);
  const TensorView norm2 = activation(kNorm2, l, pass);
  const TensorView hidden = activation(kMlpHidden, l, pass);
  backend_.run(ops::Matmul{qkv, activation(kNorm1, l, pass), block.qkv_weight, block.qkv_bias, {}});
  backend_.run(ops::AttentionForward{attention, activation(kLogSumExp, l, pass), qkv, config_.num_heads(),
                                     dropout(RandomPurpose::kAttentionDropout, l, randomness)});
  backend_.run(ops::Matmul{branch, attention, block.attention_weight, block.attention_bias, {}});
  backend_.run(ops::ResidualLayernormForward{activation(kResidualMid, l, pass), norm2, activation(kNorm2Mean, l, pass),
                                             activation(kNorm2Rstd, l, pass), activation(kResidual, l, pass), branch,
                                             block.norm2_weight, block.norm2_bias,
                                             dropout(RandomPurpose::kResidualDropout, 2 * l, randomness)});
  backend_.run(ops::Matmul{hidden, norm2, block.fc_weight, block.fc_bias, {}});
  backend_.run(ops::GeluForward{activation(kGelu, l, pass), hidden});
}

void Gpt::classify(float grad_scale, bool with_gradients, std::span<float> logits_out) {
  const std::int64_t C = config_.embedding_dim();
  const std::int64_t Vp = config_.padded_vocab_size();
  const std::int64_t V = config_.vocab_size();
  const TensorView norm = activation(Activation::kFinalNorm, 0, Pass::kForward);
  const std::int64_t rows = inputs_.num_elements();
  std::vector<float> chunk_logits;
  for (std::int64_t first = 0; first < rows; first += plan_.logits_rows()) {
    const std::int64_t n = std::min(plan_.logits_rows(), rows - first);
    const TensorView inp = norm.slice(first * C, {n, C});
    const TensorView logits = memory_.view(PlanSlot::kLogits, 0, norm.dtype(), {n, Vp});
    const TensorView losses = losses_.slice(first, {n});
    const TensorView targets = targets_.slice(first, {n});
    backend_.run(ops::Matmul{logits, inp, parameters_.head, kAbsent, {.transpose_b = true}});
    if (with_gradients) {
      backend_.run(ops::CrossEntropyForwardBackward{losses, logits, targets, V, grad_scale});
      const TensorView dinp = activation(Activation::kGradFinalNorm, 0, Pass::kForward).slice(first * C, {n, C});
      backend_.run(ops::Matmul{dinp, logits, parameters_.head, kAbsent, {}});
      backend_.run(ops::Matmul{parameter_gradients_.head, logits, inp, kAbsent, {.transpose_a = true, .accumulate = true}});
      continue;
    }
    backend_.run(ops::CrossEntropyForward{losses, logits, targets, V});
    if (logits_out.empty()) continue;
    chunk_logits.resize(static_cast<std::size_t>(logits.num_elements()));
    copy_floats_to_host(backend_, chunk_logits, logits);
    for (std::int64_t row = 0; row < n; ++row) {
      std::copy_n(chunk_logits.begin() + row * Vp, V, logits_out.begin() + (first + row) * V);
    }
  }
  backend_.run(ops::ReduceSum{loss_sum_, losses_});
}

void Gpt::backward(const PassRandomness& randomness, GradientObserver* observer) {
  using enum Activation;
  const ParameterLayout& layout = plan_.parameters();
  const std::size_t vectors = layout.find_bucket(BucketKind::kVectors);
  const std::size_t embeddings = layout.find_bucket(BucketKind::kEmbeddings);
  if (observer != nullptr) observer->before_bucket(vectors);
  const TensorView dresidual = activation(kGradResidual, 0, Pass::kBackward);
  backend_.run(ops::SetZero{dresidual});
  backend_.run(ops::LayernormBackward{
      dresidual, parameter_gradients_.norm_weight, parameter_gradients_.norm_bias,
      activation(kGradFinalNorm, 0, Pass::kBackward), activation(kResidual, config_.num_layers(), Pass::kBackward),
      parameters_.norm_weight, activation(kFinalNormMean, 0, Pass::kBackward), activation(kFinalNormRstd, 0, Pass::kBackward)});
  for (std::int64_t l = config_.num_layers() - 1; l >= 0; --l) {
    const std::size_t bucket = layout.find_bucket(BucketKind::kLayer, l);
    if (observer != nullptr) observer->before_bucket(bucket);
    block_backward(l, randomness);
    if (observer != nullptr) observer->after_bucket(bucket);
  }
  if (observer != nullptr) {
    observer->after_bucket(vectors);
    if (!config_.tie_weights()) observer->before_bucket(embeddings);
  }
  backend_.run(ops::EmbeddingBackward{parameter_gradients_.wte, parameter_gradients_.wpe, dresidual, inputs_,
                                      dropout(RandomPurpose::kEmbeddingDropout, 0, &randomness)});
  if (observer != nullptr) observer->after_bucket(embeddings);
}

void Gpt::block_backward(std::int64_t l, const PassRandomness& randomness) {
  using enum Activation;
  const Recompute recompute = plan_.step().recompute;
  if (recompute == Recompute::kBlock) {
    const BlockViews& block = parameters_.blocks[static_cast<std::size_t>(l)];
    backend_.run(ops::LayernormForward{activation(kNorm1, l, Pass::kBackward), activation(kNorm1Mean, l, Pass::kBackward),
                                       activation(kNorm1Rstd, l, Pass::kBackward), activation(kResidual, l, Pass::kBackward),
                                       block.norm1_weight, block.norm1_bias});
    block_until_gelu(l, Pass::kBackward, &randomness);
  } else if (recompute >= Recompute::kGelu) {
    backend_.run(ops::GeluForward{activation(kGelu, l, Pass::kBackward), activation(kMlpHidden, l, Pass::kBackward)});
  }
  mlp_backward(l, randomness);
  attention_backward(l, randomness);
}

void Gpt::mlp_backward(std::int64_t l, const PassRandomness& randomness) {
  using enum Activation;
  const BlockViews& block = parameters_.blocks[static_cast<std::size_t>(l)];
  const BlockViews& gradients = parameter_gradients_.blocks[static_cast<std::size_t>(l)];
  const TensorView hidden = activation(kMlpHidden, l, Pass::kBackward);
  const TensorView norm2 = activation(kNorm2, l, Pass::kBackward);
  const TensorView residual_mid = activation(kResidualMid, l, Pass::kBackward);
  const TensorView mean = activation(kNorm2Mean, l, Pass::kBackward);
  const TensorView rstd = activation(kNorm2Rstd, l, Pass::kBackward);
  const TensorView dhidden = activation(kGradMlp, l, Pass::kBackward);
  const TensorView dnorm2 = activation(kGradNorm2, l, Pass::kBackward);
  const TensorView dbranch = branch_gradient(kGradBranch2, l, dropout(RandomPurpose::kResidualDropout, 2 * l + 1, &randomness));

  // The weight's gradient first: it is the last reader of the GELU output, whose bytes dhidden may then take.
  linear_backward_weight(gradients.mlp_weight, gradients.mlp_bias, activation(kGelu, l, Pass::kBackward), dbranch);
  backend_.run(ops::MatmulGeluBackward{dhidden, dbranch, block.mlp_weight, hidden});
  if (plan_.step().recompute == Recompute::kNorm) {
    backend_.run(ops::LayernormForward{norm2, mean, rstd, residual_mid, block.norm2_weight, block.norm2_bias});
  }
  linear_backward_weight(gradients.fc_weight, gradients.fc_bias, norm2, dhidden);
  backend_.run(ops::Matmul{dnorm2, dhidden, block.fc_weight, kAbsent, {.transpose_b = true}});
  backend_.run(ops::LayernormBackward{activation(kGradResidual, 0, Pass::kBackward), gradients.norm2_weight,
                                      gradients.norm2_bias, dnorm2, residual_mid, block.norm2_weight, mean, rstd});
}

void Gpt::attention_backward(std::int64_t l, const PassRandomness& randomness) {
  using enum Activation;
  const BlockViews& block = parameters_.blocks[static_cast<std::size_t>(l)];
  const BlockViews& gradients = parameter_gradients_.blocks[static_cast<std::size_t>(l)];
  const TensorView attention = activation(kAttention, l, Pass::kBackward);
  const TensorView norm1 = activation(kNorm1, l, Pass::kBackward);
  const TensorView residual = activation(kResidual, l, Pass::kBackward);
  const TensorView mean = activation(kNorm1Mean, l, Pass::kBackward);
  const TensorView rstd = activation(kNorm1Rstd, l, Pass::kBackward);
  const TensorView dattention = activation(kGradAttention, l, Pass::kBackward);
  const TensorView dqkv = activation(kGradQkv, l, Pass::kBackward);
  const TensorView dnorm1 = activation(kGradNorm1, l, Pass::kBackward);
  const TensorView dbranch = branch_gradient(kGradBranch1, l, dropout(RandomPurpose::kResidualDropout, 2 * l, &randomness));

  linear_backward_weight(gradients.attention_weight, gradients.attention_bias, attention, dbranch);
  backend_.run(ops::Matmul{dattention, dbranch, block.attention_weight, kAbsent, {.transpose_b = true}});
  backend_.run(ops::AttentionBackward{dqkv, dattention, attention, activation(kQkv, l, Pass::kBackward),
                                      activation(kLogSumExp, l, Pass::kBackward), config_.num_heads(),
                                      dropout(RandomPurpose::kAttentionDropout, l, &randomness)});
  if (plan_.step().recompute == Recompute::kNorm) {
    backend_.run(ops::LayernormForward{norm1, mean, rstd, residual, block.norm1_weight, block.norm1_bias});
  }
  linear_backward_weight(gradients.qkv_weight, gradients.qkv_bias, norm1, dqkv);
  backend_.run(ops::Matmul{dnorm1, dqkv, block.qkv_weight, kAbsent, {.transpose_b = true}});
  backend_.run(ops::LayernormBackward{activation(kGradResidual, 0, Pass::kBackward), gradients.norm1_weight,
                                      gradients.norm1_bias, dnorm1, residual, block.norm1_weight, mean, rstd});
}

TensorView Gpt::branch_gradient(Activation kind, std::int64_t l, const Dropout& dropout) {
  const TensorView dresidual = activation(Activation::kGradResidual, 0, Pass::kBackward);
  if (!dropout.enabled()) return dresidual;
  const TensorView dbranch = activation(kind, l, Pass::kBackward);
  backend_.run(ops::DropoutBackward{dbranch, dresidual, dropout});
  return dbranch;
}

void Gpt::linear_backward_weight(TensorView dweight, TensorView dbias, ConstTensorView inp, ConstTensorView dout) {
  backend_.run(ops::Matmul{dweight, inp, dout, kAbsent, {.transpose_a = true, .accumulate = true}});
  if (dbias.present()) backend_.run(ops::BiasBackward{dbias, dout});
}

}  // namespace virgil

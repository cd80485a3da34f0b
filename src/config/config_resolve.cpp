// Rules between keys.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "virgil/base/error.h"
#include "virgil/base/shape.h"
#include "virgil/config/config_architecture.h"
#include "virgil/config/config_schema.h"
#include "virgil/model/architecture.h"
#include "virgil/model/family.h"
#include "virgil/model/group_overrides.h"
#include "virgil/model/optimizer_traits.h"
#include "virgil/model/parameter_groups.h"

namespace virgil {
namespace {

/// Architecture holds the rules of shapes. The vocabulary is not known yet when it is left to the tokenizer.
Architecture checked_model(const TrainConfig& config) {
  return trainable(architecture_of(config, std::max<std::int64_t>(config.vocab_size, 1)));
}

/// Settings of parts that the family has not.
void check_family(const TrainConfig& config, const Architecture& model) {
  const auto refuse = [&](const char* key, const std::string& value, const char* what) {
    throw user_error("{} is {}, and models of {} have no {}: leave it out, or choose another family", key, value, config.family,
                     what);
  };
  const bool is_rotary = model.position == PositionKind::kRotary;
  if (!is_rotary && config.rope_theta != TrainConfig{}.rope_theta) {
    refuse("rope_theta", fmt::format("{}", config.rope_theta), "rotary positions");
  }
  if (!is_rotary && config.rope_scaling != TrainConfig{}.rope_scaling)
    refuse("rope_scaling", config.rope_scaling, "rotary positions");
  if (!is_rotary && config.norm_epsilon != 0) {
    refuse("norm_epsilon", fmt::format("{}", config.norm_epsilon), "choice of it: GPT-2's is 1e-5");
  }
  if (!model.family->has_all_biases && config.bias) refuse("bias", "true", "choice of biases");
}

void resolve_model(TrainConfig& config) {
  const Architecture model = checked_model(config);
  check_family(config, model);
  config.d_ff = model.d_ff;
  config.mlp = name_of(model.mlp);
}

/// A step's sequences, where they are given, are whole and the same number in each of several processes.
void check_shares(const TrainConfig& config, std::int64_t processes) {
  const std::int64_t total = config.total_batch_size;
  const std::int64_t shared = checked_multiply(config.block_size, processes);
  if (processes == 1 || total % shared == 0) return;
  throw user_error(
      "total_batch_size is {}, which {} processes cannot share in whole sequences of block_size = {}; set it to {}, or start "
      "another number of processes",
      total, processes, config.block_size, ceil_div(total, shared) * shared);
}

/// With batch_size auto the batch is chosen when the model's vocabulary and the free memory are known (plan_config.h).
void check_automatic_batch(const TrainConfig& config) {
  if (config.total_batch_size % config.block_size != 0) {
    throw user_error("total_batch_size is {}, not a multiple of block_size = {}; set it to {}", config.total_batch_size,
                     config.block_size, ceil_div(config.total_batch_size, config.block_size) * config.block_size);
  }
  if (config.total_batch_size != 0 && config.grad_accum_steps != 1) {
    throw user_error("batch_size is auto and total_batch_size is {}: grad_accum_steps follows from them; leave it out",
                     config.total_batch_size);
  }
}

/// Processes that share a total_batch_size take smaller micro-batches where theirs does not divide their share: the training is
/// the same.
void fit_batch_to_share(TrainConfig& config, std::int64_t processes) {
  const std::int64_t share = config.total_batch_size / config.block_size / processes;
  while (share % config.batch_size != 0) --config.batch_size;
}

void resolve_batch(TrainConfig& config, std::int64_t processes) {
  check_shares(config, processes);
  if (config.batch_size == 0) return check_automatic_batch(config);
  if (processes > 1 && config.total_batch_size != 0) fit_batch_to_share(config, processes);
  const std::int64_t micro_tokens =
      checked_multiply(checked_multiply(config.batch_size, config.block_size), processes);  // of all processes
  const std::int64_t accumulated = checked_multiply(micro_tokens, config.grad_accum_steps);
  if (config.total_batch_size == 0) config.total_batch_size = accumulated;
  const std::int64_t total = config.total_batch_size;
  if (total % micro_tokens != 0) {
    const std::int64_t nearest = std::max<std::int64_t>(1, (total + micro_tokens / 2) / micro_tokens) * micro_tokens;
    throw user_error(
        "total_batch_size is {}, not a multiple of batch_size * block_size = {} * {} = {}; set it to {}, or to 0 "
        "to follow grad_accum_steps",
        total, config.batch_size, config.block_size, micro_tokens, nearest);
  }
  const std::int64_t steps = total / micro_tokens;
  if (config.grad_accum_steps != 1 && config.grad_accum_steps != steps) {
    throw user_error(
        "total_batch_size = {} needs grad_accum_steps = {}, but grad_accum_steps is {}; give one of the two, or set "
        "total_batch_size to {}",
        total, steps, config.grad_accum_steps, accumulated);
  }
  config.grad_accum_steps = steps;
}

void check_rates(const TrainConfig& config) {
  if (config.min_lr <= config.learning_rate) return;
  throw user_error("min_lr is {}, above learning_rate = {}; set min_lr to {:.3g}, a tenth of it, or less", config.min_lr,
                   config.learning_rate, config.learning_rate / 10);
}

/// A warm-up as long as the run would leave nothing to decay in. Where the decay ends with the run, the warm-up is shortened:
/// the caller tells (config.warmup_iters has changed).
void fit_warmup(TrainConfig& config, bool decay_follows) {
  if (config.lr_schedule == "constant" || config.warmup_iters < config.lr_decay_iters) return;
  if (!decay_follows) {
    throw user_error(
        "warmup_iters is {}, which leaves nothing of lr_decay_iters = {} to decay in; set warmup_iters to {} or less",
        config.warmup_iters, config.lr_decay_iters, config.lr_decay_iters / 10);
  }
  config.warmup_iters = config.lr_decay_iters / 10;
}

}  // namespace

void resolve_schedule(TrainConfig& config) {
  const bool decay_follows = config.lr_decay_iters == 0;
  if (decay_follows) config.lr_decay_iters = config.max_iters;
  fit_warmup(config, decay_follows);
}

void resolve_epochs(TrainConfig& config, std::int64_t tokens_per_pass) {
  if (config.epochs == 0) return;
  constexpr double kMostSteps = 1e9;
  const double steps =
      std::ceil(config.epochs * static_cast<double>(tokens_per_pass) / static_cast<double>(config.total_batch_size));
  if (steps > kMostSteps) {
    throw user_error("epochs is {}, which makes {:.3g} steps of {} tokens; at most {:.0g} are taken", config.epochs, steps,
                     config.total_batch_size, kMostSteps);
  }
  config.max_iters = std::max<std::int64_t>(1, static_cast<std::int64_t>(steps));
  resolve_schedule(config);
}

void check_sums(const TrainConfig& config, std::int64_t processes) {
  if (processes == 1 || config.zero_stage != 2 || config.grad_accum_steps == 1 || config.grad_reduce_dtype == "float32") return;
  throw user_error(
      "grad_reduce_dtype is {} with zero_stage 2 and {} micro-steps, whose sum would be rounded after each: use float32, "
      "zero_stage 1, or a larger batch_size",
      config.grad_reduce_dtype, config.grad_accum_steps);
}

void check_master_weights(const TrainConfig& config) {
  if (config.master_weights || config.dtype == "auto" || config.dtype == "bfloat16") return;
  if (config.dtype == "float32") {
    throw user_error(
        "master_weights is false and dtype is float32: float32 weights have no copy to leave out; set dtype to bfloat16 to "
        "train "
        "without one, or leave master_weights out");
  }
  throw user_error(
      "master_weights is false and dtype is {}: its range is too small for weights without a float32 copy (steps below 2^-24 "
      "are "
      "lost, values above 65504 overflow); set dtype to bfloat16 or float32, or leave master_weights out",
      config.dtype);
}

namespace {

/// What the optimizers of matrices have not: the run's, or a group's.
void check_optimizer(std::string_view key, OptimizerKind kind, const TrainConfig& config) {
  if (!updates_matrices_only(kind)) return;
  if (!config.master_weights) {
    throw user_error("{} is {}, which updates float32 weights, and master_weights is false; leave one of the two out", key,
                     name_of(kind));
  }
  if (config.optimizer_state_dtype != "float32") {
    throw user_error("{} is {}, whose momentum is float32, and optimizer_state_dtype is {}; leave one of the two out", key,
                     name_of(kind), config.optimizer_state_dtype);
  }
}

void check_optimizers(const TrainConfig& config) {
  const OptimizerKind kind = parse_optimizer(config.optimizer);
  check_optimizer("optimizer", kind, config);
  const std::vector<GroupOverride> overrides = parse_group_overrides(config.param_groups);
  for (const GroupOverride& group : overrides) {
    if (group.optimizer) check_optimizer("the optimizer of one of param_groups", *group.optimizer, config);
  }
  // Before a text is read: whether the patterns match.
  static_cast<void>(with_overrides(checked_model(config), overrides, default_groups(kind)));
}

}  // namespace

void resolve_config(TrainConfig& config, std::int64_t processes) {
  TrainConfig resolved = config;
  resolve_model(resolved);
  resolve_batch(resolved, processes);
  check_sums(resolved, processes);
  check_rates(resolved);
  if (resolved.epochs == 0) resolve_schedule(resolved);
  if (resolved.attention == "cudnn" && resolved.dropout > 0) {
    throw user_error(
        "attention is cudnn and dropout is {}: cuDNN would drop other elements than the seed numbers; set dropout "
        "to 0, or attention to virgil",
        resolved.dropout);
  }
  check_master_weights(resolved);
  check_optimizers(resolved);
  if (resolved.resume && resolved.overwrite) {
    throw user_error("resume continues a run and overwrite replaces it; give one of the two");
  }
  config = resolved;
}

}  // namespace virgil

// How a trainer begins, resumes and saves; its steps are in trainer.cpp.

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "train/gradient_exchange.h"
#include "train/part_gathering.h"
#include "train/run_end.h"
#include "train/run_length.h"
#include "virgil/base/error.h"
#include "virgil/base/shell_quote.h"
#include "virgil/config/config_schema.h"
#include "virgil/format/parameter_io.h"
#include "virgil/model/float_copy.h"
#include "virgil/model/initializer.h"
#include "virgil/train/run_folder.h"
#include "virgil/train/trainer.h"

namespace virgil {

namespace {

/// Of the weights in a checkpoint, whatever the type they are trained in.
constexpr DType kSavedDType = DType::kFloat32;

/// What names a run's groups on a command line.
std::string groups_flag(const TrainConfig& config) {
  if (config.param_groups.empty()) return "--param_groups ''";
  std::string flag = "--param_groups";
  for (const std::string& group : config.param_groups) flag += " " + shell_quote(group);
  return flag;
}

}  // namespace

void Trainer::initialize() {
  initialize_parameters(parts_.backend, parts_.plan.parameters(), gpt_.master_weights(), config_.seed);
  begin_run();
}

void Trainer::initialize(const PretrainedModel& weights) {
  load_parameters(parts_.backend, parts_.plan.parameters(), weights, gpt_.master_weights());
  begin_run();
}

void Trainer::begin_run() {
  share_weights();
  optimizer_.reset();
  state_.seed = config_.seed;
  state_.data_fingerprint = parts_.train_data.fingerprint;
  state_.val_fingerprint = val_fingerprint();
  state_.config_json = config_to_json(with_absolute_paths(config_));
}

void Trainer::restore(const LoadedCheckpoint& checkpoint) {
  if (checkpoint.optimizer == nullptr) {
    throw user_error("{}: has no optimizer state, so a run cannot resume from it; resume from another checkpoint",
                     checkpoint.directory.string());
  }
  if (checkpoint.state.data_fingerprint != parts_.train_data.fingerprint) {
    throw user_error(
        "{}: was trained on other data than input {} gives now. Resume with the run's own text, val_fraction, text_field and "
        "split_documents; or start a new run from its weights on this text: {}",
        checkpoint.directory.string(), fmt::format("{}", fmt::join(config_.input, ", ")),
        init_from_command(parts_.train_command, checkpoint.directory, config_));
  }
  check_same_optimizer(checkpoint);
  const ParameterLayout& layout = parts_.plan.parameters();
  const StorageType saved = state_storage_of(*checkpoint.optimizer);
  const auto keeps_as_saved = [&](const ParameterGroup& group) {
    return group.optimizer == traits_of(group.optimizer.kind, saved);
  };
  if (!std::ranges::all_of(layout.groups(), keeps_as_saved)) {
    throw user_error("{}: its optimizer state is {}, optimizer_state_dtype is {}: resume with --optimizer_state_dtype {}",
                     checkpoint.directory.string(), name_of(saved), name_of(parts_.plan.step().optimizer_state_dtype),
                     name_of(saved));
  }
  const bool exact = load_parameters(parts_.backend, layout, checkpoint.parameters, "", gpt_.master_weights(), kSavedDType);
  share_weights();
  restore_optimizer(checkpoint);
  if (!exact) {
    parts_.console.warn(fmt::format("{}: was saved from float32 weights; they are rounded to {}, as master_weights is false",
                                    checkpoint.directory.string(), name_of(gpt_.master_weights().view().dtype())));
  }
  restore_scaler(checkpoint);
  state_ = checkpoint.state;
  state_.seed = config_.seed;
  state_.config_json = config_to_json(with_absolute_paths(config_));
  last_saved_step_ = state_.step;
  report_changes(checkpoint.state);
  if (evaluator_ && state_.last_eval_step == state_.step) {
    pending_evaluation_ = evaluator_->describe(state_.step, state_.last_val_loss);
  }
}

void Trainer::check_same_optimizer(const LoadedCheckpoint& checkpoint) const {
  const auto holds = [&](const std::string& name) { return checkpoint.optimizer->find(name) != nullptr; };
  const ParameterLayout& layout = parts_.plan.parameters();
  const auto saved_kind = [&](const ParameterSpec& spec) { return optimizer_of(spec.name, holds); };
  const auto is_another = [&](const ParameterSpec& spec) {
    return saved_kind(spec) != layout.groups()[spec.group].optimizer.kind;
  };
  const auto found = std::ranges::find_if(layout.parameters(), is_another);
  if (found == layout.parameters().end()) return;
  const TrainConfig planned = planned_config(config_, checkpoint);
  const std::string anew = init_from_command(parts_.train_command, checkpoint.directory, config_);
  if (planned.optimizer != config_.optimizer) {
    throw user_error(
        "{}: its optimizer is {}, and optimizer is {}: resume with --optimizer {}, or start a new run from its weights: {}",
        checkpoint.directory.string(), planned.optimizer, config_.optimizer, planned.optimizer, anew);
  }
  throw user_error(
      "{}: the optimizer of {} is {}, and param_groups makes it {}: resume with {}, or start a new run from its weights: {}",
      checkpoint.directory.string(), found->name, name_of(saved_kind(*found)),
      name_of(layout.groups()[found->group].optimizer.kind), groups_flag(planned), anew);
}

void Trainer::restore_optimizer(const LoadedCheckpoint& checkpoint) {
  const std::span<const PlannedState> states = parts_.plan.states();
  for (std::size_t i = 0; i < states.size(); ++i) {
    load_state(parts_.backend, parts_.plan.parameters(), *checkpoint.optimizer, states[i], optimizer_.states()[i]);
  }
}

/// After the master weights were written: what the passes read follows, the same on every rank.
void Trainer::share_weights() {
  if (exchange_) {
    exchange_->share_weights(gpt_);
  } else {
    gpt_.refresh_weights();
  }
}

/// A checkpoint of another dtype has no loss scale: a new one begins.
void Trainer::restore_scaler(const LoadedCheckpoint& checkpoint) {
  if (!scaler_ || checkpoint.state.loss_scaler.scale == 0) return;
  try {
    scaler_->restore(checkpoint.state.loss_scaler);
  } catch (const UserError& error) {
    throw user_error("{}: {}; resume from another checkpoint", checkpoint.directory.string(), error.what());
  }
}

/// What a resumed run does otherwise than before, and may.
void Trainer::report_changes(const TrainingState& saved) {
  const bool other_steps = saved.tokens_seen != checked_multiply(saved.step, config_.total_batch_size);
  if (config_.sampling == "epoch" && other_steps) {
    parts_.console.warn(fmt::format(
        "total_batch_size is {} now and was another before: passes continue from another place, so some windows of this pass come "
        "twice and some not at all",
        config_.total_batch_size));
  }
  state_.val_fingerprint = val_fingerprint();
  if (saved.val_fingerprint.empty() || saved.val_fingerprint == state_.val_fingerprint) return;
  parts_.console.warn(
      "the held-out text is another than before: losses on it cannot be compared, so the search for the best starts anew");
  state_.best_val_loss = std::numeric_limits<double>::infinity();
  state_.best_step = -1;
  state_.last_val_loss = std::numeric_limits<double>::quiet_NaN();
  state_.last_eval_step = -1;
}

std::string Trainer::val_fingerprint() const { return parts_.val_data == nullptr ? "none" : parts_.val_data->fingerprint; }

/// Every rank comes here for every checkpoint. Rank 0 writes it and asks the others for what it does not hold; where it cannot,
/// its error ends the run, and the last checkpoint stands.
void Trainer::save(const std::string& name) {
  const bool is_step = name != "best";
  if (is_step && last_saved_step_ == state_.step) return;
  for (DataWatch& watch : data_watches_)
    watch.check();  // what learned from other tokens must not be kept under this run's name
  await_collectives();
  ProcessGroup* group = parts_.ranks.group;
  std::vector<FlatTensor> saved{gpt_.master_weights()};
  saved.insert(saved.end(), optimizer_.states().begin(), optimizer_.states().end());
  PartGathering gathering(parts_.backend, group, parts_.plan.parameters(), std::move(saved));
  if (parts_.ranks.is_root()) {
    parts_.record.sync();  // a checkpoint never stands for steps whose figures are lost
    write_checkpoint(name, gathering);
    gathering.finish();
  } else {
    gathering.serve();
  }
  if (!is_step) return;
  last_saved_step_ = state_.step;
  if (parts_.ranks.is_root()) prune_checkpoints(parts_.files, parts_.run, config_.keep_last);
}

void Trainer::write_checkpoint(const std::string& name, PartGathering& gathering) {
  const ParameterLayout& layout = parts_.plan.parameters();
  const auto reader = [&gathering](std::size_t tensor) {
    return [&gathering, tensor](std::span<std::byte> dst, std::int64_t first) { gathering.read(tensor, first, dst); };
  };
  const auto read_weights = [this, &gathering](std::span<std::byte> dst, std::int64_t first) {
    const TensorView weights = gpt_.master_weights().view();
    if (weights.dtype() == kSavedDType) return gathering.read(0, first, dst);
    std::vector<float> values(dst.size() / sizeof(float));  // narrower ones are never divided
    copy_floats_to_host(parts_.backend, values, weights.slice(first, {std::ssize(values)}));
    std::ranges::copy(std::as_bytes(std::span(values)), dst.begin());
  };
  CheckpointContents contents;
  contents.model = parts_.plan.model();
  contents.tokenizer = &parts_.tokenizer;
  contents.parameters = parameter_sources(layout, "", kSavedDType, read_weights);
  for (std::size_t i = 0; i < parts_.plan.states().size(); ++i) {
    constexpr std::size_t kBefore = 1;  // tensors of `gathering`: the weights
    std::ranges::move(state_sources(layout, parts_.plan.states()[i], reader(kBefore + i)),
                      std::back_inserter(contents.optimizer));
  }
  contents.state = state_;
  contents.state.loss_scaler = scaler_ ? scaler_->state() : LossScalerState{};
  save_checkpoint(parts_.files, parts_.run / name, contents);
}
}  // namespace virgil

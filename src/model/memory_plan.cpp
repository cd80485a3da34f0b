#include "virgil/model/memory_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "virgil/base/error.h"
#include "virgil/model/muon_tape.h"
#include "virgil/model/objective.h"

namespace virgil {

namespace {

constexpr std::int64_t kMinLogitsRows = 256;

std::vector<ParameterGroup> groups_of(const PlanRequest& request) {
  if (!request.groups.empty()) return request.groups;
  return request.step ? default_groups(request.step->optimizer, request.step->optimizer_state_dtype) : default_groups();
}

}  // namespace

std::vector<PlannedState> planned_states(const ParameterLayout& parameters) {
  std::vector<PlannedState> states;
  const OptimizerTraits* last = nullptr;
  std::size_t num_of_last = 0;
  for (const ParameterRange& range : parameters.ranges()) {
    const OptimizerTraits& optimizer = parameters.groups()[range.group].optimizer;
    if (last != nullptr && last->kind == optimizer.kind) {
      VIRGIL_CHECK(*last == optimizer, "groups of {} keep different states", name_of(optimizer.kind));
      for (PlannedState& state : std::span(states).last(num_of_last)) {
        state.extent.num_elements += range.run(state.extent.per).count;
      }
      continue;
    }
    last = &optimizer;
    num_of_last = optimizer.states.size();
    for (const OptimizerState& state : optimizer.states) {
      VIRGIL_CHECK(state.per == StatePer::kElement || optimizer.shard_rule == ShardRule::kWholeTensors,
                   "{} keeps {} for each neuron of tensors that may be divided", name_of(optimizer.kind), state.name);
      const FlatRun run = range.run(state.per);
      states.push_back({.name = std::string(state.name),
                        .optimizer = optimizer.kind,
                        .slot = state_slot(states.size()),
                        .extent = {.first = run.first, .num_elements = run.count, .storage = state.storage, .per = state.per}});
    }
  }
  VIRGIL_CHECK(states.size() <= kMaxOptimizerStates, "{} optimizer states", states.size());
  return states;
}

std::int64_t choose_logits_rows(const Architecture& config, const StepShape& step, const BackendTraits& traits) {
  const std::int64_t rows = checked_multiply(step.batch_size, step.length);
  if (step.logits_chunk > 0) return ceil_div(rows, ceil_div(rows, step.logits_chunk));
  const LogitsChunk wanted = traits.logits_chunk();
  const std::int64_t row_bytes = checked_multiply(config.padded_vocab_size(), size_of(DType::kFloat32));
  const std::int64_t fewest_chunks = ceil_div(rows, std::max(kMinLogitsRows, wanted.size_bytes / row_bytes));
  if (wanted.row_multiple > 1) {
    for (std::int64_t chunks = fewest_chunks; chunks < 2 * fewest_chunks; ++chunks) {
      if (rows % (chunks * wanted.row_multiple) == 0) return rows / chunks;
    }
  }
  return ceil_div(rows, fewest_chunks);
}

MemoryPlan::MemoryPlan(const Architecture& config, const PlanRequest& request, const BackendTraits& traits)
    : config_(config),
      parallel_(request.parallel),
      parameters_(config, request.parallel.processes, groups_of(request)),
      gradients_(parameters_, request.parallel.shards_gradients()),
      step_(request.step),
      alignment_bytes_(traits.alignment_bytes()) {
  const std::int64_t flat = parameters_.flat_elements();
  const std::int64_t part = flat / parallel_.processes;
  const std::int64_t state = parallel_.shards_optimizer() ? part : flat;
  const auto add_flat = [&](PlanSlot slot, MemoryCategory category, const char* name, const StorageType& storage,
                            std::int64_t elements) { add(slot, category, name, storage.bytes_for(elements)); };
  VIRGIL_CHECK(step_ || request.decode, "a plan of nothing");
  VIRGIL_CHECK(!step_ || !request.decode || step_->dtype == request.decode->dtype, "a step in {}, generation in {}",
               name_of(step_->dtype), name_of(request.decode->dtype));
  VIRGIL_CHECK(!step_ || step_->master_weights || step_->dtype != DType::kFloat16, "float16 weights without a float32 copy");
  const DType weights_dtype = step_ ? step_->dtype : request.decode->dtype;
  add_flat(PlanSlot::kWeights, MemoryCategory::kWeights, "parameters", weights_dtype, flat);
  std::int64_t arena_bytes = 0;
  if (step_) {
    const std::int64_t rows = checked_multiply(step_->batch_size, step_->length);
    const std::int64_t row_bytes = checked_multiply(rows, 4);
    logits_rows_ = choose_logits_rows(config_, *step_, traits);
    const Tape tape =
        record_step(config_, *step_, step_->training, parameters_, gradients_, logits_rows_, LogitsChunks::kOneOfEachSize);
    note_workspace(tape, traits);
    if (step_->training) workspace_bytes_ = std::max(workspace_bytes_, traits.reduction_workspace_bytes(flat));
    const MuonScratch muon = step_->training ? muon_scratch(muon_matrices(parameters_), step_->dtype, traits) : MuonScratch{};
    workspace_bytes_ = std::max(workspace_bytes_, muon.workspace_bytes);
    activations_ = std::make_shared<const ArenaLayout>(tape, alignment_bytes_, step_->share_arena);
    arena_bytes = std::max(activations_->arena_bytes(), muon.arena_bytes);  // a step is over when its update begins
    if (step_->training) {
      if (master_slot() == PlanSlot::kMasterWeights) {
        add_flat(PlanSlot::kMasterWeights, MemoryCategory::kMasterWeights, "master parameters", DType::kFloat32, state);
      }
      // Gradients are float32 whatever the weights: sums over micro-steps, and of the two uses of tied weights, keep their
      // bits.
      add_flat(PlanSlot::kGradients, MemoryCategory::kGradients, "gradients", DType::kFloat32, gradients_.num_elements());
      if (parallel_.shards_gradients()) {
        add_flat(PlanSlot::kGradientPart, MemoryCategory::kGradients, "gradients' part", DType::kFloat32, part);
      }
      states_ = planned_states(parameters_);
      for (const PlannedState& kept : states_) {
        const FlatExtent& extent = kept.extent;
        const std::int64_t held =
            parallel_.shards_optimizer() ? extent.num_elements / parallel_.processes : extent.num_elements;
        add(kept.slot, MemoryCategory::kOptimizer, fmt::format("{}.{}", name_of(kept.optimizer), kept.name),
            extent.storage.bytes_for(held));
      }
    }
    add(PlanSlot::kLogits, MemoryCategory::kLogits, "logits chunk",
        checked_multiply(checked_multiply(logits_rows_, config_.padded_vocab_size()), size_of(step_->dtype)));
    add(PlanSlot::kLosses, MemoryCategory::kLogits, "losses", row_bytes);
    add(PlanSlot::kInputs, MemoryCategory::kData, "inputs", row_bytes);
    const PlacedTarget last_target = place_targets(*step_).back();
    add(PlanSlot::kTargets, MemoryCategory::kData, "targets", checked_add(last_target.offset_bytes, last_target.size_bytes()));
  }
  if (request.decode) {
    decoder_.emplace(config_, *request.decode, parameters_, alignment_bytes_);
    workspace_bytes_ = std::max(workspace_bytes_, decoder_->workspace_bytes(config_, parameters_, traits));
    // Generation during training runs between steps, when the step's activations are dead: it borrows their arena.
    arena_bytes = std::max(arena_bytes, decoder_->arena_bytes());
  }
  add(PlanSlot::kActivations, MemoryCategory::kActivations, "activation arena", arena_bytes);
  add(PlanSlot::kWorkspace, MemoryCategory::kWorkspace, "op workspace", workspace_bytes_);
  const std::int64_t num_scalars = checked_add(kNumPlanScalars, step_ ? step_->micro_steps : 0);
  add(PlanSlot::kScalars, MemoryCategory::kWorkspace, "scalars", checked_multiply(num_scalars, size_of(DType::kFloat32)));
  if (parallel_.processes > 1) {
    const auto buckets = static_cast<std::int64_t>(parameters_.buckets().size());
    add(PlanSlot::kPartNorms, MemoryCategory::kWorkspace, "norms of parts",
        checked_multiply(checked_multiply(parallel_.processes, buckets), size_of(DType::kFloat32)));
    if (parallel_.staging_bytes > 0) {
      add(PlanSlot::kStaging, MemoryCategory::kWorkspace, "messages", parallel_.staging_bytes);
    }
  }
}

void MemoryPlan::note_workspace(const Tape& tape, const BackendTraits& traits) {
  for (const Call& call : tape.calls()) workspace_bytes_ = std::max(workspace_bytes_, traits.workspace_bytes(call));
}

void MemoryPlan::add(PlanSlot slot, MemoryCategory category, std::string name, std::int64_t size_bytes) {
  const std::int64_t rounded = round_up(size_bytes, alignment_bytes_);
  by_category_[category] = checked_add(by_category_[category], rounded);
  items_.push_back({slot, category, std::move(name), rounded});
}

PlanSlot MemoryPlan::master_slot() const {
  const bool has_copy = step_ && step_->training && step_->dtype != DType::kFloat32 && step_->master_weights;
  return has_copy ? PlanSlot::kMasterWeights : PlanSlot::kWeights;
}

const StepShape& MemoryPlan::step() const {
  VIRGIL_CHECK(step_.has_value(), "the plan has no step");
  return *step_;
}

PlacedTape MemoryPlan::training() const {
  VIRGIL_CHECK(step().training, "the plan has no training");
  return {record_step(config_, step(), true, parameters_, gradients_, logits_rows_), activations_};
}

PlacedTape MemoryPlan::evaluation() const {
  return {record_step(config_, step(), false, parameters_, gradients_, logits_rows_), activations_};
}

const ArenaLayout& MemoryPlan::activations() const {
  VIRGIL_CHECK(activations_ != nullptr, "the plan has no step");
  return *activations_;
}

std::vector<DecodePass> MemoryPlan::decode_passes() const {
  std::vector<DecodePass> passes;
  for (const DecodePassSize& size : decoder().sizes()) passes.push_back(decoder().record(config_, parameters_, size));
  return passes;
}

const DecodeTapes& MemoryPlan::decoder() const {
  VIRGIL_CHECK(decoder_.has_value(), "the plan has no decoder");
  return *decoder_;
}

PlannedMemory::PlannedMemory(const MemoryPlan& plan, MemoryResource& resource) {
  for (const PlanItem& item : plan.items()) {
    buffers_.emplace_back(item.slot, Buffer(resource, item.size_bytes, {item.category, item.name}));
  }
}

std::span<std::byte> PlannedMemory::bytes(PlanSlot slot) const {
  const auto found = std::ranges::find(buffers_, slot, [](const auto& entry) { return entry.first; });
  VIRGIL_CHECK(found != buffers_.end(), "slot {} is not in the plan", static_cast<int>(slot));
  return {found->second.data(), static_cast<std::size_t>(found->second.size_bytes())};
}

TensorView PlannedMemory::view(PlanSlot slot, std::int64_t offset_bytes, DType dtype, const Shape& shape) const {
  const std::span<std::byte> memory = bytes(slot);
  const TensorView view(memory.data() + offset_bytes, dtype, shape);
  VIRGIL_CHECK(offset_bytes >= 0 && offset_bytes + view.size_bytes() <= static_cast<std::int64_t>(memory.size()),
               "{} of {} at byte {} leaves slot {} of {} bytes", shape.to_string(), name_of(dtype), offset_bytes,
               static_cast<int>(slot), memory.size());
  return view;
}

std::vector<Call> PlannedMemory::bind(const PlacedTape& placed) const {
  std::vector<Call> calls(placed.tape.calls().begin(), placed.tape.calls().end());
  for (Call& call : calls) {
    for_each_operand(
        call, [&](std::string_view /*name*/, auto& operand, ops::Access /*access*/) { operand = bind(placed, operand); });
  }
  return calls;
}

TensorView PlannedMemory::bind(const PlacedTape& placed, const ConstTensorView& operand) const {
  const TapeTensor& tensor = placed.tape.tensors()[static_cast<std::size_t>(operand.tensor())];
  const std::int64_t offset = tensor.offset_bytes ? *tensor.offset_bytes : placed.arena->offset_of(operand.tensor());
  return view(tensor.slot, offset + operand.offset_bytes(), operand.dtype(), operand.shape());
}

FlatTensor PlannedMemory::flat(const MemoryPlan& plan, PlanSlot slot, std::int64_t rank) const {
  const ParameterLayout& layout = plan.parameters();
  FlatExtent extent{.num_elements = layout.flat_elements()};
  if (slot == PlanSlot::kWeights) extent.storage = plan.dtype();
  const auto state = std::ranges::find(plan.states(), slot, &PlannedState::slot);
  const bool is_state = state != plan.states().end();
  if (is_state) extent = state->extent;
  const auto view_of = [&](std::int64_t elements) {
    return view(slot, 0, extent.storage.unit, {extent.storage.units_for(elements)});
  };
  const bool divided =
      slot == PlanSlot::kGradientPart || ((is_state || slot == PlanSlot::kMasterWeights) && plan.parallel().shards_optimizer());
  if (divided) return FlatTensor::part(layout, extent, view_of(extent.num_elements / layout.num_shards()), rank);
  return FlatTensor::whole(layout, extent, view_of(extent.num_elements));
}

TensorView PlannedMemory::scalar(PlanScalar scalar) const {
  return view(PlanSlot::kScalars, offset_of(scalar), DType::kFloat32, {1});
}

TensorView PlannedMemory::micro_step_losses(std::int64_t micro_steps) const {
  return view(PlanSlot::kScalars, kNumPlanScalars * size_of(DType::kFloat32), DType::kFloat32, {micro_steps});
}

}  // namespace virgil

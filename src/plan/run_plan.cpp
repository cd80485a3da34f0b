#include "virgil/plan/run_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "virgil/backend/cuda_backend.h"
#include "virgil/base/error.h"
#include "virgil/base/format.h"
#include "virgil/plan/plan_config.h"
#include "virgil/plan/planning_traits.h"

namespace virgil {

CommunicatorKind communicator_kind(bool is_gpu, std::int64_t processes) {
  if (processes == 1) return CommunicatorKind::kSingle;
  return is_gpu ? CommunicatorKind::kNccl : CommunicatorKind::kMpi;
}

std::int64_t free_bytes_of(const Backend& backend, std::int64_t local_processes) {
  return backend.available_bytes() / (backend.device_memory() ? 1 : local_processes);
}

std::string_view name_of_free_memory(const Backend& backend) {
  return backend.device_memory() ? "free on the device" : "free on this machine";
}

Machine machine_of(const Backend& backend, std::int64_t processes, std::int64_t local_processes) {
  const bool is_gpu = backend.device_memory().has_value();
  const auto dtypes = backend.dtypes();
  Machine machine{.description = backend.description(),
                  .traits = {std::shared_ptr<void>(), &backend.traits()},
                  .dtypes = {dtypes.begin(), dtypes.end()},
                  .dtype_note = {},
                  .free_bytes = free_bytes_of(backend, local_processes),
                  .free_source = std::string(name_of_free_memory(backend)),
                  .is_gpu = is_gpu,
                  .processes = processes,
                  .communicator = communicator_kind(is_gpu, processes)};
  if (!is_gpu && local_processes > 1) machine.free_source += fmt::format(", shared by {} processes", local_processes);
  return machine;
}

Machine machine_of(const GpuModel& gpu, std::int64_t processes) {
  if (gpu.compute_capability < kLeastComputeCapability) {
    throw user_error("{} has compute capability {}.{}, and Virgil's kernels need {}.{} (Turing) or later: choose a newer GPU",
                     gpu.name, gpu.compute_capability / 10, gpu.compute_capability % 10, kLeastComputeCapability / 10,
                     kLeastComputeCapability % 10);
  }
  PlannedDevice device = planned_cuda_device(gpu.compute_capability);
  return {.description = fmt::format("{}, sm_{}, attention by Virgil's kernels", gpu.name, gpu.compute_capability),
          .traits = std::move(device.traits),
          .dtypes = std::move(device.dtypes),
          .dtype_note = {},
          .free_bytes = gpu.memory_bytes,
          .free_source = gpu.name,
          .is_gpu = true,
          .processes = processes,
          .communicator = communicator_kind(true, processes)};
}

Machine any_machine() {
  return {.description = "any machine of a few threads",
          .traits = std::make_shared<PlanningTraits>(),
          .dtypes = {DType::kBFloat16, DType::kFloat16, DType::kFloat32},
          .dtype_note = {},
          .free_bytes = 0,
          .free_source = {}};
}

MemoryBudget memory_budget(const TrainConfig& config, const Machine& machine) {
  const std::int64_t free_bytes = machine.free_bytes;
  MemoryBudget budget{free_bytes, free_bytes - headroom_bytes(free_bytes), machine.free_source};
  if (config.max_memory.empty()) return budget;
  const std::int64_t most_bytes = parse_memory_size(config.max_memory);
  budget.aim_bytes = std::min(budget.aim_bytes, most_bytes);
  budget.source = most_bytes <= free_bytes ? fmt::format("max_memory is {}", config.max_memory)
                                           : fmt::format("{}; max_memory is {}", budget.source, config.max_memory);
  budget.limit_bytes = std::min(free_bytes, most_bytes);
  return budget;
}

void resolve_dtype(TrainConfig& config, const Machine& machine) {
  if (config.dtype == "auto") {
    config.dtype = name_of(machine.dtypes.front());
    // Chosen by the device, not by the user: weights in float32 have no copy that could be left out.
    if (machine.dtypes.front() == DType::kFloat32) config.master_weights = true;
    check_master_weights(config);
  }
  std::string names;
  for (const DType dtype : machine.dtypes) {
    if (config.dtype == name_of(dtype)) return;
    names += fmt::format("{}{}", names.empty() ? "" : ", ", name_of(dtype));
  }
  throw user_error("dtype is \"{}\", and the device computes in {} ({}); use one of these, or auto", config.dtype, names,
                   machine.description);
}

RunPlan plan_run(TrainConfig config, const Architecture& model, const Machine& machine, const MemoryBudget& budget) {
  resolve_dtype(config, machine);
  const DataParallel parallel = data_parallel(config, machine.processes, machine.communicator);
  choose_batch_size(config, model, budget.aim_bytes, *machine.traits, parallel);
  TrainingShape shape = training_shape(config, model, parallel);
  MemoryPlan memory = plan_training(shape, *machine.traits);
  return {.config = std::move(config), .shape = std::move(shape), .memory = std::move(memory)};
}

void check_plan_fits(const MemoryPlan& plan, std::int64_t limit_bytes, std::string_view limit_source, std::string_view remedy) {
  if (plan.total_bytes() <= limit_bytes) return;
  std::string message = fmt::format("the plan needs {} of memory, and {} may be used ({}):\n", format_bytes(plan.total_bytes()),
                                    format_bytes(limit_bytes), limit_source);
  for (const PlanItem& item : plan.items()) {
    message += fmt::format("  {:<15} {:<18} {:>12}\n", name_of(item.category), item.name, format_bytes(item.size_bytes));
  }
  throw OutOfMemoryError(message + fmt::format("to fix it: {}", remedy));
}

}  // namespace virgil

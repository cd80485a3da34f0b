// One way from a configuration and a machine to what a run takes: train, calc_params, show_configs and bench all ask here.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "virgil/config/config_schema.h"
#include "virgil/dist/communicator.h"
#include "virgil/plan/catalogue.h"
#include "virgil/plan/training_plan.h"

namespace virgil {

/// What a plan must know of the device that each process computes on. It may be here, or a GPU that is known by name only.
struct Machine {
  std::string description;                      // for people, as Backend::description()
  std::shared_ptr<const BackendTraits> traits;  // of a backend, which must live as long
  std::vector<DType> dtypes;                    // as Backend::dtypes(): the first is what dtype auto stands for
  std::string dtype_note;                       // why, where it was measured: "bfloat16 380 against float32 210 GFLOP/s, ..."
  std::int64_t free_bytes = 0;                  // for each process
  std::string free_source;                      // where that comes from: "free on this machine", "RTX 4090"
  bool is_gpu = false;
  std::int64_t processes = 1;  // that train together
  CommunicatorKind communicator = CommunicatorKind::kSingle;
};

/// What moves the tensors of processes that compute on such a device.
[[nodiscard]] CommunicatorKind communicator_kind(bool is_gpu, std::int64_t processes);

/// What a process may still get of a device's memory. Where it computes in the machine's own memory, `local_processes` share
/// what is free; each GPU serves one process.
[[nodiscard]] std::int64_t free_bytes_of(const Backend& backend, std::int64_t local_processes);

/// Where Backend::available_bytes() comes from: "free on this machine", or "free on the device".
[[nodiscard]] std::string_view name_of_free_memory(const Backend& backend);

/// The device of a backend.
[[nodiscard]] Machine machine_of(const Backend& backend, std::int64_t processes = 1, std::int64_t local_processes = 1);
/// A GPU of the catalogue with all of its memory free, as the CUDA backend would use it; nothing of this machine counts.
/// Throws UserError with the reason for one that the CUDA backend does not run on.
[[nodiscard]] Machine machine_of(const GpuModel& gpu, std::int64_t processes = 1);
/// No machine in particular, for tables that are the same everywhere: bfloat16, room for the scratch of a few threads, and no
/// memory.
[[nodiscard]] Machine any_machine();

/// What a plan may take.
struct MemoryBudget {
  std::int64_t limit_bytes = 0;
  std::int64_t aim_bytes = 0;  // for what is chosen freely: leaves room for code, libraries and a driver
  std::string source;          // "max_memory is 12GB", "free on this machine"
};
/// The one reading of max_memory: it bounds the plan, and so does what the machine has free.
[[nodiscard]] MemoryBudget memory_budget(const TrainConfig& config, const Machine& machine);

/// Replaces dtype auto by the type that the machine prefers; where that is float32, master_weights becomes true. Throws
/// UserError for a type that the machine does not compute in, and as check_master_weights does.
void resolve_dtype(TrainConfig& config, const Machine& machine);

/// What a run takes on a machine.
struct RunPlan {
  TrainConfig config;  // with the type and the batch that auto stands for
  TrainingShape shape;
  MemoryPlan memory;  // of each process
};
/// `config` is resolved but for dtype and batch_size, which may be auto; `model` is what it trains. Whether the plan fits is
/// for the caller to judge. Throws UserError as resolve_dtype does, and where a size is invalid.
[[nodiscard]] RunPlan plan_run(TrainConfig config, const Architecture& model, const Machine& machine,
                               const MemoryBudget& budget);

/// Throws OutOfMemoryError with the plan item by item when it exceeds `limit_bytes`. `limit_source` says where the limit comes
/// from ("max_memory is 12GB"), `remedy` what its user can do.
void check_plan_fits(const MemoryPlan& plan, std::int64_t limit_bytes, std::string_view limit_source, std::string_view remedy);

}  // namespace virgil

#include "train/processes.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "virgil/base/error.h"
#include "virgil/base/format.h"
#include "virgil/base/processor_quota.h"
#include "virgil/base/sha256.h"
#include "virgil/dist/nccl_communicator.h"
#include "virgil/plan/communication.h"
#include "virgil/plan/run_plan.h"

namespace virgil {

namespace {

std::string machine_name() {
  char name[256] = {};
  return gethostname(name, sizeof(name) - 1) == 0 ? name : "unknown";
}

/// Numbers of the processors this process may run on.
std::vector<int> allowed_processors() {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::vector<int> processors;
  if (sched_getaffinity(0, sizeof(set), &set) != 0) return processors;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &set)) processors.push_back(cpu);
  }
  return processors;
}

}  // namespace

std::string program_fingerprint() {
  try {
    return sha256_of_file("/proc/self/exe").substr(0, 16);
  } catch (const UserError&) {
    return "unknown";
  }
}

std::unique_ptr<Communicator> make_communicator(Backend& backend, ProcessGroup& group) {
  const bool by_nccl = communicator_kind(backend.device_memory().has_value(), group.size()) == CommunicatorKind::kNccl;
  return by_nccl ? make_nccl_communicator(backend, group) : group.make_host_communicator();
}

CpuShare cpu_share(ProcessGroup& group) {
  CpuShare share;
  if (group.size() == 1) return share;
  const std::vector<int> processors = allowed_processors();
  const std::string mine = fmt::format("{} {}", machine_name(), fmt::join(processors, ","));
  const auto sharers = std::ranges::count(group.all_gather_texts(mine), mine);
  const std::int64_t at_once = std::min<std::int64_t>(std::ssize(processors), processor_quota());
  share.threads = std::max(1, static_cast<int>(at_once / sharers));
  const long online = sysconf(_SC_NPROCESSORS_ONLN);
  if (processors.size() == 1 && online >= 2L * group.local_size()) {
    share.warning = fmt::format(
        "each process is bound to one of {} processors, and computes with one thread: start with mpirun --bind-to none",
        online);
  }
  return share;
}

void agree_on_dtype(Machine& machine, ProcessGroup& group) {
  if (group.size() == 1) return;
  const DType mine = machine.dtypes.front();
  const std::vector<std::string> all = group.all_gather_texts(name_of(mine));
  // GPUs of several kinds are for their user to decide about.
  if (machine.is_gpu || mine == DType::kFloat32 || std::ranges::find(all, name_of(DType::kFloat32)) == all.end()) return;
  std::stable_partition(machine.dtypes.begin(), machine.dtypes.end(), [](DType dtype) { return dtype == DType::kFloat32; });
  machine.dtype_note += "; other ranks prefer float32";
}

int device_of_process(const ProcessGroup& group, int num_devices) {
  return num_devices > 0 ? group.local_rank() % num_devices : 0;
}

std::string describe_processes(const TrainConfig& config, const ProcessGroup& group, const Communicator& communicator,
                               const TrainingShape& shape) {
  const CommunicationVolume volume = communication_volume(shape);
  return fmt::format("ranks    {}; {}; zero_stage {}; each sends {} a step", group.description(), communicator.description(),
                     config.zero_stage, format_bytes(volume.total_bytes()));
}

}  // namespace virgil

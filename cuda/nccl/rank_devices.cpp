#include "cuda/nccl/rank_devices.h"

#include <algorithm>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "cuda/device/launch.h"
#include "cuda/nccl/link.h"

namespace virgil::cuda {

namespace {

struct RankDevice {
  char uuid[16];
  char name[256];
  int compute_capability;
  int nccl_version;

  [[nodiscard]] bool is(const RankDevice& other) const { return std::memcmp(uuid, other.uuid, sizeof uuid) == 0; }
  [[nodiscard]] bool is_like(const RankDevice& other) const {
    return std::strncmp(name, other.name, sizeof name) == 0 && compute_capability == other.compute_capability;
  }
};

RankDevice rank_device(int device, int nccl_version) {
  cudaDeviceProp properties{};
  check(cudaGetDeviceProperties(&properties, device), "cudaGetDeviceProperties");
  RankDevice mine{};
  std::memcpy(mine.uuid, properties.uuid.bytes, sizeof mine.uuid);
  std::copy_n(properties.name, std::min(std::strlen(properties.name), sizeof mine.name - 1), mine.name);
  mine.compute_capability = 10 * properties.major + properties.minor;
  mine.nccl_version = nccl_version;
  return mine;
}

void check_shared(const std::vector<RankDevice>& devices, ProcessGroup& group) {
  for (std::size_t r = 0; r < devices.size(); ++r) {
    for (std::size_t earlier = 0; earlier < r; ++earlier) {
      if (!devices[r].is(devices[earlier])) continue;
      int visible = 0;
      static_cast<void>(cudaGetDeviceCount(&visible));
      throw user_error(
          "{} and {} share one GPU ({}): start at most as many processes on a machine as it has GPUs (mpirun -n; here {} "
          "processes see {}), and let each have its own (--device cuda)",
          group.name_of(static_cast<int>(earlier)), group.name_of(static_cast<int>(r)), devices[r].name, group.local_size(),
          visible);
    }
  }
}

}  // namespace

void check_rank_devices(int device, int nccl_version, ProcessGroup& group) {
  const RankDevice mine = rank_device(device, nccl_version);
  std::vector<RankDevice> devices(static_cast<std::size_t>(group.size()));
  group.all_gather(std::as_writable_bytes(std::span(devices)), std::as_bytes(std::span(&mine, 1)));
  check_shared(devices, group);
  const RankDevice& first = devices[0];
  for (std::size_t r = 1; r < devices.size(); ++r) {
    const RankDevice& other = devices[r];
    const std::string name = group.name_of(static_cast<int>(r));
    if (!other.is_like(first)) {
      throw user_error(
          "{} has {} (sm_{}), and {} has {} (sm_{}): all ranks need the same kind of GPU; choose machines, or GPUs with "
          "CUDA_VISIBLE_DEVICES",
          group.name_of(0), first.name, first.compute_capability, name, other.name, other.compute_capability);
    }
    if (other.nccl_version != first.nccl_version) {
      throw user_error("{} has {}, and {} has {}: install the same version on all machines", group.name_of(0),
                       nccl_version_text(first.nccl_version), name, nccl_version_text(other.nccl_version));
    }
  }
}

}  // namespace virgil::cuda

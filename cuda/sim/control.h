// The simulator as tests see it: which order things happen in, what went wrong, which device is played.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace virgil::simt {

class PlayedDevice;

enum class Order : std::uint8_t { kFirstInFirstOut, kLastInFirstOut, kRandom };

/// How one run is scheduled. Every order that these settings produce is one that a GPU may choose: a correct program gives the
/// same results in all of them.
struct Schedule {
  std::uint64_t seed = 0;
  Order threads = Order::kFirstInFirstOut;
  bool shuffle_blocks = false;
  bool lazy_streams = false;  // work waits in its stream until somebody must see it, then streams advance in random turns
  bool late_copies = true;    // cp.async writes at the wait; otherwise each copy tosses a coin
  int preempt_log2 = 0;       // race detector only: a thread yields at one in 2^this accesses; 0: never
};

/// Seed 0 is the plain order above; every other draws all settings from the seed.
[[nodiscard]] Schedule schedule_of(std::uint64_t seed);
void set_schedule(const Schedule& schedule);

/// What the played device is: limits of shared memory follow from its compute capability.
struct DeviceModel {
  int compute_capability = 90;
  int num_sms = 4;
  std::int64_t memory_bytes = std::int64_t{1} << 30;
  std::int64_t others_bytes = 0;  // of its memory that other programs hold
  bool has_nvml = true;           // and so knows what is used before there is a context
  int driver_version = 13000;     // CUDA's, 1000 * major + 10 * minor
  int kernel_error = 0;           // what the runtime says of kernels, a cudaError_t: their code is not for this device
  std::int64_t serial = 0;        // makes its UUID; 0: a number that no other device has
};
void set_device(const DeviceModel& device);
[[nodiscard]] const DeviceModel& device();

/// Gives the calling thread a device of its own, in the state of a new process: where several ranks play in one process, each
/// is a thread that holds one of these for as long as it uses CUDA. Other threads' memory is not its device's.
class OwnDevice {
 public:
  OwnDevice();
  ~OwnDevice();
  OwnDevice(const OwnDevice&) = delete;
  OwnDevice& operator=(const OwnDevice&) = delete;

 private:
  PlayedDevice* before_ = nullptr;
  std::unique_ptr<PlayedDevice> device_;
};

/// The first error since reset_error(), with block, thread and source lines; empty when there was none.
[[nodiscard]] std::string last_error();
/// Forgets the error, so that work can be submitted again.
void reset_error();

struct Statistics {
  std::uint64_t launches = 0;
  std::uint64_t threads = 0;
  std::uint64_t switches = 0;
  std::uint64_t collectives = 0;
  std::uint64_t barriers = 0;
  std::uint64_t graph_launches = 0;
  std::uint64_t graph_uploads = 0;
  std::uint64_t urgent_streams = 0;    // made with the greatest priority
  std::uint64_t products = 0;          // of cuBLASLt that were submitted
  std::uint64_t memory_questions = 0;  // of how much is free
  std::uint64_t host_waits = 0;        // of the host for a stream or an event whose work was not over
};
[[nodiscard]] const Statistics& statistics();

/// What ncclCommGetAsyncError says from now on of all communicators of this device, as after a broken link: an ncclResult_t.
void plant_nccl_error(int result);

/// What cuBLASLt answers on this device, each a cublasStatus_t; 0: as ever.
struct CublasLtAnswers {
  int create = 0;
  int search = 0;  // for an algorithm
  int multiply = 0;
  /// Of its algorithms for any product, in the order of its preference; empty: it has one. They differ in the order of their
  /// sums. Below 0: told of, and unusable.
  std::vector<double> milliseconds = {};
};
void plant_cublaslt_answers(const CublasLtAnswers& answers);

}  // namespace virgil::simt

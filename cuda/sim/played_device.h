// One played device: what runs on it, its memory and its streams. A thread plays on the process's device, or on one of its own
// (control.h: OwnDevice).
//
// Devices of several threads take turns: whoever calls the runtime holds the turn until it returns. A GPU works while its host
// waits for something else, so a thread that must wait for another device's work lets that device work in the meantime.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>

#include "cuda/sim/capture.h"
#include "cuda/sim/control.h"
#include "cuda/sim/device_memory.h"
#include "cuda/sim/race_detector.h"
#include "cuda/sim/simulator.h"
#include "cuda/sim/streams.h"

namespace virgil::simt {

/// What a context would take of the device.
inline constexpr std::int64_t kContextBytes = 64 << 20;

class PlayedDevice {
 public:
  explicit PlayedDevice(std::int64_t number) : number_(number) {}
  PlayedDevice(const PlayedDevice&) = delete;
  PlayedDevice& operator=(const PlayedDevice&) = delete;

  /// What its UUID is made of.
  [[nodiscard]] std::int64_t serial() const { return model.serial != 0 ? model.serial : number_; }

  DeviceModel model;
  RaceDetector race_detector;
  DeviceMemory memory{race_detector};
  Simulator simulator{race_detector};
  Streams streams;
  Captures captures;
  cudaError_t last_error = cudaSuccess;
  std::map<const void*, int> dynamic_smem_limits;  // by kernel, where raised
  std::map<const std::byte*, std::size_t> pinned;  // host memory of cudaMallocHost, and its bytes
  bool has_context = false;                        // cudaSetDevice makes it
  int planted_nccl_error = 0;
  CublasLtAnswers cublaslt_answers;
  double played_ms = 0;  // what the device's clock is ahead of the host's, for work that takes a played time

 private:
  std::int64_t number_ = 0;
};

/// The calling thread's. threadIdx, __syncthreads() and the like have no other object to refer to.
[[nodiscard]] PlayedDevice& played_device();

/// The stream's number on its device; 0 for the default stream.
[[nodiscard]] int number_of(cudaStream_t stream);

/// Held by a thread while it touches devices; of all threads one has it.
class Turn {
 public:
  Turn();
  ~Turn();
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;
};

/// Runs one piece of work of another device, if any has one that can run. The caller holds the turn.
bool help_another_device();
/// Gives the turn away until other threads have done something, or a moment has passed.
void let_others_play();

}  // namespace virgil::simt

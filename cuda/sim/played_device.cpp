#include "cuda/sim/played_device.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

namespace virgil::simt {

namespace {

/// The devices of threads, and whose turn it is.
struct Table {
  std::mutex turn;
  std::condition_variable changed;
  int waiting = 0;
  std::vector<PlayedDevice*> devices;
  std::int64_t made = 0;
};

Table& table() {
  static Table instance;
  return instance;
}

thread_local PlayedDevice* current = nullptr;

PlayedDevice& device_of_process() {
  static PlayedDevice device(0x1000000);  // no number that OwnDevice gives
  return device;
}

}  // namespace

PlayedDevice& played_device() {
  if (current == nullptr) current = &device_of_process();
  return *current;
}
Simulator& simulator() { return played_device().simulator; }
Streams& streams() { return played_device().streams; }
Captures& captures() { return played_device().captures; }
RaceDetector& race_detector() { return played_device().race_detector; }

Turn::Turn() { table().turn.lock(); }
Turn::~Turn() {
  const bool somebody_waits = table().waiting > 0;
  table().turn.unlock();
  if (somebody_waits) table().changed.notify_all();
}

bool help_another_device() {
  PlayedDevice* const mine = current;
  bool helped = false;
  for (PlayedDevice* device : table().devices) {
    if (device == mine) continue;
    current = device;
    helped = device->streams.progress();
    if (helped) break;
  }
  current = mine;
  return helped;
}

void let_others_play() {
  constexpr std::chrono::milliseconds kMoment(20);
  std::unique_lock<std::mutex> lock(table().turn, std::adopt_lock);
  ++table().waiting;
  table().changed.wait_for(lock, kMoment);
  --table().waiting;
  lock.release();
}

OwnDevice::OwnDevice() : before_(current) {
  const Turn turn;
  device_ = std::make_unique<PlayedDevice>(++table().made);
  current = device_.get();
  table().devices.push_back(current);
}
OwnDevice::~OwnDevice() {
  const Turn turn;
  std::erase(table().devices, device_.get());
  device_.reset();
  current = before_;
}

}  // namespace virgil::simt

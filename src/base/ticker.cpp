#include "virgil/base/ticker.h"

#include <chrono>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>

namespace virgil {

Ticker::Ticker(std::chrono::milliseconds period, std::function<void()> tick) : period_(period), tick_(std::move(tick)) {
  thread_ = std::thread([this] { run(); });
}

Ticker::~Ticker() {
  {
    const std::lock_guard lock(mutex_);
    over_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

void Ticker::run() {
  std::unique_lock lock(mutex_);
  while (!wake_.wait_for(lock, period_, [this] { return over_; })) {
    lock.unlock();
    tick_();
    lock.lock();
  }
}

}  // namespace virgil

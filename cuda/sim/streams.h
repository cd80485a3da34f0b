// Streams of the played device: queues of work, advanced when the host waits, in turns that the seed decides.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "cuda/sim/control.h"

namespace virgil::simt {

/// For each stream, how many of its pieces of work are known to be over.
using Clock = std::vector<std::uint64_t>;

/// A point in a stream's work, made by recording an event.
struct Milestone {
  int stream = 0;
  std::uint64_t number = 0;  // of the stream's pieces of work, including this one
  Clock clock;               // once reached
  double time_ms = 0;        // of the device's clock, once reached
};

/// What a piece of work needs of other devices.
class Rendezvous {
 public:
  virtual ~Rendezvous() = default;
  [[nodiscard]] virtual bool ready() const = 0;
  /// "ncclAllGather of 24 bytes waits for rank 1".
  [[nodiscard]] virtual std::string missing() const = 0;
};

/// A piece of work: runs something, or waits for a milestone, or is one. It starts when `meet`, if given, is ready.
struct Work {
  std::function<void()> run = {};
  std::shared_ptr<const Milestone> wait_for = {};
  std::shared_ptr<Milestone> reach = {};
  std::shared_ptr<const Rendezvous> meet = {};
};

class Streams {
 public:
  Streams();
  [[nodiscard]] int create();
  void destroy(int stream);
  [[nodiscard]] bool exists(int stream) const;

  /// Adds work to a stream. Stream 0 is CUDA's default stream, which waits for all others and is waited for by them.
  void submit(int stream, Work work);
  /// Until a stream is empty, or all are.
  void synchronize(int stream);
  void synchronize_all();
  void synchronize(const Milestone& milestone);
  [[nodiscard]] bool reached(const Milestone& milestone) const;
  [[nodiscard]] std::shared_ptr<const Milestone> record(int stream);
  /// Runs one piece of work, of a stream that the seed chooses; false when none can run.
  bool progress();

 private:
  struct Queued {
    Work work;
    std::uint64_t number = 0;
  };
  struct Stream {
    std::deque<Queued> queue;
    std::uint64_t submitted = 0;
    std::uint64_t finished = 0;
    Clock clock;  // what its next piece of work knows to be over
    bool alive = true;
  };
  [[nodiscard]] Stream& at(int stream) { return *streams_[static_cast<std::size_t>(stream)]; }
  [[nodiscard]] const Stream& at(int stream) const { return *streams_[static_cast<std::size_t>(stream)]; }
  static void join(Clock& clock, const Clock& other);
  static void set_at_least(Clock& clock, int stream, std::uint64_t number);
  /// Runs a stream's first piece of work, or one that it waits for; false when that waits for another device.
  bool advance(int stream);
  /// Until another device has come on, where nothing of this one can run that `stream` needs; fails when none does.
  void wait_for_others(int stream, int& moments);
  /// What the stream's first piece of work, or one that it waits for, misses of other devices.
  [[nodiscard]] std::string missing(int stream) const;

  std::vector<std::unique_ptr<Stream>> streams_;
  Clock host_;  // what the host has waited for
};

/// Of the calling thread's device.
[[nodiscard]] Streams& streams();

}  // namespace virgil::simt

// Fibers: many stacks on one thread of the operating system, switched by hand.
#pragma once

#include <cstddef>

namespace virgil::simt {

/// A suspended or running flow of control. The thread's own stack is a fiber too, without a stack of ours.
class Fiber {
 public:
  Fiber() = default;
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  /// Prepares a first run of entry() on the given stack, which starts when something switches to this fiber. entry never
  /// returns: it switches away for good with leave_to(). `abandoned`: the stack holds a run that did not come to that.
  void prepare(std::byte* stack, std::size_t stack_bytes, void (*entry)(), bool abandoned);
  /// Suspends this fiber, which runs, and runs `next`.
  void switch_to(Fiber& next);
  /// The same, but this fiber will not be resumed.
  [[noreturn]] void leave_to(Fiber& next);
  /// The first thing that a fiber's entry does.
  static void entered();

 private:
  void* stack_pointer_ = nullptr;
  // What AddressSanitizer must know: where the stack lies, and its fake stack while suspended.
  const void* stack_bottom_ = nullptr;
  std::size_t stack_bytes_ = 0;
  void* fake_stack_ = nullptr;
};

/// Stacks of equal size, each above a page that may not be touched, so that an overflow faults instead of corrupting.
class StackPool {
 public:
  StackPool(int count, std::size_t stack_bytes);
  ~StackPool();
  StackPool(const StackPool&) = delete;
  StackPool& operator=(const StackPool&) = delete;

  [[nodiscard]] std::byte* stack(int index) const;
  [[nodiscard]] std::size_t stack_bytes() const { return stack_bytes_; }

 private:
  std::byte* memory_ = nullptr;
  std::size_t total_bytes_ = 0;
  std::size_t stack_bytes_ = 0;
};

}  // namespace virgil::simt

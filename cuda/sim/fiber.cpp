#include "cuda/sim/fiber.h"

#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>
#include <new>

#include "cuda/sim/sanitizer.h"

// Saves the callee-saved registers on the running stack, stores its stack pointer and continues on the other one. Signal masks
// and floating-point modes are the same everywhere and are not switched: 20 times faster than swapcontext.
extern "C" void virgil_simt_switch(void** save_stack_pointer, void* to_stack_pointer);

#if defined(__x86_64__)
asm(R"(
.text
.globl virgil_simt_switch
.type virgil_simt_switch,@function
virgil_simt_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp,(%rdi)
  movq %rsi,%rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size virgil_simt_switch,.-virgil_simt_switch
)");
#elif defined(__aarch64__)
asm(R"(
.text
.globl virgil_simt_switch
.type virgil_simt_switch,%function
virgil_simt_switch:
  sub sp, sp, #160
  stp x19, x20, [sp, #0]
  stp x21, x22, [sp, #16]
  stp x23, x24, [sp, #32]
  stp x25, x26, [sp, #48]
  stp x27, x28, [sp, #64]
  stp x29, x30, [sp, #80]
  stp d8, d9, [sp, #96]
  stp d10, d11, [sp, #112]
  stp d12, d13, [sp, #128]
  stp d14, d15, [sp, #144]
  mov x9, sp
  str x9, [x0]
  mov sp, x1
  ldp x19, x20, [sp, #0]
  ldp x21, x22, [sp, #16]
  ldp x23, x24, [sp, #32]
  ldp x25, x26, [sp, #48]
  ldp x27, x28, [sp, #64]
  ldp x29, x30, [sp, #80]
  ldp d8, d9, [sp, #96]
  ldp d10, d11, [sp, #112]
  ldp d12, d13, [sp, #128]
  ldp d14, d15, [sp, #144]
  add sp, sp, #160
  ret
.size virgil_simt_switch,.-virgil_simt_switch
)");
#else
#error "the simulator's fibers know x86-64 and AArch64"
#endif

namespace virgil::simt {

namespace {

constexpr std::size_t kGuardBytes = 65536;  // a whole page on every system

/// The stack that AddressSanitizer reports as left by the last switch: how the thread's own fiber learns its bounds.
struct LeftStack {
  const void* bottom = nullptr;
  std::size_t bytes = 0;
};
LeftStack& left_stack() {
  thread_local LeftStack left;
  return left;
}

}  // namespace

void Fiber::prepare(std::byte* stack, std::size_t stack_bytes, void (*entry)(), bool abandoned) {
  // A run that left keeps red zones in its outermost frames, an abandoned one anywhere.
  constexpr std::size_t kOutermostBytes = 8192;
  const std::size_t dirty_bytes = abandoned ? stack_bytes : kOutermostBytes;
  unpoison(stack + stack_bytes - dirty_bytes, dirty_bytes);
  stack_bottom_ = stack;
  stack_bytes_ = stack_bytes;
  fake_stack_ = nullptr;
  auto* top = reinterpret_cast<void**>(stack + stack_bytes);
#if defined(__x86_64__)
  top -= 1;  // at entry the stack pointer is 8 below a multiple of 16, as after a call
  *--top = reinterpret_cast<void*>(entry);
  top[1] = nullptr;  // the return address of entry, which never returns
  for (int i = 0; i < 6; ++i) *--top = nullptr;
#else
  top -= 20;
  for (int i = 0; i < 20; ++i) top[i] = nullptr;
  top[11] = reinterpret_cast<void*>(entry);  // x30
#endif
  stack_pointer_ = top;
}

void Fiber::switch_to(Fiber& next) {
  const void* bottom = next.stack_bottom_ != nullptr ? next.stack_bottom_ : left_stack().bottom;
  const std::size_t bytes = next.stack_bottom_ != nullptr ? next.stack_bytes_ : left_stack().bytes;
  start_switch_fiber(&fake_stack_, bottom, bytes);
  virgil_simt_switch(&stack_pointer_, next.stack_pointer_);
  finish_switch_fiber(fake_stack_, nullptr, nullptr);
}

void Fiber::leave_to(Fiber& next) {
  const void* bottom = next.stack_bottom_ != nullptr ? next.stack_bottom_ : left_stack().bottom;
  const std::size_t bytes = next.stack_bottom_ != nullptr ? next.stack_bytes_ : left_stack().bytes;
  start_switch_fiber(nullptr, bottom, bytes);
  virgil_simt_switch(&stack_pointer_, next.stack_pointer_);
  std::abort();  // somebody resumed a fiber that had left
}

void Fiber::entered() {
  const void* bottom = nullptr;
  std::size_t bytes = 0;
  finish_switch_fiber(nullptr, &bottom, &bytes);
  if (left_stack().bottom == nullptr) left_stack() = {bottom, bytes};  // the first fiber is entered from the thread's stack
}

StackPool::StackPool(int count, std::size_t stack_bytes)
    : total_bytes_(static_cast<std::size_t>(count) * (stack_bytes + kGuardBytes)), stack_bytes_(stack_bytes) {
  void* memory = mmap(nullptr, total_bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  memory_ = static_cast<std::byte*>(memory);
  for (int i = 0; i < count; ++i) mprotect(stack(i) - kGuardBytes, kGuardBytes, PROT_NONE);
}

StackPool::~StackPool() { munmap(memory_, total_bytes_); }

std::byte* StackPool::stack(int index) const {
  return memory_ + static_cast<std::size_t>(index) * (stack_bytes_ + kGuardBytes) + kGuardBytes;
}

}  // namespace virgil::simt

// A signal handler can reach nothing but globals, and may neither lock nor allocate: ranges stand in a list of nodes that are
// never freed, only used again, and a node's message is written before its range becomes visible.
#include "mapped_ranges.h"

#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>

namespace virgil {
namespace {

struct RangeNode {
  std::atomic<std::uintptr_t> begin{0};  // 0: free
  std::atomic<std::uintptr_t> end{0};
  std::string message;
  RangeNode* next = nullptr;
};

struct RangeList {
  std::atomic<RangeNode*> first{nullptr};
  std::mutex mutex;  // for all but the handler
  struct sigaction previous {};
};

// Leaked, so that mappings may outlive it at exit.
RangeList& range_list() {
  static RangeList& list = *new RangeList;
  return list;
}

const RangeNode* range_of(std::uintptr_t address) {
  for (const RangeNode* node = range_list().first.load(std::memory_order_acquire); node != nullptr; node = node->next) {
    if (address >= node->begin.load(std::memory_order_acquire) && address < node->end.load(std::memory_order_acquire))
      return node;
  }
  return nullptr;
}

void handle_bus_error(int number, siginfo_t* info, void* context) {
  const bool is_fault = info->si_code == BUS_ADRERR || info->si_code == BUS_OBJERR;
  const RangeNode* node = is_fault ? range_of(reinterpret_cast<std::uintptr_t>(info->si_addr)) : nullptr;
  if (node != nullptr) {
    [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, node->message.data(), node->message.size());
    ::_exit(2);
  }
  const struct sigaction& previous = range_list().previous;
  if ((previous.sa_flags & SA_SIGINFO) != 0) return previous.sa_sigaction(number, info, context);
  if (previous.sa_handler == SIG_IGN) return;
  if (previous.sa_handler != SIG_DFL) return previous.sa_handler(number);
  ::signal(SIGBUS, SIG_DFL);
  ::raise(SIGBUS);  // is delivered when this handler returns
}

void install_handler() {
  struct sigaction action {};
  action.sa_sigaction = handle_bus_error;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  ::sigemptyset(&action.sa_mask);
  ::sigaction(SIGBUS, &action, &range_list().previous);
}

/// A node without a range; the mutex is held.
RangeNode& free_node(RangeList& list) {
  RangeNode* first = list.first.load(std::memory_order_relaxed);
  for (RangeNode* node = first; node != nullptr; node = node->next) {
    if (node->begin.load(std::memory_order_relaxed) == 0) return *node;
  }
  if (first == nullptr) install_handler();
  auto* node = new RangeNode;
  node->next = first;
  list.first.store(node, std::memory_order_release);
  return *node;
}

}  // namespace

void* remember_mapped_range(std::span<const std::byte> bytes, const std::filesystem::path& path) {
  RangeList& list = range_list();
  const std::lock_guard lock(list.mutex);
  RangeNode& node = free_node(list);
  node.message = fmt::format(
      "\nerror: {}: was shortened while it was being read (or its disk has failed), so this program cannot continue; put the "
      "whole "
      "file back, and start again, a training run with --resume. To change a file that is in use, write a new one and rename "
      "it\n",
      path.string());
  const auto begin = reinterpret_cast<std::uintptr_t>(bytes.data());
  node.end.store(begin + bytes.size(), std::memory_order_relaxed);
  node.begin.store(begin, std::memory_order_release);
  return &node;
}

void forget_mapped_range(void* guard) noexcept {
  if (guard == nullptr) return;
  auto& node = *static_cast<RangeNode*>(guard);
  const std::lock_guard lock(range_list().mutex);
  node.end.store(0, std::memory_order_release);
  node.begin.store(0, std::memory_order_release);
}

}  // namespace virgil

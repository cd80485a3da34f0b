// failing_rank CASE LIMIT_MS: the last rank goes wrong as CASE says, while the others wait for it; lost_rank_test.py reads what
// they say. An exception ends the job with status 3.
#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>
#include <string_view>
#include <thread>
#include <vector>

#include "virgil/dist/communicator.h"
#include "virgil/dist/launch.h"

namespace virgil {
namespace {

void all_gather_bytes(ProcessGroup& group, std::size_t count) {
  std::vector<std::byte> all(count * static_cast<std::size_t>(group.size()));
  group.all_gather(all, std::vector<std::byte>(count));
}

void run_tensors(ProcessGroup& group, std::int64_t part) {
  const std::unique_ptr<Communicator> communicator = group.make_host_communicator();
  std::vector<std::byte> staging(
      static_cast<std::size_t>(communicator_staging_bytes(communicator->kind(), group.size(), DType::kFloat32)));
  communicator->bind_staging(staging);
  std::vector<float> values(static_cast<std::size_t>(part * group.size()), 1.0F);
  communicator->wait(communicator->start_all_reduce({values.data(), DType::kFloat32, {part * group.size()}}, DType::kFloat32));
}

void run(ProcessGroup& group, std::string_view what) {
  const bool is_bad = group.rank() + 1 == group.size();
  group.barrier();
  if (what == "stops_before_barrier") {
    if (is_bad) raise(SIGSTOP);
    group.barrier();
  } else if (what == "stops_before_sum") {
    const std::unique_ptr<Communicator> communicator = group.make_host_communicator();
    if (is_bad) raise(SIGSTOP);
    std::vector<float> values(static_cast<std::size_t>(group.size()));
    communicator->wait(communicator->start_all_gather({values.data(), DType::kFloat32, {group.size()}}));
  } else if (what == "stops_beside_gpus") {
    if (is_bad) raise(SIGSTOP);
    // The others wait for their GPUs, one of them sooner than the other.
    std::this_thread::sleep_for(group.rank() * group.timeout() / 4);
    const std::unique_ptr<OutsideWait> wait = group.wait_outside("NCCL (all-gather 3 of 64 bytes)", group.timeout());
    for (;; std::this_thread::sleep_for(std::chrono::milliseconds(20))) wait->check();
  } else if (what == "is_killed") {
    if (is_bad) raise(SIGKILL);
    group.barrier();
  } else if (what == "comes_late") {
    // Once within the limit after the limit; the others must not hold it for lost, nor each other.
    if (is_bad) std::this_thread::sleep_for(group.timeout() * 3 / 2);
    group.barrier();
    run_tensors(group, 10);
  } else if (what == "gathers_instead") {
    if (is_bad) {
      all_gather_bytes(group, 8);
    } else {
      group.barrier();
    }
  } else if (what == "gathers_more") {
    all_gather_bytes(group, is_bad ? 16 : 8);
  } else if (what == "sums_more") {
    run_tensors(group, is_bad ? 2000 : 1000);
  } else if (what == "sums_instead") {
    const std::unique_ptr<Communicator> communicator = group.make_host_communicator();
    std::vector<float> values(static_cast<std::size_t>(group.size()));
    if (!is_bad) group.barrier();
    communicator->wait(communicator->start_all_gather({values.data(), DType::kFloat32, {group.size()}}));
  } else if (what == "leaves") {
    if (is_bad) throw user_error("the disk is full");
    group.barrier();
  } else if (what == "leaves_work") {
    const std::unique_ptr<Communicator> communicator = group.make_host_communicator();
    std::vector<float> values(static_cast<std::size_t>(group.size()));
    if (is_bad) {
      communicator->start_all_gather({values.data(), DType::kFloat32, {group.size()}});
      throw user_error("the disk is full");
    }
    group.barrier();
  } else {
    throw user_error("unknown case {}", what);
  }
}

}  // namespace
}  // namespace virgil

int main(int argc, char** argv) {
  using namespace virgil;
  if (argc != 3) return 2;
  const std::string_view what = argv[1];
  try {
    const std::unique_ptr<ProcessGroup> group = join_process_group({.timeout = std::chrono::milliseconds(std::atoi(argv[2]))});
    fmt::print(stderr, "I am {}\n", group->name_of(group->rank()));
    if (what.starts_with("leaves")) {
      run(*group, what);  // the exception takes the group with it
      return 0;
    }
    try {
      run(*group, what);
    } catch (const LostRankError& error) {
      fmt::print(stderr, "rank {}: lost: {}\n", group->rank(), error.what());
      group->abort(3);
    } catch (const std::exception& error) {
      fmt::print(stderr, "rank {}: error: {}\n", group->rank(), error.what());
      group->abort(3);
    }
  } catch (const std::exception& error) {
    fmt::print(stderr, "error: {}\n", error.what());
    return 2;
  }
  fmt::print(stderr, "all is well\n");
  return 0;
}

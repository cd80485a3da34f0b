// mpi_tests: one process, or one rank of several under mpirun. Rank 0 prints; the others print only what fails.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdio>
#include <exception>
#include <memory>

#include "mpi/test_group.h"
#include "virgil/dist/launch.h"

namespace virgil::test_support {

namespace {

ProcessGroup* the_group = nullptr;

class PrintsFailures final : public testing::EmptyTestEventListener {
  void OnTestPartResult(const testing::TestPartResult& result) override {
    if (!result.failed()) return;
    const testing::TestInfo* test = testing::UnitTest::GetInstance()->current_test_info();
    fmt::print(stderr, "{}: {}.{}: {}:{}: {}\n", test_group().name_of(test_group().rank()),
               test == nullptr ? "" : test->test_suite_name(), test == nullptr ? "" : test->name(),
               result.file_name() == nullptr ? "" : result.file_name(), result.line_number(), result.message());
  }
};

}  // namespace

ProcessGroup& test_group() { return *the_group; }

}  // namespace virgil::test_support

int main(int argc, char** argv) {
  using namespace virgil;
  testing::InitGoogleTest(&argc, argv);
  try {
    const std::unique_ptr<ProcessGroup> group = join_process_group({.timeout = std::chrono::seconds(60)});
    test_support::the_group = group.get();
    if (!group->is_root()) {
      testing::TestEventListeners& listeners = testing::UnitTest::GetInstance()->listeners();
      delete listeners.Release(listeners.default_result_printer());
      listeners.Append(new test_support::PrintsFailures);
    }
    const int status = RUN_ALL_TESTS();
    test_support::the_group = nullptr;
    return status;
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 2;
  }
}

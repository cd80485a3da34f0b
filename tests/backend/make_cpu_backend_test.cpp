#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "virgil/backend/backend.h"
#include "virgil/base/error.h"

namespace virgil {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(MakeCpuBackend, RefusesANegativeNumberOfThreads) { EXPECT_THROW((void)make_cpu_backend({.num_threads = -1}), UserError); }

TEST(MakeCpuBackend, NamesThreadsInstructionsAndLibrary) {
  EXPECT_THAT(make_cpu_backend({.num_threads = 2})->description(), AllOf(HasSubstr("2 threads"), HasSubstr("oneDNN")));
}

}  // namespace
}  // namespace virgil

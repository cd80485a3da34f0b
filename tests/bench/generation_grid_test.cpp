#include "bench/generation_grid.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <string>

#include "support/user_error.h"

namespace virgil::bench {
namespace {

using test_support::user_error_of;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

GenerationGrid grid_of(const std::string& flag, const std::string& value, std::int64_t block_size = 256) {
  ToolArguments arguments;
  arguments.add(flag, {value});
  return choose_grid(arguments, block_size);
}

std::string problem_of(const std::string& flag, const std::string& value) {
  return user_error_of([&] { static_cast<void>(grid_of(flag, value)); });
}

TEST(GenerationGrid, DefaultsFollowTheBlockSize) {
  const GenerationGrid grid = choose_grid({}, 256);
  EXPECT_THAT(grid.contexts, ElementsAre(32, 128, 256));
  EXPECT_THAT(grid.batches, ElementsAre(1, 4, 16));
  EXPECT_EQ(grid.rounds, 5);
  EXPECT_THAT(choose_grid({}, 3).contexts, ElementsAre(1, 2, 3));
  EXPECT_THAT(choose_grid({}, 1).contexts, ElementsAre(1)) << "each once";
}

TEST(GenerationGrid, IsWhatTheFlagsSayInOrder) {
  EXPECT_THAT(grid_of("contexts", "200,64,200").contexts, ElementsAre(64, 200));
  EXPECT_THAT(grid_of("contexts", "256").contexts, ElementsAre(256));
  EXPECT_THAT(grid_of("batches", "8,1").batches, ElementsAre(1, 8));
  EXPECT_THAT(grid_of("batches", "8,1").contexts, ElementsAre(32, 128, 256));
  EXPECT_EQ(grid_of("rounds", "2").rounds, 2);
}

TEST(GenerationGrid, RefusesWhatIsNoListOfNumbers) {
  for (const std::string value : {"", ",", "64,", ",64", "64,,128", "64 128", "64;128", "x", "1e3", "6.5", "+4"}) {
    EXPECT_THAT(problem_of("contexts", value), AllOf(HasSubstr("--contexts is \"" + value + "\""), HasSubstr("commas")));
  }
  EXPECT_THAT(problem_of("rounds", "0"), HasSubstr("--rounds"));
}

TEST(GenerationGrid, RefusesWhatTheModelOrGenerateDoesNotTake) {
  EXPECT_THAT(problem_of("contexts", "64,257"), HasSubstr("--contexts has 257: choose 1 to 256, the model's block_size"));
  EXPECT_THAT(problem_of("contexts", "0"), HasSubstr("--contexts has 0"));
  EXPECT_THAT(problem_of("batches", "-4"), HasSubstr("--batches has -4"));
  EXPECT_THAT(problem_of("batches", "5000"), HasSubstr("choose 1 to 4,096"));
  EXPECT_THAT(problem_of("batches", "99999999999999999999"), HasSubstr("--batches has 99999999999999999999"));
}

}  // namespace
}  // namespace virgil::bench

// What a reader finds after a save was cut short at any of its file operations.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "format/checkpoint_fixture.h"
#include "support/faulty_file_system.h"
#include "support/user_error.h"
#include "virgil/format/checkpoint.h"

namespace virgil {
namespace {

namespace fs = std::filesystem;
using test_support::FaultyFileSystem;
using test_support::user_error_of;
using ::testing::HasSubstr;

constexpr std::int64_t kOldStep = 100;
constexpr std::int64_t kNewStep = 200;

class CheckpointCrashTest : public test_support::CheckpointFixture {
 protected:
  /// Calls that a save over an existing checkpoint makes.
  std::int64_t count_calls() {
    FaultyFileSystem counting(*files_, FaultyFileSystem::Fault::kKill, -1);
    save_checkpoint(*files_, best_, old_);
    save_checkpoint(counting, best_, new_);
    fs::remove_all(best_);
    return counting.num_calls();
  }

  /// The step of the checkpoint that loads, whole in every tensor.
  std::int64_t expect_whole(const fs::path& path) {
    const LoadedCheckpoint loaded = load_checkpoint(path);
    const CheckpointContents& expected = loaded.state.step == kOldStep ? old_ : new_;
    EXPECT_EQ(loaded.state, expected.state);
    expect_tensors(loaded.parameters, expected.parameters);
    expect_tensors(*loaded.optimizer, expected.optimizer);
    return loaded.state.step;
  }

  std::size_t num_entries() const {
    return static_cast<std::size_t>(std::distance(fs::directory_iterator(directory_.path()), {}));
  }

  CheckpointContents old_ = make_contents(kOldStep);
  CheckpointContents new_ = make_contents(kNewStep);
};

TEST_F(CheckpointCrashTest, TheOldOrTheNewOneLoadsAfterAKillOrAPowerCutAtAnyCall) {
  const std::int64_t num_calls = count_calls();
  ASSERT_GT(num_calls, 20);
  for (const auto fault : {FaultyFileSystem::Fault::kKill, FaultyFileSystem::Fault::kPowerCut}) {
    bool seen_old = false;
    bool seen_new = false;
    for (std::int64_t n = 0; n < num_calls; ++n) {
      SCOPED_TRACE(n);
      fs::remove_all(best_);
      save_checkpoint(*files_, best_, old_);
      FaultyFileSystem faulty(*files_, fault, n);
      save_checkpoint(faulty, best_, new_);
      ASSERT_TRUE(faulty.failed());
      const std::int64_t step = expect_whole(best_);
      ASSERT_FALSE(step == kOldStep && seen_new) << "an earlier kill already left the new one";
      (step == kOldStep ? seen_old : seen_new) = true;

      // The next run saves over whatever the killed one left, and nothing of that remains.
      save_checkpoint(*files_, best_, new_);
      EXPECT_EQ(expect_whole(best_), kNewStep);
      EXPECT_EQ(num_entries(), 1U);
    }
    EXPECT_TRUE(seen_old);
    EXPECT_TRUE(seen_new);
  }
}

TEST_F(CheckpointCrashTest, TwoKillsInARowLeaveAWholeCheckpoint) {
  const std::int64_t num_calls = count_calls();
  for (std::int64_t first = num_calls - 5; first < num_calls; ++first) {
    for (std::int64_t second = num_calls - 8; second < num_calls + 2; ++second) {
      SCOPED_TRACE(std::to_string(first) + " " + std::to_string(second));
      fs::remove_all(best_);
      save_checkpoint(*files_, best_, old_);
      FaultyFileSystem faulty(*files_, FaultyFileSystem::Fault::kKill, first);
      save_checkpoint(faulty, best_, new_);
      FaultyFileSystem again(*files_, FaultyFileSystem::Fault::kKill, second);
      save_checkpoint(again, best_, new_);
      expect_whole(best_);
    }
  }
}

TEST_F(CheckpointCrashTest, TheOldOneLoadsAfterAFullDiskAtAnyCall) {
  const std::int64_t num_calls = count_calls();
  for (std::int64_t n = 0; n < num_calls; ++n) {
    SCOPED_TRACE(n);
    fs::remove_all(best_);
    save_checkpoint(*files_, best_, old_);
    FaultyFileSystem faulty(*files_, FaultyFileSystem::Fault::kNoSpace, n);
    EXPECT_THAT(user_error_of([&] { save_checkpoint(faulty, best_, new_); }), HasSubstr("No space left on device"));
    // Only the very last call, which removes the replaced checkpoint, comes after the new one is in place and durable.
    EXPECT_EQ(expect_whole(best_), n == num_calls - 1 ? kNewStep : kOldStep);
    EXPECT_EQ(num_entries(), n == num_calls - 1 ? 2U : 1U) << "only the replaced checkpoint may be left";
    save_checkpoint(*files_, best_, new_);
    EXPECT_EQ(num_entries(), 1U);
  }
}

TEST_F(CheckpointCrashTest, AFirstSaveOnAFullDiskLeavesNothing) {
  for (std::int64_t n = 0;; ++n) {
    SCOPED_TRACE(n);
    fs::remove_all(best_);
    FaultyFileSystem faulty(*files_, FaultyFileSystem::Fault::kNoSpace, n);
    try {
      save_checkpoint(faulty, best_, new_);
      ASSERT_FALSE(faulty.failed());
      break;
    } catch (const UserError& error) {
      EXPECT_THAT(error.what(), HasSubstr("No space left on device"));
    }
    if (fs::exists(best_)) {
      EXPECT_EQ(expect_whole(best_), kNewStep);
    }
  }
}

TEST_F(CheckpointCrashTest, LoadsFromTheOldNameOnlyWhileTheNewOneIsMissing) {
  save_checkpoint(*files_, best_, old_);
  const fs::path old_path = directory_.path() / "best.old";
  fs::rename(best_, old_path);
  EXPECT_EQ(load_checkpoint(best_).directory, old_path);
  EXPECT_EQ(expect_whole(best_), kOldStep);
  fs::copy(old_path, best_);
  std::ofstream(best_ / "config.json") << "damaged";
  EXPECT_THROW(static_cast<void>(load_checkpoint(best_)), UserError) << "damage must not be passed over in silence";
}

TEST_F(CheckpointCrashTest, PruningKilledAtAnyCallLeavesOnlyWholeCheckpoints) {
  const fs::path run = directory_.path();
  for (std::int64_t n = 0; n < 12; ++n) {
    SCOPED_TRACE(n);
    for (const std::int64_t step : {1, 2, 3}) save_checkpoint(*files_, run / step_checkpoint_name(step), make_contents(step));
    FaultyFileSystem faulty(*files_, FaultyFileSystem::Fault::kKill, n);
    prune_checkpoints(faulty, run, 1);
    for (const fs::path& path : list_step_checkpoints(run)) EXPECT_NO_THROW(static_cast<void>(load_checkpoint(path)));
    prune_checkpoints(*files_, run, 1);
    EXPECT_EQ(num_entries(), 1U);
  }
}

}  // namespace
}  // namespace virgil

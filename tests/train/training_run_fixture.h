// Whole runs of a tiny model from its command line.
#pragma once

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <type_traits>
#include <variant>
#include <vector>

#include "support/user_error.h"
#include "train/tiny_run.h"
#include "virgil/base/sha256.h"
#include "virgil/dist/process_group.h"
#include "virgil/train/training_run.h"

namespace virgil::test_support {

class TrainingRunFixture : public testing::Test {
 protected:
  TrainingRunFixture() { write_all(directory_.path() / "input.txt", tiny_text()); }

  /// The command line of a tiny run; later flags win.
  [[nodiscard]] CommandLine command_line(const std::vector<std::string>& flags) const {
    const TrainConfig tiny = tiny_config(directory_.path());
    std::vector<std::string> arguments;
    for (const ConfigKey& key : config_keys()) {
      if (!key.saved || key.name == "recompute") continue;
      std::visit(
          [&](auto member) {
            if (tiny.*member == TrainConfig{}.*member) return;
            if constexpr (std::is_same_v<decltype(member), std::vector<std::string> TrainConfig::*>) {
              arguments.push_back(fmt::format("--{}={}", key.name, (tiny.*member).front()));
            } else {
              arguments.push_back(fmt::format("--{}={}", key.name, tiny.*member));
            }
          },
          key.member);
    }
    arguments.insert(arguments.end(), flags.begin(), flags.end());
    return parse_train_command_line(arguments);
  }

  RunStatus start(const CommandLine& line) {
    return run_training(line, files_, sink_, [] { return false; });
  }
  RunStatus run(const std::vector<std::string>& flags) {
    sink_ = {};
    return run_training(command_line(flags), files_, sink_, [this] { return stop_at_ == std::ssize(sink_.steps); });
  }

  std::string refused(const std::vector<std::string>& flags) {
    const auto before = tree();
    const std::string message = user_error_of([&] { (void)run(flags); });
    EXPECT_EQ(tree(), before) << "a refused run must write nothing: " << message;
    EXPECT_THAT(sink_.steps, testing::IsEmpty());
    return message;
  }

  /// Every file below the test's folder with its hash.
  [[nodiscard]] std::map<std::string, std::string> tree() const {
    std::map<std::string, std::string> files;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(directory_.path())) {
      files[entry.path().string()] = entry.is_directory() ? "" : sha256_of_file(entry.path());
    }
    return files;
  }

  [[nodiscard]] std::filesystem::path folder() const { return directory_.path() / "runs" / "run"; }
  [[nodiscard]] std::vector<std::string> checkpoints() const {
    std::vector<std::string> names;
    for (const auto& path : list_step_checkpoints(folder())) names.push_back(path.filename().string());
    return names;
  }

  TemporaryDirectory directory_;
  UnsyncedFileSystem files_;
  RecordingSink sink_;
  std::unique_ptr<ProcessGroup> group_ = make_single_process_group();
  std::int64_t stop_at_ = -1;  // steps of one call after which it is asked to stop
};

}  // namespace virgil::test_support

// What the trainer's tests share: configurations of tiny runs, and what is compared of two of them.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "support/half_backend.h"
#include "support/temporary_directory.h"
#include "train/tiny_run.h"

namespace virgil::test_support {

class TrainerFixture : public testing::Test {
 protected:
  /// A parameter for tests that make it not finite.
  static constexpr const char* kSpoilt = "transformer.h.1.mlp.c_fc.weight";

  [[nodiscard]] TrainConfig config(const std::string& name = "run") const {
    TrainConfig config = tiny_config(directory_.path());
    config.model_name = name;
    return config;
  }
  [[nodiscard]] TrainConfig bfloat16_config(bool master_weights) const {
    TrainConfig result = config();
    result.dtype = "bfloat16";
    result.master_weights = master_weights;
    return result;
  }
  /// For runs in float16, which the CPU's backend does not take.
  [[nodiscard]] static std::unique_ptr<HalfBackend> half_backend() {
    return std::make_unique<HalfBackend>(make_cpu_backend({.num_threads = 1}));
  }
  /// Figures of metrics.jsonl that must repeat: all but times and, unless asked for, memory.
  [[nodiscard]] static std::vector<nlohmann::json> figures(const TinyRun& run, bool with_memory = false) {
    std::vector<nlohmann::json> result;
    std::istringstream text(read_all(run.folder() / "metrics.jsonl"));
    for (std::string line; std::getline(text, line);) {
      nlohmann::json object = nlohmann::json::parse(line);
      for (const char* key : {"time", "dt_ms", "tokens_per_s", "model_gflops", "mfu"}) object.erase(key);
      if (!with_memory) object.erase("mem");
      result.push_back(std::move(object));
    }
    return result;
  }
  [[nodiscard]] static LoadedCheckpoint last_checkpoint(const TinyRun& run) {
    return load_checkpoint(run.folder() / run.checkpoints().back());
  }
  /// As the run's last checkpoint has it.
  [[nodiscard]] static LossScalerState last_scaler(const TinyRun& run) { return last_checkpoint(run).state.loss_scaler; }

  TemporaryDirectory directory_;
};

}  // namespace virgil::test_support

// A trained model in memory, to generate with or to evaluate.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "virgil/backend/backend.h"
#include "virgil/base/logging.h"
#include "virgil/data/tokenizer.h"
#include "virgil/format/checkpoint.h"
#include "virgil/machine/device.h"
#include "virgil/memory/tracking_resource.h"
#include "virgil/model/inference_plan.h"
#include "virgil/model/memory_plan.h"

namespace virgil {

struct InferenceOptions {
  std::int64_t num_sequences = 0;  // generated at once, up to the model's block_size; 0: no generation
  std::int64_t batch_size = 0;     // windows of block_size evaluated at once; 0: no evaluation
  std::string dtype =
      "float32";  // of weights, caches and activations: float32, bfloat16, float16 or auto (the device's choice)
  DeviceRequest device;
};

/// The type that a model generates in: what `asked` (as InferenceOptions::dtype) means on this device. Warns where it is slower
/// than float32. Throws UserError for a type that the device does not compute in.
[[nodiscard]] DType choose_inference_dtype(const std::string& asked, Backend& backend, Logger& log);

/// Weights without gradients or optimizer, and the memory of the passes asked for.
class InferenceModel {
 public:
  /// `checkpoint` as find_checkpoint takes it. Throws UserError: a missing or damaged checkpoint (open_pretrained), a tokenizer
  /// that is missing or of another vocabulary than the model's, a device that is not there or does not compute in the dtype,
  /// weights that the dtype cannot hold, too little memory (before allocating).
  InferenceModel(const std::filesystem::path& checkpoint, const InferenceOptions& options, Logger& log);

  [[nodiscard]] const std::filesystem::path& directory() const { return directory_; }
  /// Updates the model has seen; 0 where the folder does not tell.
  [[nodiscard]] std::int64_t step() const { return step_; }
  [[nodiscard]] const Tokenizer& tokenizer() const { return *tokenizer_; }
  /// The same, for what may outlive this.
  [[nodiscard]] const std::shared_ptr<const Tokenizer>& shared_tokenizer() const { return tokenizer_; }
  [[nodiscard]] const MemoryPlan& plan() const { return *plan_; }
  [[nodiscard]] const PlannedMemory& memory() const { return *memory_; }
  [[nodiscard]] Backend& backend() const { return *backend_; }

 private:
  std::filesystem::path directory_;
  std::int64_t step_ = 0;
  std::unique_ptr<Backend> backend_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  std::optional<MemoryPlan> plan_;
  std::optional<PlannedMemory> memory_;
};

}  // namespace virgil

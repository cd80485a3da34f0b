// What a report is about: an architecture, and the run that would train it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "virgil/backend/backend.h"
#include "virgil/plan/architecture.h"
#include "virgil/plan/training_plan.h"
#include "virgil/train/config_schema.h"

namespace virgil {

/// A model of the catalogue, a Hugging Face config.json, or neither: then that of the configuration's init_from, or the
/// configuration itself.
struct SubjectSource {
  std::string model;    // a name of data/models.json
  std::string hf_file;  // its path, or that of its folder
};

/// Kinds that no configuration key says; nothing: as the source has them.
struct ArchitectureOverrides {
  std::optional<std::int64_t> num_kv_heads;
  std::optional<std::int64_t> head_size;
  std::optional<std::int64_t> vocab_multiple;
  std::optional<PositionKind> position;
  std::optional<NormKind> norm;
  std::optional<MlpKind> mlp;
};

struct Subject {
  ArchitectureSpec spec;
  CommandLine command_line;             // with the model's keys set when the source is not a configuration
  std::optional<ModelSizes> trainable;  // what train would train; nothing: why_not tells
  std::string why_not;
  TrainConfig resolved;        // command_line.config with everything that follows filled in; meaningful when trainable
  std::int64_t processes = 1;  // that train it together
};

/// Throws UserError: unknown names (with the nearest), unreadable files, sizes that cannot be.
[[nodiscard]] Subject make_subject(const SubjectSource& source, const CommandLine& command_line,
                                   const ArchitectureOverrides& overrides, std::int64_t processes = 1);

/// A word that names a model: a config file or a preset, a published model, or a Hugging Face config.json or its folder.
struct WordMeaning {
  SubjectSource source;
  std::filesystem::path config_file;  // empty: `source` names the model
};
/// Throws UserError for a word that is none of these.
[[nodiscard]] WordMeaning meaning_of_word(const std::string& word);

/// The source that a word names: a catalogue name, else a file, which is a Hugging Face config when it has a model_type and a
/// configuration of train's keys otherwise. The keys of `flags` come over its own.
[[nodiscard]] Subject subject_of_word(const std::string& word, const CommandLine& flags, std::int64_t processes);

/// A plan, or why there is none.
struct PlannedSubject {
  std::unique_ptr<Backend> backend;
  TrainingShape shape;
  std::optional<MemoryPlan> plan;
  std::string why_not;

  /// Throws UserError with why_not when there is no plan.
  [[nodiscard]] const MemoryPlan& get() const;
};
/// Plans with the backend that the configuration asks for; of several processes each one's plan. batch_size auto is solved for
/// `limit_bytes`, or for max_memory, or for what the machine has free less headroom_bytes, as train does.
[[nodiscard]] PlannedSubject plan_subject(const Subject& subject, std::optional<std::int64_t> limit_bytes);

}  // namespace virgil

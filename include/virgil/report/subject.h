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
#include "virgil/config/config_schema.h"
#include "virgil/model/architecture.h"
#include "virgil/plan/catalogue.h"
#include "virgil/plan/run_plan.h"
#include "virgil/plan/training_plan.h"

namespace virgil {

/// A model of the catalogue, a Hugging Face config.json, or neither: then that of the configuration's init_from, or the
/// configuration itself.
struct SubjectSource {
  std::string model;    // a name of data/models.json
  std::string hf_file;  // its path, or that of its folder
};

/// Kinds that no configuration key says; nothing: as the source has them.
struct ArchitectureOverrides {
  std::optional<std::int64_t> vocab_multiple;
  std::optional<PositionKind> position;
  std::optional<NormKind> norm;
};

struct Subject {
  Architecture spec;
  CommandLine command_line;               // with the model's keys set when the source is not a configuration
  std::optional<Architecture> trainable;  // what train would train; nothing: why_not tells
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

/// The machine that a question is about, where it is not this one as it stands.
struct MachineRequest {
  const GpuModel* gpu = nullptr;                  // a GPU by name
  std::optional<std::int64_t> memory_bytes = {};  // instead of what is free
  std::string memory_source = {};                 // as it was given: "12GB"
};

/// The machine asked for, with `processes` on it; where that is this one, `backend` is made, to which the result refers. Throws
/// UserError for a GPU that Virgil does not run on or a device that is not here, and where the configuration contradicts the
/// request.
[[nodiscard]] Machine find_machine(const MachineRequest& request, const TrainConfig& config, std::int64_t processes,
                                   std::unique_ptr<Backend>& backend);

/// A plan, or why there is none.
struct PlannedSubject {
  std::unique_ptr<Backend> backend;  // null for a GPU by name
  std::optional<Machine> machine;    // nothing where why_not is about the device
  MemoryBudget budget;               // of each process
  TrainingShape shape;               // where there is no plan only its dtype, if the machine computes in it
  std::optional<MemoryPlan> plan;
  std::string why_not;

  /// Throws UserError with why_not when there is no plan.
  [[nodiscard]] const MemoryPlan& get() const;
  [[nodiscard]] const BackendTraits& traits() const { return *machine->traits; }
};
/// Plans, as train does (run_plan.h), for the machine asked for: else for the backend that the configuration names. Throws
/// UserError for a GPU that Virgil does not run on, and where the configuration contradicts the request.
[[nodiscard]] PlannedSubject plan_subject(const Subject& subject, const MachineRequest& request = {});

}  // namespace virgil

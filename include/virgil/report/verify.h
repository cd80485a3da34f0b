// The plan held against a real run.
#pragma once

#include <filesystem>
#include <string>

#include "virgil/report/subject.h"
#include "virgil/train/memory_summary.h"

namespace virgil {

struct Verification {
  MemoryComparison memory;
  double first_loss = 0;    // nats a token, of random tokens
  double step_seconds = 0;  // of the second step, of one micro-batch
};

/// Allocates the plan and runs two training steps of one micro-batch each on random tokens. Throws UserError when there is no
/// plan, OutOfMemoryError when it exceeds what the machine has free.
[[nodiscard]] Verification verify_plan(const PlannedSubject& planned);
/// The same for a plan that was made for this backend.
[[nodiscard]] Verification verify_plan(Backend& backend, const MemoryPlan& plan);
[[nodiscard]] std::string describe_verification(const Verification& verification);

/// What a run held.
struct RunComparison {
  std::filesystem::path run;
  std::string backend;  // that the plan was made for
  MemoryComparison memory;
};
/// The last step of the run's metrics.jsonl beside the plan made again from its configuration and checkpoint. Throws UserError
/// naming the file and the defect.
[[nodiscard]] RunComparison compare_run(const std::filesystem::path& run);
[[nodiscard]] std::string describe_run_comparison(const RunComparison& comparison);

}  // namespace virgil

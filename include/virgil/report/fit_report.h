// What fits: the solver's answers in words.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "virgil/plan/catalogue.h"
#include "virgil/report/subject.h"

namespace virgil {

/// The GPU that --gpu names. Throws UserError with the nearest name and `otherwise`, what else can be given.
[[nodiscard]] const GpuModel& gpu_of_flag(const std::string& name, std::string_view otherwise);

/// What --gpu and --fits ask about. Memory that is given counts instead of the GPU's, or of what is free; `fits` may be empty,
/// and then asks about these. Throws UserError on an unknown GPU (with the nearest) and on rubbish.
[[nodiscard]] MachineRequest machine_request(const std::optional<std::string>& gpu, const std::optional<std::string>& fits);

/// "yes", "tight", "no".
[[nodiscard]] std::string_view name_of(Verdict verdict);

/// Yes, tight or no; if no, remedies and the resulting command line. Of a model that Virgil does not train: why, and which
/// weights fit for generating.
[[nodiscard]] std::string describe_fit(const Subject& subject, const PlannedSubject& planned);

/// One plan of a matrix.
struct MatrixCell {
  std::int64_t batch_size = 0;
  Recompute recompute = Recompute::kNone;
  std::int64_t planned_bytes = 0;
  Verdict verdict = Verdict::kNo;
};
/// Every usual batch size, and the subject's own, at every recomputation level; by batch size, then level. Throws UserError
/// where there is no plan.
[[nodiscard]] std::vector<MatrixCell> plan_matrix(const PlannedSubject& planned);
/// GiB of the cells, what fits marked.
[[nodiscard]] std::string describe_matrix(const PlannedSubject& planned);

/// A variable of --solve, or target_params with its value.
struct SolveQuestion {
  std::optional<SolveVariable> variable;
  std::int64_t target_params = 0;  // when there is no variable
};
/// "batch_size", "block_size", "n_layer", "n_embd", "target_params=150M". Throws UserError on anything else.
[[nodiscard]] SolveQuestion parse_solve_question(const std::string& text);
[[nodiscard]] std::string_view name_of(SolveVariable variable);
/// "150M", "1.5B", "150000000" -> a count. Throws UserError on anything else.
[[nodiscard]] std::int64_t parse_count(const std::string& text);

/// The largest value that fits, and the command. `fits` tells whether any does.
struct SolveAnswer {
  std::string text;
  std::optional<TrainingShape> shape;
  std::int64_t planned_bytes = 0;
};
[[nodiscard]] SolveAnswer solve_for(SolveVariable variable, const PlannedSubject& planned, const CommandLine& given);
/// models_of_size; throws UserError when there are none.
[[nodiscard]] std::vector<Architecture> models_near(std::int64_t num_parameters, const Architecture& like);
/// The same in words.
[[nodiscard]] std::string describe_models_of_size(std::int64_t num_parameters, const Architecture& like);

}  // namespace virgil

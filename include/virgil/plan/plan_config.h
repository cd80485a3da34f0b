// From a configuration to the shape that is planned, and from the solver's answers back to keys and flags. run_plan.h puts
// the parts together.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "virgil/config/config_schema.h"
#include "virgil/dist/communicator.h"
#include "virgil/plan/training_plan.h"

namespace virgil {

/// The type of a resolved key such as dtype; InternalError for auto.
[[nodiscard]] DType parse_dtype(std::string_view name);

/// What a resolved config, whose dtype is not auto, trains: `model` with the config's batch, recomputation and samples.
[[nodiscard]] TrainingShape training_shape(const TrainConfig& config, const Architecture& model,
                                           const DataParallel& parallel = {});
/// What a config asks of several processes whose tensors `communicator` moves.
[[nodiscard]] DataParallel data_parallel(const TrainConfig& config, std::int64_t processes, CommunicatorKind communicator);

/// Tokens of all vocabularies but those learned from a text are known beforehand: vocab_size, or that of `tokenizer` when it is
/// byte, gpt2 or bpe:<size>; char counts as 128, the most that its padded rows hold for plain texts. Throws UserError for a
/// tokenizer file, whose size only reading tells.
[[nodiscard]] std::int64_t expected_vocab_size(const TrainConfig& config);

/// For batch_size auto: the largest that fits into `limit_bytes` and, where total_batch_size is given, divides it; resolves the
/// config again. Where not even one sequence fits, the batch is 1. Otherwise does nothing. Throws UserError.
void choose_batch_size(TrainConfig& config, const Architecture& model, std::int64_t limit_bytes, const BackendTraits& traits,
                       const DataParallel& parallel = {});

/// Keys and values that turn `from` into `to`.
using KeyValues = std::vector<std::pair<std::string, std::string>>;
[[nodiscard]] KeyValues changed_keys(const TrainingShape& from, const TrainingShape& to);
/// "--batch_size 12 --grad_accum_steps 8".
[[nodiscard]] std::string flags_text(const KeyValues& keys);
/// The command that runs `program` with what `given` set and `changes` over it, words quoted for a shell.
[[nodiscard]] std::string command_text(std::string_view program, const CommandLine& given, const KeyValues& changes);

/// One line a remedy: what to change, GiB saved and left, time; then the command of the first. Tells when there are none.
/// Remedies are made to fit `aim_bytes`, which is `limit_bytes` or, where code and libraries must fit too, less.
[[nodiscard]] std::string describe_remedies(const TrainingShape& asked, std::int64_t limit_bytes, std::int64_t aim_bytes,
                                            const BackendTraits& traits, const CommandLine& given);

}  // namespace virgil

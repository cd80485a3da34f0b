// Which preset trains where a command says nothing of its model: the largest that the machine and the text are enough for.
#pragma once

#include <cstdint>
#include <string>

#include "virgil/base/logging.h"
#include "virgil/config/config_schema.h"
#include "virgil/dist/process_group.h"
#include "virgil/plan/run_plan.h"

namespace virgil {

/// What a preset is chosen for.
struct PresetSetting {
  Machine machine;            // the first of its dtypes is what dtype auto stands for
  double product_gflops = 0;  // of matrix products in that type, by all processes together
  std::int64_t text_bytes = 0;
};

struct PresetChoice {
  std::string preset;  // empty: there is none
  std::int64_t parameters = 0;
  std::string reason;  // "410.3 MiB and about 29 minutes here; the next larger one, small, ..."
};

/// The largest preset of those
/// - whose text has at least a token for each of its parameters: with fewer a model learns the text by heart;
/// - whose steps take at most a day on a GPU, and six hours on a processor, which is wanted for other work too;
/// - whose plan fits into what is free, or into max_memory;
/// where there is none, the smallest. The command's flags count in all of them.
[[nodiscard]] PresetChoice choose_preset(const CommandLine& command_line, const PresetSetting& setting);

/// A command that leaves its model open (default_preset.h) gets the preset chosen for the device that it asks for, which `log`
/// is told; other commands stay as they are. Every rank calls it, and all get the same. Throws UserError as make_backend does.
[[nodiscard]] CommandLine with_chosen_preset(const CommandLine& command_line, ProcessGroup& group, Logger& log);

}  // namespace virgil

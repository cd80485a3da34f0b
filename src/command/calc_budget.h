// calc_params --budget: what to train in a given time.
#pragma once

#include <cstdint>
#include <iosfwd>
#include <string>

#include "virgil/base/logging.h"
#include "virgil/config/config_schema.h"
#include "virgil/config/program_flags.h"
#include "virgil/report/model_report.h"

namespace virgil {

struct BudgetCall {
  const ToolArguments& arguments;  // budget, price, tflops, gpu, fits, json
  CommandLine line;
  std::int64_t processes = 1;
  bool names_model = false;
};

/// Reads the text, finds the machine's rate where none is given, and answers. Throws UserError.
void answer_budget(const BudgetCall& call, std::ostream& out, Logger& log);

}  // namespace virgil

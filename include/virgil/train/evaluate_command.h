// What the program `evaluate` does, apart from reading its flags.
#pragma once

#include <cstdint>
#include <iosfwd>
#include <string>

#include "virgil/base/logging.h"
#include "virgil/train/device.h"

namespace virgil {

struct EvaluateRequest {
  std::string checkpoint;       // a checkpoint's folder or a run's
  std::string input;            // text file
  std::int64_t stride = 0;      // tokens from one window to the next; 0: block_size, windows side by side
  std::int64_t batch_size = 8;  // windows at once
  bool json = false;
  DeviceRequest device;
};

/// Measures loss (nats per token), perplexity and bits per byte of the whole text and writes them to `out`: a few lines, or
/// with `json` one object. Throws UserError before anything is written.
void run_evaluate(const EvaluateRequest& request, std::ostream& out, Logger& log);

}  // namespace virgil

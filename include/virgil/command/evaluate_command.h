// What the program `evaluate` does.
#pragma once

#include <cstdint>
#include <iosfwd>
#include <string>
#include <vector>

#include "virgil/base/logging.h"
#include "virgil/base/progress.h"
#include "virgil/data/text_reader.h"
#include "virgil/data/token_file.h"
#include "virgil/machine/device.h"

namespace virgil {

struct EvaluateRequest {
  std::string checkpoint;           // a checkpoint's folder or a run's
  std::vector<std::string> inputs;  // files, folders and patterns of texts or of token files, as in training
  TextOptions text;
  TokenType token_type = TokenType::kAuto;  // of token files without a header
  std::int64_t stride = 0;                  // tokens from one window to the next; 0: block_size, windows side by side
  std::int64_t batch_size = 8;              // windows at once
  bool json = false;
  std::string dtype = "float32";  // as InferenceOptions
  DeviceRequest device;
  ProgressMonitor* progress = nullptr;  // watches reading and evaluating
};

/// Measures loss (nats per token), perplexity and bits per byte of the whole text and writes them to `out`: a few lines, or
/// with `json` one object. Several inputs are one text, end to end, with the tokenizer's end of text between them as in
/// training; the figures of each file in it stand before those of the whole. Throws UserError, NonFiniteError as soon as the
/// model computes NaN, naming the file, or Stopped, before anything is written.
void run_evaluate(const EvaluateRequest& request, std::ostream& out, Logger& log);

/// The program: reads flags, and computes on the process's streams. Gives the exit code; throws as run_evaluate does,
/// UserError, or HelpShown (program.h).
[[nodiscard]] int evaluate_program(const std::vector<std::string>& arguments);

}  // namespace virgil

// What the program `generate` does.
#pragma once

#include <cstdint>
#include <iosfwd>
#include <optional>
#include <string>
#include <vector>

#include "virgil/base/logging.h"
#include "virgil/generate/text_generator.h"
#include "virgil/machine/device.h"

namespace virgil {

inline constexpr std::int64_t kMaxSamples = 4096;  // generated together

struct GenerateRequest {
  std::string checkpoint;             // a checkpoint's folder or a run's
  std::optional<std::string> prompt;  // without it and without a file: all of the input
  std::string prompt_file;
  bool new_document = false;       // the model's end-of-text token before the prompt, as before a document in training
  bool interactive = false;        // each line of the input is a prompt
  std::string interactive_marker;  // written before each line is read; given at a terminal, where /quit and /help are commands
  std::vector<std::string> stops;  // texts that end a sample and are not part of it
  std::int64_t num_samples = 1;    // continuations of each prompt, generated together
  bool stream = false;             // show text as it comes
  bool json = false;
  std::string dtype = "float32";  // as InferenceOptions
  DeviceRequest device;
  GenerationOptions options;  // step and num_choices are set by run_generate
};

/// Generates and writes to `out`; notes for a person go to `log`. Samples end at max_new_tokens, at a stop text or at the
/// tokenizer's end of text. Output is valid UTF-8; docs/generation.md tells its forms. Throws UserError before anything is
/// written, except for a prompt that cannot be used while interactive, and NonFiniteError where the model computes NaN.
void run_generate(const GenerateRequest& request, std::istream& in, std::ostream& out, Logger& log);

/// The program: reads flags, and computes on the process's streams. Gives the exit code; throws as run_generate does,
/// UserError, or HelpShown (program.h).
[[nodiscard]] int generate_program(const std::vector<std::string>& arguments);

}  // namespace virgil

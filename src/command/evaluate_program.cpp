// The program `evaluate`: its flags and streams.
#include <CLI/CLI.hpp>
#include <iostream>
#include <string>
#include <vector>

#include "command/program_arguments.h"
#include "virgil/base/progress_printer.h"
#include "virgil/base/stop_signal.h"
#include "virgil/command/evaluate_command.h"
#include "virgil/command/program.h"

namespace virgil {

namespace {

EvaluateRequest parse_evaluate(CLI::App& app, const std::vector<std::string>& arguments, Logger& log) {
  EvaluateRequest request;
  app.add_option("checkpoint,--checkpoint", request.checkpoint,
                 "Folder of a checkpoint, of a run (its best, else its newest), or of a Hugging Face model")
      ->required();
  app.add_option("input,--input,--input_file", request.inputs,
                 "Texts or token files (.bin): files, folders or patterns; several are read as one text")
      ->required();
  app.add_option("--text_field", request.text.text_field,
                 "Field of JSON lines that holds the text; none: read them as plain text")
      ->capture_default_str();
  app.add_flag("--split_documents,!--no_split_documents", request.text.split_documents,
               "End a document at <|endoftext|> in a text, where the tokenizer has that token")
      ->default_str("true");
  std::string token_type = "auto";
  app.add_option("--token_type", token_type, "Of ids in token files without a header: auto, uint16, uint32 or uint64")
      ->capture_default_str();
  app.add_flag("--force", request.text.allow_nul, "Take texts that hold NUL bytes");
  app.add_option("--stride", request.stride, "Tokens from one window to the next, fewer give more context; 0: block_size")
      ->capture_default_str();
  app.add_option("--batch_size", request.batch_size, "Windows at once")->capture_default_str();
  app.add_flag("--json", request.json, "Write JSON");
  app.add_option("--dtype", request.dtype,
                 "Type of weights and activations: float32, bfloat16, float16 (on GPUs), or auto: the device's choice")
      ->transform(known_dtype)
      ->capture_default_str();
  app.add_option("--device", request.device.device, "cpu, cuda or cuda:N; auto: cuda where there is one, else cpu")
      ->transform(known_device)
      ->check(device_problem)
      ->capture_default_str();
  app.add_option("--threads", request.device.threads, "CPU threads; 0: as many as the process may use")
      ->check(threads_problem)
      ->capture_default_str();
  parse_arguments(app, arguments, "evaluate --checkpoint runs/NAME --input held-out.txt", log);
  request.token_type = parse_token_type(token_type);
  return request;
}

}  // namespace

int evaluate_program(const std::vector<std::string>& arguments) {
  CLI::App app("Loss, perplexity and bits per byte of a text under a trained model.", "evaluate");
  StderrLogger log;
  StopSignal stop;
  stop.foresee("at once", "nothing was measured", true);
  ProgressPrinter progress(progress_to_standard_error(), &stop);
  EvaluateRequest request = parse_evaluate(app, arguments, log);
  request.progress = &progress;
  run_evaluate(request, std::cout, log);
  return 0;
}

}  // namespace virgil

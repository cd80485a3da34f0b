// evaluate: how well a trained model predicts a text. docs/generation.md
//
// Exit codes: 0 done, 1 an internal error, 2 something its user can mend.
#include <CLI/CLI.hpp>
#include <iostream>
#include <string>

#include "program.h"
#include "virgil/train/evaluate_command.h"

namespace {

virgil::EvaluateRequest parse(CLI::App& app, int argc, char** argv) {
  virgil::EvaluateRequest request;
  app.add_option("checkpoint,--checkpoint", request.checkpoint,
                 "Folder of a checkpoint, of a run (its best, else its newest), or of a Hugging Face GPT-2")
      ->required();
  app.add_option("input,--input,--input_file", request.input, "Text file")->required();
  app.add_option("--stride", request.stride, "Tokens from one window to the next, fewer give more context; 0: block_size")
      ->capture_default_str();
  app.add_option("--batch_size", request.batch_size, "Windows at once")->capture_default_str();
  app.add_flag("--json", request.json, "Write JSON");
  app.add_option("--device", request.device.device, "cpu, cuda or cuda:N; auto: cuda where there is one, else cpu")
      ->transform(virgil::known_device)
      ->check(virgil::device_problem)
      ->capture_default_str();
  app.add_option("--threads", request.device.threads, "CPU threads; 0: as many as the process may use")
      ->check(CLI::Range(0, 4096))
      ->capture_default_str();
  virgil::parse_arguments(app, argc, argv);
  return request;
}

}  // namespace

int main(int argc, char** argv) {
  return virgil::run_program([&] {
    CLI::App app("Loss, perplexity and bits per byte of a text under a trained model.", "evaluate");
    virgil::StderrLogger log;
    virgil::run_evaluate(parse(app, argc, argv), std::cout, log);
  });
}

// The program `generate`: its flags and streams.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <iostream>
#include <string>
#include <vector>

#include "command/program_arguments.h"
#include "virgil/command/generate_command.h"
#include "virgil/command/program.h"

namespace virgil {

namespace {

GenerateRequest parse_generate(CLI::App& app, const std::vector<std::string>& arguments, Logger& log) {
  GenerateRequest request;
  const bool is_typed = isatty(STDIN_FILENO) == 1;
  SamplingOptions& sampling = request.options.sampling;
  sampling.temperature = 0.8;
  app.add_option("checkpoint,--checkpoint", request.checkpoint,
                 "Folder of a checkpoint, of a run (its best, else its newest), or of a Hugging Face model")
      ->required();
  std::string prompt;
  const CLI::Option* prompt_option =
      app.add_option("--prompt", prompt, "Text to continue; without it (and --prompt_file): standard input");
  app.add_option("--prompt_file", request.prompt_file, "File that holds the text to continue");
  app.add_flag("--new_document", request.new_document,
               "Begin with the model's end-of-text token, as each document in training; an empty prompt does so by itself");
  app.add_flag("--interactive", request.interactive, "Continue each line typed");
  app.add_option("--max_new_tokens", request.options.max_new_tokens, "Tokens to add to the prompt")->capture_default_str();
  app.add_option("--temperature", sampling.temperature, "Divides the logits; 0: always the likeliest token")
      ->capture_default_str();
  app.add_option("--top_k", sampling.top_k, "Draw from so many likeliest tokens; 0: from all")->capture_default_str();
  app.add_option("--top_p", sampling.top_p, "Draw from the likeliest tokens that reach this probability together")
      ->capture_default_str();
  app.add_option("--repetition_penalty", sampling.repetition_penalty, "Makes tokens already seen less likely; 1: off")
      ->capture_default_str();
  app.add_option("--stop", request.stops, "Text that ends a sample; may be given several times")->expected(1)->take_all();
  app.add_option("--seed", request.options.seed, "Same seed, same text")->capture_default_str();
  app.add_option("--num_samples", request.num_samples, "Continuations of the prompt")->capture_default_str();
  app.add_flag("--stream", request.stream, "Show text as it comes");
  app.add_flag("--json", request.json, "Write JSON");
  app.add_option("--dtype", request.dtype,
                 "Type of weights, caches and activations: float32, bfloat16, float16 (on GPUs), or auto: the device's choice")
      ->transform(known_dtype)
      ->capture_default_str();
  app.add_option("--device", request.device.device, "cpu, cuda or cuda:N; auto: cuda where there is one, else cpu")
      ->transform(known_device)
      ->check(device_problem)
      ->capture_default_str();
  app.add_option("--threads", request.device.threads, "CPU threads; 0: as many as the process may use")
      ->check(threads_problem)
      ->capture_default_str();
  parse_arguments(app, arguments, R"(generate --checkpoint runs/NAME --prompt "Once upon a time")", log);
  if (prompt_option->count() > 0) request.prompt = prompt;
  if (request.interactive) {
    request.stream = request.stream || (request.num_samples == 1 && !request.json);
    if (is_typed && isatty(STDOUT_FILENO) == 1) request.interactive_marker = "> ";
  } else if (!request.prompt && request.prompt_file.empty() && is_typed) {
    log.info("type the prompt and end it with Ctrl-D (--prompt TEXT gives one, --interactive takes line after line)");
  }
  return request;
}

}  // namespace

int generate_program(const std::vector<std::string>& arguments) {
  CLI::App app("Continues a text with a trained model.", "generate");
  StderrLogger log;
  run_generate(parse_generate(app, arguments, log), std::cin, std::cout, log);
  return 0;
}

}  // namespace virgil

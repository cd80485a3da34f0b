// The program `tokenize`: its flags and streams.
#include <CLI/CLI.hpp>
#include <iostream>
#include <string>
#include <vector>

#include "command/program_arguments.h"
#include "virgil/base/file_system.h"
#include "virgil/base/progress_printer.h"
#include "virgil/base/stop_signal.h"
#include "virgil/command/program.h"
#include "virgil/command/tokenize_command.h"

namespace virgil {

namespace {

TokenizeRequest parse_tokenize(CLI::App& app, const std::vector<std::string>& arguments, Logger& log) {
  TokenizeRequest request;
  DataRequest& data = request.data;
  std::string text;
  std::string format = "virgil";
  std::string token_type = "auto";
  app.add_option("input,--input,--input_file", data.inputs, "Texts, or token files (.bin): files, folders, patterns");
  const CLI::Option* text_option = app.add_option("--text", text, "A text, in place of --input");
  app.add_option("--tokenizer", data.tokenizer,
                 "byte, char, gpt2, bpe:SIZE (char and bpe learn from the input), or a tokenizer file or its folder")
      ->capture_default_str();
  app.add_option("--save_tokenizer", request.save_tokenizer,
                 "Folder to save the tokenizer in, for --tokenizer of every program");
  app.add_option("--output", request.output, "Folder for token files and their tokenizer; absent or empty");
  app.add_option("--format", format, "Of the token files: virgil, llm.c or nanogpt")->capture_default_str();
  app.add_option("--shard_tokens", request.shard_tokens, "Ids in each token file but the last")->capture_default_str();
  app.add_option("--val_input", data.val_inputs, "What goes to the held-out token files, given as --input");
  app.add_option("--val_fraction", data.val_fraction, "Share of the input, at its end, that goes to the held-out token files")
      ->capture_default_str();
  app.add_flag("--inspect", request.inspect, "Show the beginning of the input cut into tokens");
  app.add_option("--inspect_tokens", request.inspect_tokens, "How many tokens --inspect shows")->capture_default_str();
  app.add_option("--top", request.top, "How many of the longest and most frequent tokens to list")->capture_default_str();
  app.add_option("--text_field", data.text.text_field, "Field of JSON lines that holds the text; none: read them as plain text")
      ->capture_default_str();
  app.add_flag("--split_documents,!--no_split_documents", data.text.split_documents,
               "End a document at <|endoftext|> in a text, where the tokenizer has that token")
      ->default_str("true");
  app.add_option("--token_type", token_type, "Of ids in token files without a header: auto, uint16, uint32 or uint64")
      ->capture_default_str();
  app.add_flag("--force", data.text.allow_nul, "Take texts that hold NUL bytes");
  app.add_flag("--json", request.json, "Write JSON");
  app.footer(
      "  tokenize --input poem.txt --tokenizer bpe:4096 --save_tokenizer poem-bpe     train a byte-pair vocabulary\n"
      "  tokenize --input texts/ --output shards --val_fraction 0.01                  token files with GPT-2's tokenizer\n"
      "  tokenize --text 'Nel mezzo del cammin' --inspect                             see how a text is cut");
  parse_arguments(app, arguments, "tokenize --input book.txt --tokenizer gpt2", log);
  if (text_option->count() > 0) request.text = text;
  data.token_type = parse_token_type(token_type);
  request.format = parse_token_file_format(format);
  return request;
}

}  // namespace

int tokenize_program(const std::vector<std::string>& arguments) {
  CLI::App app("Turns texts into tokens: statistics, token files, byte-pair vocabularies.", "tokenize");
  StderrLogger log;
  StopSignal stop;
  stop.foresee("at once", "nothing is written", false);
  ProgressPrinter progress(progress_to_standard_error(), &stop);
  const auto files = make_posix_file_system();
  TokenizeRequest request = parse_tokenize(app, arguments, log);
  request.data.progress = &progress;
  run_tokenize(request, *files, std::cout, log);
  return 0;
}

}  // namespace virgil

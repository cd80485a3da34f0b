// Writes the logits of a checkpoint, or a Hugging Face GPT-2, for given tokens: the scripts in tests/reference compare them.
//
//   dump_logits CHECKPOINT BATCH_SIZE LENGTH TOKENS OUTPUT
//
// TOKENS holds BATCH_SIZE * LENGTH int32 ids, OUTPUT becomes BATCH_SIZE * LENGTH * vocab_size float32 logits, both row-major in
// the machine's byte order, without headers.
#include <fmt/format.h>

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <exception>
#include <fstream>
#include <string>
#include <vector>

#include "virgil/base/error.h"
#include "virgil/base/file_system.h"
#include "virgil/format/pretrained_model.h"
#include "virgil/model/gpt.h"

namespace {

void run(const std::vector<std::string>& arguments) {
  const virgil::PretrainedModel pretrained = virgil::open_pretrained(arguments[0]);
  const virgil::Architecture config = trainable(pretrained.model);
  const virgil::StepShape shape{.batch_size = std::stoll(arguments[1]), .length = std::stoll(arguments[2]), .training = false};
  const std::int64_t count = shape.batch_size * shape.length;
  const std::string bytes = virgil::read_file(arguments[3], std::int64_t{1} << 30);
  if (static_cast<std::int64_t>(bytes.size()) != count * 4) {
    throw virgil::user_error("{}: {} bytes, not {} int32 ids", arguments[3], bytes.size(), count);
  }
  std::vector<std::int32_t> tokens(static_cast<std::size_t>(count));
  std::memcpy(tokens.data(), bytes.data(), bytes.size());

  const auto backend = virgil::make_cpu_backend({});
  const virgil::MemoryPlan plan(config, {.step = shape}, backend->traits());
  const virgil::PlannedMemory memory(plan, backend->memory());
  virgil::Gpt gpt(*backend, plan, memory);
  virgil::load_parameters(*backend, plan.parameters(), pretrained, gpt.master_weights());
  std::vector<float> logits(static_cast<std::size_t>(count * config.vocab_size));
  gpt.load_batch(tokens, tokens);
  (void)gpt.evaluate_with_logits(logits);

  std::ofstream output(arguments[4], std::ios::binary);
  output.write(reinterpret_cast<const char*>(logits.data()), static_cast<std::streamsize>(logits.size() * sizeof(float)));
  if (!output.flush()) throw virgil::user_error("{}: cannot be written", arguments[4]);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 6) {
    fmt::print(stderr, "usage: dump_logits CHECKPOINT BATCH_SIZE LENGTH TOKENS OUTPUT\n");
    return 2;
  }
  try {
    run({argv + 1, argv + argc});
    return 0;
  } catch (const std::exception& error) {
    fmt::print(stderr, "error: {}\n", error.what());
    return 2;
  }
}

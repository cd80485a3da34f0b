#include "virgil/command/generate_command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <span>
#include <sstream>

#include "support/user_error.h"
#include "train/tiny_run.h"
#include "virgil/base/format.h"
#include "virgil/format/pretrained_model.h"
#include "virgil/generate/inference_model.h"
#include "virgil/model/inference_plan.h"

namespace virgil {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using test_support::TinyRun;
using test_support::user_error_of;
using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

/// A run of a few steps, shared by all tests: its text is nonsense, which is all they need.
class GenerateCommand : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    directory_ = std::make_unique<test_support::TemporaryDirectory>();
    TrainConfig config = test_support::tiny_config(directory_->path());
    config.save_interval = 4;
    TinyRun run(config);
    ASSERT_EQ(run.train(), RunStatus::kFinished);
  }
  static void TearDownTestSuite() { directory_.reset(); }

  static fs::path run_folder() { return directory_->path() / "runs" / "run"; }

  static GenerateRequest request() {
    GenerateRequest request;
    request.checkpoint = (run_folder() / "step-00000008").string();
    request.prompt = "ba co";
    request.device.threads = 1;
    request.options.max_new_tokens = 30;
    request.options.seed = 3;
    return request;
  }
  std::string generate(const GenerateRequest& request, const std::string& input = "") {
    std::istringstream in(input);
    std::ostringstream out;
    run_generate(request, in, out, log_);
    return out.str();
  }
  std::string refused(const GenerateRequest& request, const std::string& input = "") {
    std::istringstream in(input);
    std::ostringstream out;
    const std::string message = user_error_of([&] { run_generate(request, in, out, log_); });
    EXPECT_THAT(out.str(), IsEmpty());
    return message;
  }
  static std::vector<Json> json_lines(const std::string& text) {
    std::vector<Json> lines;
    std::istringstream stream(text);
    for (std::string line; std::getline(stream, line);) lines.push_back(Json::parse(line));
    return lines;
  }

  static inline std::unique_ptr<test_support::TemporaryDirectory> directory_;
  RecordingLogger log_;
};

TEST_F(GenerateCommand, ContinuesThePrompt) {
  const std::string text = generate(request());
  EXPECT_THAT(text, StartsWith("ba co"));
  EXPECT_GE(text.size(), 5U + 15U + 1U) << "30 tokens are 15 characters at least";
  EXPECT_EQ(text.back(), '\n');
}

TEST_F(GenerateCommand, RepeatsForTheSameSeed) {
  GenerateRequest other = request();
  other.options.seed = 4;
  EXPECT_EQ(generate(request()), generate(request()));
  EXPECT_NE(generate(request()), generate(other));
}

TEST_F(GenerateCommand, IsTheSameHoweverThePromptComes) {
  const std::string expected = generate(request());
  GenerateRequest from_file = request();
  from_file.prompt.reset();
  from_file.prompt_file = (directory_->path() / "prompt.txt").string();
  test_support::write_all(from_file.prompt_file, "ba co");
  EXPECT_EQ(generate(from_file), expected);
  GenerateRequest from_input = request();
  from_input.prompt.reset();
  EXPECT_EQ(generate(from_input, "ba co"), expected);
}

TEST_F(GenerateCommand, IsTheSameStreamedOrNot) {
  GenerateRequest streamed = request();
  streamed.stream = true;
  streamed.stops = {"zz"};
  EXPECT_EQ(generate(streamed), generate(request()));
}

TEST_F(GenerateCommand, WritesJson) {
  GenerateRequest json = request();
  json.json = true;
  json.num_samples = 3;
  const std::vector<Json> lines = json_lines(generate(json));
  ASSERT_EQ(lines.size(), 1U);
  const Json& result = lines[0];
  EXPECT_EQ(result["prompt"], "ba co");
  EXPECT_EQ(result["prompt_tokens"], 5);
  EXPECT_EQ(result["step"], 8);
  EXPECT_EQ(result["seed"], 3);
  EXPECT_EQ(result["max_new_tokens"], 30);
  ASSERT_EQ(result["samples"].size(), 3U);
  for (const Json& sample : result["samples"]) {
    EXPECT_EQ(sample["num_tokens"], 30);
    EXPECT_EQ(sample["finish_reason"], "length");
  }
  EXPECT_NE(result["samples"][0]["text"], result["samples"][1]["text"]);
  EXPECT_EQ("ba co" + result["samples"][0]["text"].get<std::string>() + "\n", generate(request()))
      << "the first of several samples is the only one of one";
}

TEST_F(GenerateCommand, StreamsJsonPieceByPiece) {
  GenerateRequest json = request();
  json.json = json.stream = true;
  json.num_samples = 2;
  const std::vector<Json> lines = json_lines(generate(json));
  std::vector<std::string> texts(2);
  for (std::size_t i = 0; i + 1 < lines.size(); ++i) texts[lines[i]["sample"]] += lines[i]["text"].get<std::string>();
  for (std::size_t s = 0; s < 2; ++s) EXPECT_EQ(lines.back()["samples"][s]["text"], texts[s]);
}

TEST_F(GenerateCommand, MarksSeveralSamples) {
  GenerateRequest several = request();
  several.num_samples = 2;
  EXPECT_THAT(generate(several), AllOf(StartsWith("---- sample 1 ----\nba co"), HasSubstr("\n---- sample 2 ----\nba co")));
}

TEST_F(GenerateCommand, EndsAtAStopText) {
  const std::string whole = generate(request());
  const auto found = std::find_if(whole.begin() + 8, whole.end(), [](char c) { return c > 0; });  // a whole character
  ASSERT_NE(found, whole.end());
  const std::string stop(1, *found);
  GenerateRequest json = request();
  json.json = true;
  json.stops = {stop};
  const Json sample = json_lines(generate(json))[0]["samples"][0];
  EXPECT_EQ(sample["finish_reason"], "stop");
  EXPECT_EQ(sample["text"], whole.substr(5, whole.find(stop, 5) - 5));
  EXPECT_LT(sample["num_tokens"], 30);
}

TEST_F(GenerateCommand, AnswersEachLineWhenInteractive) {
  GenerateRequest interactive = request();
  interactive.prompt.reset();
  interactive.interactive = true;
  interactive.json = true;
  const std::vector<Json> lines = json_lines(generate(interactive, "ba co\n\nba co"));
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_EQ(lines[0]["samples"], json_lines(generate([] {
              GenerateRequest single = request();
              single.json = true;
              return single;
            }()))[0]["samples"]);
  EXPECT_NE(lines[0]["samples"], lines[1]["samples"]) << "the same line again gets another answer";
  EXPECT_THAT(log_.lines(), Contains(AllOf(HasSubstr("warning"), HasSubstr("prompt is empty"))));
}

TEST_F(GenerateCommand, ReadsLinesAsTrainingReadsATextsLines) {
  GenerateRequest interactive = request();
  interactive.prompt.reset();
  interactive.interactive = true;
  EXPECT_EQ(generate(interactive,
                     "\xEF\xBB\xBF"
                     "ba co\r\nfumi\r\n"),
            generate(interactive, "ba co\nfumi"));
  GenerateRequest piped = request();
  piped.prompt.reset();
  EXPECT_EQ(generate(piped,
                     "\xEF\xBB\xBF"
                     "ba co\r\nfumi"),
            generate(piped, "ba co\nfumi"));
}

TEST_F(GenerateCommand, TakesCommandsAtATerminalOnly) {
  GenerateRequest interactive = request();
  interactive.prompt.reset();
  interactive.interactive = true;
  interactive.json = true;
  const std::string typed = "/help\nba co\n/quit\nfumi\n";
  EXPECT_EQ(json_lines(generate(interactive, typed)).size(), 4U) << "from a pipe every line is a prompt";
  interactive.json = false;
  interactive.stream = true;
  interactive.interactive_marker = "> ";
  const std::string session = generate(interactive, typed);
  EXPECT_EQ(std::ranges::count(session, '>'), 3) << session;
  EXPECT_THAT(log_.lines(), Contains(HasSubstr("/help tells more")));
  EXPECT_THAT(log_.lines(), Contains(HasSubstr("/quit or Ctrl-D ends, Ctrl-C stops at once")));
}

TEST_F(GenerateCommand, ComputesInTheTypeAskedForAndSaysWhatThatTakes) {
  GenerateRequest half = request();
  half.dtype = "bfloat16";
  half.json = true;
  EXPECT_EQ(json_lines(generate(half))[0]["dtype"], "bfloat16");
  const InferenceModel model(half.checkpoint, {.num_sequences = 1, .batch_size = 0, .dtype = "bfloat16", .device = half.device},
                             log_);
  const MemoryPlan plan =
      plan_inference(model.plan().model(), {.num_sequences = 1, .dtype = DType::kBFloat16}, model.backend().traits());
  EXPECT_EQ(model.plan().total_bytes(), plan.total_bytes());
  std::int64_t allocated = 0;
  for (const PlanItem& item : plan.items()) allocated += std::ssize(model.memory().bytes(item.slot));
  EXPECT_EQ(allocated, plan.total_bytes()) << "the plan is what is allocated";
  EXPECT_THAT(log_.lines(), Contains(AllOf(HasSubstr(format_bytes(plan.total_bytes()) + " planned in bfloat16"))));
  EXPECT_THAT(log_.lines(),
              Contains(AllOf(HasSubstr("speed"), HasSubstr("prompt 5 tokens, "), HasSubstr("generated 30 tokens, "))));
  half.dtype = "float16";
  EXPECT_THAT(refused(half), AllOf(HasSubstr("dtype is \"float16\""), HasSubstr("float32"), HasSubstr("bfloat16")));
}

TEST_F(GenerateCommand, WritesValidUtf8WhateverThePrompt) {
  GenerateRequest broken = request();
  broken.prompt = "a\xC3";
  broken.json = true;
  EXPECT_EQ(json_lines(generate(broken))[0]["prompt"], "a\uFFFD");
}

TEST_F(GenerateCommand, SaysWhenThePromptIsLongerThanTheContext) {
  GenerateRequest longer = request();
  longer.prompt = std::string(40, 'b');
  (void)generate(longer);
  EXPECT_THAT(log_.lines(), Contains(AllOf(HasSubstr("40 tokens"), HasSubstr("last 15"))));
}

TEST_F(GenerateCommand, TakesTheBestOfARunElseTheNewest) {
  GenerateRequest best = request();
  best.checkpoint = (run_folder() / "best").string();
  GenerateRequest run = request();
  run.checkpoint = run_folder().string();
  EXPECT_EQ(generate(run), generate(best));
  EXPECT_THAT(log_.lines(), Contains(AllOf(HasSubstr(run_folder().string()), HasSubstr("best"))));

  fs::copy(run_folder(), directory_->path() / "copy", fs::copy_options::recursive);
  fs::remove_all(directory_->path() / "copy" / "best");
  EXPECT_EQ(find_checkpoint(directory_->path() / "copy", log_), directory_->path() / "copy" / "step-00000008");
  EXPECT_THAT(log_.lines().back(), HasSubstr("newest"));
}

TEST_F(GenerateCommand, RefusesOptionsOutOfRange) {
  const auto with = [](auto&& change) {
    GenerateRequest changed = request();
    change(changed);
    return changed;
  };
  EXPECT_THAT(refused(with([](auto& r) { r.options.sampling.top_p = 1.5; })), HasSubstr("top_p is 1.5"));
  EXPECT_THAT(refused(with([](auto& r) { r.options.sampling.temperature = -1; })), HasSubstr("temperature"));
  EXPECT_THAT(refused(with([](auto& r) { r.options.sampling.top_k = -1; })), HasSubstr("top_k"));
  EXPECT_THAT(refused(with([](auto& r) { r.options.sampling.repetition_penalty = 0; })), HasSubstr("repetition_penalty"));
  EXPECT_THAT(refused(with([](auto& r) { r.options.max_new_tokens = 0; })), HasSubstr("max_new_tokens"));
  EXPECT_THAT(refused(with([](auto& r) { r.num_samples = 0; })), HasSubstr("num_samples"));
  EXPECT_THAT(refused(with([](auto& r) { r.device.threads = -1; })), HasSubstr("threads"));
  EXPECT_THAT(refused(with([](auto& r) { r.device.device = "gpu"; })), HasSubstr("not a device"));
  EXPECT_THAT(refused(with([](auto& r) { r.device.device = "cuda"; })), HasSubstr("no CUDA backend"));
  EXPECT_THAT(refused(with([](auto& r) { r.stops = {""}; })), HasSubstr("stop"));
  EXPECT_THAT(refused(with([](auto& r) { r.stream = true, r.num_samples = 2; })), HasSubstr("num_samples"));
  EXPECT_THAT(refused(with([](auto& r) { r.interactive = true; })), HasSubstr("interactive"));
  EXPECT_THAT(refused(with([](auto& r) { r.prompt_file = "x"; })), HasSubstr("prompt_file"));
}

TEST_F(GenerateCommand, RefusesAnEmptyPrompt) {
  GenerateRequest empty = request();
  empty.prompt = "";
  EXPECT_THAT(refused(empty), HasSubstr("prompt is empty"));
  empty.prompt.reset();
  EXPECT_THAT(refused(empty), HasSubstr("prompt is empty")) << "nothing on standard input";
}

TEST_F(GenerateCommand, RefusesAMissingOrDamagedCheckpoint) {
  GenerateRequest missing = request();
  missing.checkpoint = (directory_->path() / "absent").string();
  EXPECT_THAT(refused(missing), HasSubstr("absent"));
  missing.checkpoint = directory_->path().string();
  EXPECT_THAT(refused(missing), HasSubstr("neither a checkpoint nor a run"));

  fs::copy(run_folder() / "best", directory_->path() / "damaged", fs::copy_options::recursive);
  test_support::write_all(directory_->path() / "damaged" / "model.safetensors", "damaged");
  missing.checkpoint = (directory_->path() / "damaged").string();
  EXPECT_THAT(refused(missing), HasSubstr("damaged/model.safetensors"));
}

TEST_F(GenerateCommand, RefusesATokenizerOfAnotherVocabulary) {
  // A checkpoint that is whole, but was given a tokenizer with more ids than its model has rows.
  LoadedCheckpoint good = load_checkpoint(run_folder() / "best");
  const auto bytes = make_tokenizer("byte", "");
  CheckpointContents contents;
  contents.model = good.model;
  contents.tokenizer = bytes.get();
  contents.state = good.state;
  for (const SafetensorsFile::Entry& entry : good.parameters.entries()) {
    if (ParameterLayout layout{trainable(good.model)};
        std::ranges::none_of(layout.parameters(), [&](const ParameterSpec& spec) { return spec.name == entry.name; })) {
      continue;  // zero biases for other programs
    }
    contents.parameters.push_back(
        {entry.name, DType::kFloat32, entry.shape, [&entry](std::span<std::byte> dst, std::int64_t at) {
           std::ranges::copy(entry.bytes.subspan(static_cast<std::size_t>(at), dst.size()), dst.begin());
         }});
  }
  test_support::UnsyncedFileSystem files;
  save_checkpoint(files, directory_->path() / "foreign", contents);
  GenerateRequest foreign = request();
  foreign.checkpoint = (directory_->path() / "foreign").string();
  EXPECT_THAT(refused(foreign), AllOf(HasSubstr("foreign"), HasSubstr("byte has 256 tokens"), HasSubstr("vocab_size")));
}

}  // namespace
}  // namespace virgil

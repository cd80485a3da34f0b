#include "virgil/command/generate_command.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <istream>
#include <nlohmann/json.hpp>
#include <ostream>
#include <string_view>

#include "virgil/base/error.h"
#include "virgil/base/format.h"
#include "virgil/data/text_bytes.h"
#include "virgil/generate/inference_model.h"
#include "virgil/generate/prompt.h"
#include "virgil/generate/text_stream.h"

namespace virgil {

namespace {

using Json = nlohmann::ordered_json;

void check_request(const GenerateRequest& request) {
  check_generation_options(request.options);
  if (request.num_samples < 1 || request.num_samples > kMaxSamples) {
    throw user_error("num_samples is {}: choose 1 to {}", request.num_samples, kMaxSamples);
  }
  const int num_prompts = (request.prompt ? 1 : 0) + (request.prompt_file.empty() ? 0 : 1) + (request.interactive ? 1 : 0);
  if (num_prompts > 1) throw user_error("prompt, prompt_file and interactive each say where prompts come from: give one");
  if (request.stream && request.num_samples > 1 && !request.json) {
    throw user_error("stream shows one sample as it grows, and num_samples is {}: leave one of the two out, or add --json",
                     request.num_samples);
  }
}

/// One continuation as it grows.
struct Sample {
  TextStream stream;
  std::string text;
  std::int64_t num_tokens = 0;
  const char* finish_reason = "length";
};

/// Tokens read and made, and how long that took.
class Speed {
 public:
  /// A prompt is about to be read.
  void begin(std::int64_t prompt_tokens) {
    num_read_ += prompt_tokens;
    last_ = Clock::now();
  }
  /// A token was made. The first after a prompt comes with reading it.
  void token(bool first) {
    const auto now = Clock::now();
    (first ? reading_s_ : making_s_) += std::chrono::duration<double>(now - last_).count();
    if (first) last_first_s_ = std::chrono::duration<double>(now - last_).count();
    num_prompts_ += first ? 1 : 0;
    last_ = now;
    ++num_made_;
    num_timed_ += first ? 0 : 1;
  }
  [[nodiscard]] std::string describe() const {
    const std::string first =
        num_prompts_ == 0 ? ""
                          : fmt::format("; first token after {:.0f} ms", 1000 * reading_s_ / static_cast<double>(num_prompts_));
    return fmt::format("speed    prompt {}{}{}; generated {}{}", describe_count(num_read_),
                       describe_rate(num_read_, reading_s_), first, describe_count(num_made_),
                       describe_rate(num_timed_, making_s_));
  }
  /// Milliseconds from the last prompt's beginning to its first token, and tokens a second behind the first ones.
  [[nodiscard]] double last_first_token_ms() const { return 1000 * last_first_s_; }
  [[nodiscard]] double tokens_per_s() const { return making_s_ > 0 ? static_cast<double>(num_timed_) / making_s_ : 0; }

 private:
  using Clock = std::chrono::steady_clock;
  static std::string describe_count(std::int64_t count) {
    return fmt::format("{} token{}", format_count(count), count == 1 ? "" : "s");
  }
  static std::string describe_rate(std::int64_t count, double seconds) {
    if (count == 0 || seconds <= 0) return {};
    const double rate = static_cast<double>(count) / seconds;
    return fmt::format(", {} tokens/s", rate < 10 ? fmt::format("{:.2g}", rate) : format_count(std::llround(rate)));
  }

  Clock::time_point last_;
  double reading_s_ = 0;
  double making_s_ = 0;
  double last_first_s_ = 0;
  std::int64_t num_prompts_ = 0;
  std::int64_t num_read_ = 0;
  std::int64_t num_made_ = 0;
  std::int64_t num_timed_ = 0;  // made after the first of their prompt
};

/// Writes what happens in the form that was asked for.
class Writer {
 public:
  Writer(const GenerateRequest& request, std::ostream& out) : request_(request), out_(out) {}

  void begin(const std::string& prompt) {
    if (request_.stream && !request_.json && !request_.interactive) write(prompt);
  }

  void piece(std::size_t sample, const std::string& text) {
    if (!request_.stream || text.empty()) return;
    if (request_.json) {
      write(Json({{"sample", sample}, {"text", text}}).dump() + "\n");
    } else {
      write(text);
    }
  }

  void end(const Json& facts, const std::string& prompt, const std::vector<Sample>& samples) {
    if (request_.json) {
      Json result = facts;
      result["samples"] = Json::array();
      for (const Sample& sample : samples) {
        result["samples"].push_back(
            {{"text", sample.text}, {"num_tokens", sample.num_tokens}, {"finish_reason", sample.finish_reason}});
      }
      write(result.dump() + "\n");
    } else if (request_.stream) {
      write("\n");
    } else {
      for (std::size_t i = 0; i < samples.size(); ++i) {
        if (samples.size() > 1) write(fmt::format("---- sample {} ----\n", i + 1));
        write((request_.interactive ? "" : prompt) + samples[i].text + "\n");
      }
    }
  }

  void write(std::string_view text) {
    out_ << text << std::flush;
    if (!out_) throw user_error("cannot write the output: is the disk full, or the reader gone?");
  }

 private:
  const GenerateRequest& request_;
  std::ostream& out_;
};

class Session {
 public:
  Session(const GenerateRequest& request, std::ostream& out, Logger& log)
      : request_(request),
        log_(log),
        model_(request.checkpoint,
               {.num_sequences = request.num_samples, .batch_size = 0, .dtype = request.dtype, .device = request.device}, log),
        decoder_(model_.backend(), model_.plan(), model_.memory()),
        writer_(request, out) {}

  /// Continues one prompt. `number` tells the prompts of a session apart, so that equal ones get different samples.
  void answer(const std::string& prompt, std::uint32_t number) {
    const auto start = std::chrono::steady_clock::now();
    const Tokenizer& tokenizer = model_.tokenizer();
    const std::vector<std::int32_t> tokens = encode_prompt(tokenizer, prompt, request_.new_document, log_);
    note_long_prompt(std::ssize(tokens));
    GenerationOptions options = request_.options;
    options.step = number;
    options.num_choices = tokenizer.vocab_size();
    std::vector<Sample> samples(static_cast<std::size_t>(request_.num_samples), {TextStream(tokenizer, request_.stops), {}});

    const std::string shown_prompt = to_valid_utf8(prompt);
    TextGenerator generator(decoder_, options);
    speed_.begin(std::ssize(tokens));
    is_first_token_ = true;
    bool has_begun = false;
    generator.run(tokens, [&](std::int64_t sequence, std::int32_t token) {
      // Not before there is a token: a model that computes nothing usable leaves no half answer.
      if (!has_begun) writer_.begin(shown_prompt);
      has_begun = true;
      return take(samples[static_cast<std::size_t>(sequence)], static_cast<std::size_t>(sequence), token);
    });
    for (std::size_t i = 0; i < samples.size(); ++i) {
      const std::string rest = samples[i].stream.finish();
      samples[i].text += rest;
      writer_.piece(i, rest);
    }
    const double elapsed_ms = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
    writer_.end(facts(shown_prompt, std::ssize(tokens), elapsed_ms), shown_prompt, samples);
  }

  void write(std::string_view text) { writer_.write(text); }
  [[nodiscard]] const Tokenizer& tokenizer() const { return model_.tokenizer(); }
  void report_speed() { log_.info(speed_.describe()); }

 private:
  /// Whether the sample goes on after this token.
  bool take(Sample& sample, std::size_t index, std::int32_t token) {
    speed_.token(is_first_token_);
    is_first_token_ = false;
    if (token == model_.tokenizer().end_of_text()) {
      sample.finish_reason = "end_of_text";
      return false;
    }
    ++sample.num_tokens;
    const std::string text = sample.stream.push(token);
    sample.text += text;
    writer_.piece(index, text);
    if (sample.stream.stopped()) sample.finish_reason = "stop";
    return !sample.stream.stopped();
  }

  void note_long_prompt(std::int64_t num_tokens) {
    const std::int64_t context = decoder_.shape().max_length;
    if (num_tokens < context) return;
    log_.warn(fmt::format("the prompt has {} tokens and the model sees {} at most: only the last {} are read", num_tokens,
                          context, std::max<std::int64_t>(1, context - 1)));
  }

  [[nodiscard]] Json facts(const std::string& prompt, std::int64_t prompt_tokens, double elapsed_ms) const {
    const GenerationOptions& options = request_.options;
    return {{"checkpoint", to_valid_utf8(model_.directory().string())},
            {"step", model_.step()},
            {"prompt", prompt},
            {"prompt_tokens", prompt_tokens},
            {"max_new_tokens", options.max_new_tokens},
            {"temperature", options.sampling.temperature},
            {"top_k", options.sampling.top_k},
            {"top_p", options.sampling.top_p},
            {"repetition_penalty", options.sampling.repetition_penalty},
            {"seed", options.seed},
            {"dtype", name_of(model_.plan().dtype())},
            {"elapsed_ms", elapsed_ms},
            {"first_token_ms", speed_.last_first_token_ms()},
            {"tokens_per_s", speed_.tokens_per_s()}};
  }

  const GenerateRequest& request_;
  Logger& log_;
  InferenceModel model_;
  GptDecoder decoder_;
  Writer writer_;
  Speed speed_;
  bool is_first_token_ = true;  // of a prompt
};

std::string read_prompt(const GenerateRequest& request, std::istream& in, Logger& log) {
  if (request.prompt) return prompt_from_bytes(*request.prompt, "--prompt", log);
  if (!request.prompt_file.empty()) return prompt_from_file(request.prompt_file, log);
  return prompt_from_stream(in, log);
}

/// What a line typed at a terminal asks for instead of a continuation.
enum class Command : std::uint8_t { kNone, kHelp, kQuit };

Command command_of(std::string_view line) {
  if (line == "/help") return Command::kHelp;
  for (const std::string_view word : {"/quit", "/exit", "quit", "exit"}) {
    if (line == word) return Command::kQuit;
  }
  return Command::kNone;
}

void show_help(const Tokenizer& tokenizer, Logger& log) {
  log.info("each line you type is a prompt, and the model continues it; lines do not see each other");
  if (tokenizer.end_of_text() >= 0) log.info("an empty line lets the model begin a new document");
  log.info("/quit or Ctrl-D ends, Ctrl-C stops at once, /help shows this");
}

void run_interactive(Session& session, const GenerateRequest& request, std::istream& in, Logger& log) {
  const bool is_typed = !request.interactive_marker.empty();
  if (is_typed) log.info("type a text and the model continues it; /help tells more, /quit or Ctrl-D ends");
  TextLines lines(in, kStandardInput);
  std::string line;
  for (std::uint32_t number = 0;;) {
    session.write(request.interactive_marker);
    if (!lines.next(line, log)) return;
    const Command command = is_typed ? command_of(line) : Command::kNone;
    if (command == Command::kQuit) return;
    if (command == Command::kHelp) {
      show_help(session.tokenizer(), log);
      continue;
    }
    try {
      check_prompt(line, kStandardInput);
      session.answer(line, number++);
    } catch (const UserError& error) {
      log.warn(error.what());  // the next line may be better
    }
  }
}

}  // namespace

void run_generate(const GenerateRequest& request, std::istream& in, std::ostream& out, Logger& log) {
  check_request(request);
  if (request.interactive) {
    Session session(request, out, log);
    run_interactive(session, request, in, log);
    session.report_speed();
    return;
  }
  const bool is_given = request.prompt || !request.prompt_file.empty();
  std::string prompt;
  if (is_given) prompt = read_prompt(request, in, log);
  Session session(request, out, log);
  // Nobody types a prompt for a model that is not there.
  if (!is_given) prompt = read_prompt(request, in, log);
  session.answer(prompt, 0);
  session.report_speed();
}

}  // namespace virgil

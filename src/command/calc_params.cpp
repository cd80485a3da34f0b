#include "virgil/command/calc_params.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <ostream>
#include <utility>
#include <vector>

#include "command/calc_budget.h"
#include "command/interactive.h"
#include "virgil/base/error.h"
#include "virgil/config/program_flags.h"
#include "virgil/config/program_name.h"
#include "virgil/config/program_version.h"
#include "virgil/plan/generation_estimate.h"
#include "virgil/report/calls_report.h"
#include "virgil/report/fit_report.h"
#include "virgil/report/inference_report.h"
#include "virgil/report/model_report.h"
#include "virgil/report/plan_json.h"
#include "virgil/report/verify.h"

namespace virgil {

namespace {

using Json = nlohmann::ordered_json;

constexpr double kDefaultTflops = 100;
constexpr std::int64_t kMaxProcesses = 65536;

std::span<const ToolFlag> calc_params_flags() {
  using enum ToolFlag::Takes;
  static const std::vector<ToolFlag> flags = {
      {"model", kValue, "NAME", "A published model: gpt2-xl, gpt3-175b, llama3-70b, mistral-7b ..."},
      {"hf", kValue, "FILE", "A Hugging Face config.json, or its folder (gpt2, virgil, llama, mistral, qwen2)."},
      {"interactive", kNothing, "", "Ask for the sizes, then offer to save the configuration."},
      {"show_formula", kNothing, "", "Every line of the count, symbolic and with numbers."},
      {"tensors", kNothing, "", "List every tensor."},
      {"calls", kNothing, "", "A training step, call by call: operands, operations, bytes, scratch, places in memory."},
      {"json", kNothing, "", "Print all of it as JSON."},
      {"compare", kTwoValues, "A B", "Two models side by side: names, config files or Hugging Face files."},
      {"fits", kOptionalValue, "[MEMORY]",
       "Does training fit, such as into 12GB? Without a value: what is free, or the GPU's memory."},
      {"gpu", kValue, "NAME", "Plan for a GPU of data/gpus.json, not for this machine: does it fit? Also the rate for times."},
      {"weights", kValue, "TYPE",
       "Does generating fit, with weights of float32, bfloat16, int8 or int4? Without a model: the largest published one that does."},
      {"solve", kValue, "WHAT", "Largest batch_size, block_size, n_layer or n_embd that fits, or target_params=150M."},
      {"matrix", kNothing, "", "Memory of every batch size and recomputation level."},
      {"verify", kNothing, "", "Run two real steps and compare with the plan."},
      {"run", kValue, "DIR", "Compare a finished run with its plan."},
      {"budget", kValue, "TIME",
       "What to train on --input in that time (2h, 90min, 3days): models, tokens, loss, the command."},
      {"price", kValue, "AMOUNT", "With --budget: what an hour of each processor or GPU costs."},
      {"processes", kValue, "N", "Plan each of N processes that train together (see zero_stage, grad_reduce_dtype)."},
      {"tflops", kValue, "RATE", "Sustained rate in TFLOP/s for training times (100)."},
      {"position", kValue, "KIND", "learned or rotary."},
      {"norm", kValue, "KIND", "layernorm or rmsnorm."},
      {"pad_vocab", kValue, "N", "Pad the vocabulary to a multiple of N; 1: not at all."},
  };
  return flags;
}

std::string help_text() {
  return fmt::format(
      "Counts parameters exactly and plans memory exactly: the plan is what train allocates.\n\n"
      "  calc_params 150M_1024 [flags]              a preset or a config file\n"
      "  calc_params --model llama3-70b\n"
      "  calc_params --n_layer 24 --n_embd 1280 --n_head 16 --block_size 1024 --fits 12GB\n"
      "  calc_params --budget 2h --input book.txt   the model to train in two hours, and its command\n"
      "  calc_params --weights int4 --fits 24GB     the largest published model that can generate there\n\n"
      "{}\n"
      "  --config FILE and every configuration key are taken as train takes them (train --help).\n"
      "  Exit code: 0; 1 when the question was what fits, and training does not or Virgil does not train the model; 2 for an\n"
      "  error.\n",
      describe_flags(calc_params_flags()));
}

ArchitectureOverrides read_overrides(const ToolArguments& arguments) {
  ArchitectureOverrides overrides;
  overrides.vocab_multiple = arguments.positive_integer("pad_vocab");
  if (const auto kind = arguments.value("position")) overrides.position = parse_position(*kind);
  if (const auto kind = arguments.value("norm")) overrides.norm = parse_norm(*kind);
  return overrides;
}

/// In the type that is planned for the GPU asked about.
Rate read_rate(const ToolArguments& arguments, const MachineRequest& request, DType dtype) {
  if (const auto tflops = arguments.positive_number("tflops")) return {*tflops, "as given"};
  if (request.gpu != nullptr) return sustained_rate(*request.gpu, dtype);
  return {kDefaultTflops, "set another with --tflops or --gpu"};
}

std::int64_t read_processes(const ToolArguments& arguments, const std::string& folder) {
  const std::int64_t processes = arguments.positive_integer("processes").value_or(1);
  if (processes > kMaxProcesses) throw user_error("--processes is {}; at most {} are planned", processes, kMaxProcesses);
  if (processes > 1 && arguments.has("verify")) {
    throw user_error(
        "--verify runs in one process, and --processes is {}: leave it out, or start the processes: {} ... --max_iters 2 ends "
        "with the plan and what was allocated",
        processes, train_command(folder, processes));
  }
  if (arguments.has("gpu") && arguments.has("verify")) {
    throw user_error("--verify runs on this machine, and --gpu {} plans for another; give one of the two",
                     *arguments.value("gpu"));
  }
  if (arguments.has("processes") && arguments.has("run")) {
    throw user_error("--run reads from the run how many processes it had; leave --processes out");
  }
  return processes;
}

/// `calc_params 150M_1024` is `calc_params --config configs/150M_1024.json`, `calc_params gpt2-xl` --model gpt2-xl.
void take_word(CommandLine& line, SubjectSource& source) {
  const std::string& word = line.words.front();
  if (line.words.size() > 1) {
    throw user_error("{} and {}: one model at a time; two side by side: calc_params --compare {} {}", word, line.words[1], word,
                     line.words[1]);
  }
  if (!line.config_file.empty() || !source.model.empty() || !source.hf_file.empty()) {
    throw user_error("{}: the model is named by a flag already; leave one of the two out", word);
  }
  const WordMeaning meaning = meaning_of_word(word);
  source = meaning.source;
  if (!meaning.config_file.empty()) line = with_config(line, meaning.config_file);
}

/// Whether a flag shapes the blocks of a model.
bool names_blocks(const CommandLine& line) {
  return std::ranges::any_of(line.set_keys, [](const std::string& key) {
    return key == "n_layer" || key == "n_head" || key == "n_embd" || key == "d_ff";
  });
}

/// Whether a flag shapes a model; block_size alone is how much of a model's context is meant.
bool names_sizes(const CommandLine& line) {
  return names_blocks(line) || std::ranges::find(line.set_keys, "vocab_size") != line.set_keys.end();
}

/// One question about one model.
class Calculation {
 public:
  Calculation(const ToolArguments& arguments, Subject subject, std::ostream& out)
      : arguments_(arguments),
        subject_(std::move(subject)),
        request_(machine_request(arguments.value("gpu"), arguments.value("fits"))),
        planned_(plan_subject(subject_, request_)),
        rate_(read_rate(arguments, request_, planned_.shape.dtype)),
        out_(out) {}

  /// `names_model`: the command says which.
  int run(bool names_model) {
    if (arguments_.has("weights")) return weights(names_model);
    if (arguments_.has("solve")) return solve();
    if (arguments_.has("verify")) return verify();
    if (arguments_.has("json")) return print_json();
    if (arguments_.has("calls")) return print(describe_calls(planned_.get(), planned_.traits()));
    if (arguments_.has("matrix")) return print(describe_matrix(planned_));
    if (arguments_.has("show_formula")) return print(describe_formulas(subject_, planned_));
    if (arguments_.has("tensors")) return print(describe_tensors(subject_.spec));
    out_ << describe_parameters(subject_.spec) << "\n"
         << describe_inference(subject_, planned_, request_.gpu) << "\n"
         << describe_training(subject_, planned_) << "\n"
         << describe_work(subject_.spec, rate_);
    if (!asks_about_memory()) return 0;
    out_ << "\n" << describe_fit(subject_, planned_);
    return exit_code();
  }

 private:
  [[nodiscard]] bool asks_about_memory() const {
    return arguments_.has("fits") || arguments_.has("gpu") || arguments_.has("solve") || arguments_.has("matrix");
  }
  [[nodiscard]] int exit_code() const {
    if (!subject_.trainable) return 1;
    return judge(planned_.get().total_bytes(), planned_.budget.limit_bytes) == Verdict::kNo ? 1 : 0;
  }
  int print(const std::string& text) {
    out_ << text;
    return 0;
  }

  int print(const Json& json) { return print(json.dump(2) + "\n"); }

  int print_json() {
    Json json = model_json(subject_, planned_, rate_, arguments_.has("tensors"), request_.gpu);
    if (arguments_.has("show_formula")) json["formulas"] = formulas_json(subject_, planned_);
    if (arguments_.has("matrix")) json["matrix"] = matrix_json(planned_);
    if (arguments_.has("calls")) json["step"] = calls_json(planned_.get(), planned_.traits());
    if (asks_about_memory()) json["fits"] = fit_json(subject_, planned_);
    print(json);
    return asks_about_memory() && !arguments_.has("matrix") ? exit_code() : 0;
  }

  int verify() {
    const Verification verification = verify_plan(planned_);
    if (!arguments_.has("json")) return print(describe_verification(verification));
    return print(Json{{"first_loss", verification.first_loss},
                      {"step_seconds", verification.step_seconds},
                      {"memory", memory_json(verification.memory)}});
  }

  int weights(bool names_model) {
    const WeightType& type = parse_weight_type(*arguments_.value("weights"));
    if (!planned_.machine) throw UserError(planned_.why_not);
    const Subject* subject = names_model ? &subject_ : nullptr;
    const std::vector<std::string>& keys = subject_.command_line.set_keys;
    const bool has_context = names_model || std::ranges::find(keys, "block_size") != keys.end();
    GenerationShape shape = generation_shape(subject_);
    if (!has_context) shape.context = 0;  // each model's own
    const WeightsAnswer answer = answer_weights(type, subject, shape, planned_.budget, request_.gpu);
    out_ << (arguments_.has("json") ? weights_json(type, subject, shape, planned_.budget).dump(2) + "\n" : answer.text);
    return answer.fits ? 0 : 1;
  }

  int solve() {
    const SolveQuestion question = parse_solve_question(*arguments_.value("solve"));
    const bool json = arguments_.has("json");
    if (!question.variable) {
      if (!subject_.trainable) throw UserError(subject_.why_not);
      return json ? print(models_json(question.target_params, *subject_.trainable))
                  : print(describe_models_of_size(question.target_params, *subject_.trainable));
    }
    const SolveAnswer answer = solve_for(*question.variable, planned_, subject_.command_line);
    json ? print(solve_json(*question.variable, planned_, answer)) : print(answer.text);
    return answer.shape ? 0 : 1;
  }

  const ToolArguments& arguments_;
  Subject subject_;
  MachineRequest request_;
  PlannedSubject planned_;
  Rate rate_;
  std::ostream& out_;
};

int compare(const ToolArguments& arguments, const Subject& a, const Subject& b, std::ostream& out) {
  const MachineRequest request = machine_request(arguments.value("gpu"), arguments.value("fits"));
  const PlannedSubject plan_a = plan_subject(a, request);
  const PlannedSubject plan_b = plan_subject(b, request);
  const Rate rate = read_rate(arguments, request, plan_a.shape.dtype);
  out << (arguments.has("json") ? compare_json(a, plan_a, b, plan_b, rate).dump(2) + "\n"
                                : compare_models(a, plan_a, b, plan_b));
  return 0;
}

}  // namespace

int run_calc_params(std::span<const std::string> arguments, std::istream& in, std::ostream& out, Logger& log,
                    std::string_view started_as) {
  auto [line, parsed] = parse_program_line(arguments, {.program = "calc_params", .own = calc_params_flags()});
  if (line.help || line.version || arguments.empty()) {
    out << (line.version ? program_version("calc_params") : help_text());
    return 0;
  }
  tell_notes(line.notes, log);
  line.program_folder = program_folder(started_as);
  const std::int64_t processes = read_processes(parsed, line.program_folder);
  if (parsed.has("compare")) {
    const std::vector<std::string>& words = parsed.values("compare");
    if (!line.config_file.empty()) {
      throw user_error("--compare takes {} and {}, and --config {} is a third: leave it out, or name it as one of the two",
                       words[0], words[1], line.config_file);
    }
    const Subject a = subject_of_word(words[0], line, processes);
    const Subject b = subject_of_word(words[1], line, processes);
    return compare(parsed, a, b, out);
  }
  if (const auto run = parsed.value("run")) {
    const RunComparison comparison = compare_run(*run);
    out << (parsed.has("json") ? memory_json(comparison.memory).dump(2) + "\n" : describe_run_comparison(comparison));
    return 0;
  }
  if (parsed.has("interactive")) line = ask_for_config(std::move(line), in, out);
  SubjectSource source{.model = parsed.value("model").value_or(""), .hf_file = parsed.value("hf").value_or("")};
  if (!line.words.empty()) take_word(line, source);
  const bool names_file = !source.model.empty() || !source.hf_file.empty() || !line.config_file.empty();
  if (parsed.has("budget")) {
    const bool names_model = names_file || names_blocks(line);
    answer_budget({.arguments = parsed, .line = std::move(line), .processes = processes, .names_model = names_model}, out, log);
    return 0;
  }
  if (parsed.has("price")) throw UserError("--price is of --budget; give both, or leave it out");
  Subject subject = make_subject(source, line, read_overrides(parsed), processes);
  const int code = Calculation(parsed, std::move(subject), out).run(names_file || names_sizes(line));
  if (parsed.has("interactive")) offer_to_save(line, in, out);
  return code;
}

}  // namespace virgil

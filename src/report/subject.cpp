#include "virgil/report/subject.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

#include "virgil/base/error.h"
#include "virgil/base/file_system.h"
#include "virgil/base/json.h"
#include "virgil/config/config_architecture.h"
#include "virgil/config/config_schema.h"
#include "virgil/config/preset_files.h"
#include "virgil/format/hf_config.h"
#include "virgil/format/pretrained_model.h"
#include "virgil/machine/device.h"
#include "virgil/machine/measured_dtype.h"
#include "virgil/model/family.h"
#include "virgil/plan/catalogue.h"
#include "virgil/plan/plan_config.h"

namespace virgil {

namespace {

Architecture catalogue_spec(const std::string& name) {
  if (const PublishedModel* model = find_model(name)) return model->spec;
  std::vector<std::string> names;
  for (const PublishedModel& model : published_models()) {
    names.push_back(model.spec.name);
    names.insert(names.end(), model.aliases.begin(), model.aliases.end());
  }
  const std::string nearest = nearest_name(name, names);
  const std::string hint = nearest.empty() ? "" : fmt::format("did you mean {}? ", nearest);
  std::string known;
  for (const PublishedModel& model : published_models()) known += (known.empty() ? "" : ", ") + model.spec.name;
  throw user_error("model \"{}\" is not in the catalogue; {}known: {}", name, hint, known);
}

/// The model of a config.json, or of the folder that holds one.
Architecture file_spec(const std::filesystem::path& path) {
  const std::filesystem::path file = std::filesystem::is_directory(path) ? path / "config.json" : path;
  return parse_hf_config(read_file(file, kMaxConfigBytes), file.string());
}

Architecture config_spec(const CommandLine& line) {
  const TrainConfig& config = line.config;
  Architecture model = architecture_of(config, expected_vocab_size(config));
  model.name = line.config_file.empty() ? "the model of these flags" : line.config_file;
  model.vocab_multiple = kVocabMultiple;
  model.dropout = 0;
  return model;
}

/// Keys given as flags win over a catalogue's or a file's sizes.
void apply_flags(Architecture& spec, const CommandLine& line) {
  const TrainConfig& config = line.config;
  const auto is_set = [&](const char* key) { return std::ranges::find(line.set_keys, key) != line.set_keys.end(); };
  const bool had_equal_heads = spec.num_kv_heads == spec.num_heads;
  if (is_set("n_layer")) spec.num_layers = config.n_layer;
  if (is_set("n_head")) spec.num_heads = config.n_head;
  if (is_set("n_head") && had_equal_heads) spec.num_kv_heads = 0;
  if (is_set("n_embd") && !is_set("d_ff") && spec.d_ff == usual_d_ff(spec.mlp, spec.embedding_dim)) spec.d_ff = 0;
  if (is_set("n_embd")) spec.embedding_dim = config.n_embd;
  if (is_set("n_embd") || is_set("n_head")) spec.head_size = 0;
  if (is_set("d_ff")) spec.d_ff = config.d_ff;
  if (is_set("n_kv_head")) spec.num_kv_heads = config.n_kv_head;
  if (is_set("head_size")) spec.head_size = config.head_size;
  if (is_set("block_size")) spec.block_size = config.block_size;
  if (is_set("vocab_size") && config.vocab_size != 0) spec.vocab_size = config.vocab_size;
  if (is_set("tie_weights")) spec.tie_weights = config.tie_weights;
  if (is_set("mlp") && config.mlp != "auto") spec.mlp = parse_mlp(config.mlp);
  if (is_set("rope_theta")) spec.rotary.theta = config.rope_theta;
  if (is_set("rope_scaling")) spec.rotary.scaling = parse_rotary_scaling(config.rope_scaling);
  if (is_set("window")) spec.window = config.window;
  if (is_set("norm_epsilon") && config.norm_epsilon != 0) spec.norm_epsilon = config.norm_epsilon;
  if (is_set("conv_taps")) {
    spec.conv_taps = config.conv_taps;
    if (spec.family == &kGpt2Family && spec.conv_taps > 0) spec.family = &kVirgilFamily;
  }
  if (is_set("bias") && spec.family->has_all_biases) spec.biases = Biases::everywhere(config.bias);
}

void apply_overrides(Architecture& spec, const ArchitectureOverrides& overrides) {
  spec.vocab_multiple = overrides.vocab_multiple.value_or(spec.vocab_multiple);
  spec.position = overrides.position.value_or(spec.position);
  spec.norm = overrides.norm.value_or(spec.norm);
  if (!overrides.position && !overrides.norm && spec.family->holds(spec)) return;
  spec.family = kGpt2Family.holds(spec) ? &kGpt2Family : kVirgilFamily.holds(spec) ? &kVirgilFamily : &kLlamaFamily;
}

/// Makes the configuration say what the spec says, and notes the keys as given.
void set_model_keys(CommandLine& line, const Architecture& spec) {
  const auto set = [&](const char* key, const std::string& value) {
    set_config_value(line.config, key, value, spec.name);
    if (std::ranges::find(line.set_keys, key) == line.set_keys.end()) line.set_keys.push_back(key);
  };
  const bool is_gpt2 = spec.family->has_all_biases;
  if (!is_gpt2) set("family", spec.family->model_type);
  set("n_layer", std::to_string(spec.num_layers));
  set("n_head", std::to_string(spec.num_heads));
  set("n_embd", std::to_string(spec.embedding_dim));
  set("block_size", std::to_string(spec.block_size));
  set("vocab_size", std::to_string(spec.vocab_size));
  if (spec.d_ff != usual_d_ff(spec.mlp, spec.embedding_dim)) set("d_ff", std::to_string(spec.d_ff));
  if (spec.mlp != spec.family->usual().mlp) set("mlp", std::string(name_of(spec.mlp)));
  if (spec.num_kv_heads != spec.num_heads) set("n_kv_head", std::to_string(spec.num_kv_heads));
  if (spec.query_width() != spec.embedding_dim) set("head_size", std::to_string(spec.head_size));
  if (spec.rotary.theta != RotarySettings{}.theta) set("rope_theta", fmt::format("{}", spec.rotary.theta));
  if (spec.rotary.scaling != RotaryScaling{}) set("rope_scaling", to_string(spec.rotary.scaling));
  if (spec.window != 0) set("window", std::to_string(spec.window));
  if (spec.norm_epsilon != Architecture{}.norm_epsilon) set("norm_epsilon", fmt::format("{}", spec.norm_epsilon));
  if (spec.conv_taps != 0) set("conv_taps", std::to_string(spec.conv_taps));
  if (is_gpt2) set("bias", spec.biases.all() ? "true" : "false");
  if (!spec.tie_weights) set("tie_weights", "false");
}

/// A GPU by name stands for the device, and tells nothing that only a device can tell.
void check_gpu_request(const TrainConfig& config, const GpuModel& gpu) {
  if (config.device == "cpu") {
    throw user_error("--gpu plans for {}, and device is cpu; leave one of the two out", gpu.name);
  }
  if (config.attention == "cudnn") {
    throw user_error("attention is cudnn, whose scratch only the device itself can tell; plan for {} with --attention virgil",
                     gpu.name);
  }
}

}  // namespace

Subject make_subject(const SubjectSource& source, const CommandLine& command_line, const ArchitectureOverrides& overrides,
                     std::int64_t processes) {
  Subject subject;
  subject.processes = processes;
  subject.command_line = command_line;
  const bool is_named = !source.model.empty() || !source.hf_file.empty();
  const bool from_weights = !is_named && !command_line.config.init_from.empty();
  const bool from_config = !is_named && !from_weights;
  if (!source.model.empty() && !source.hf_file.empty()) {
    throw user_error("--model and --hf both name a model; give one of the two");
  }
  if (from_config) {
    subject.spec = config_spec(command_line);
  } else if (from_weights) {
    NullLogger log;
    subject.spec = file_spec(find_checkpoint(command_line.config.init_from, log));
  } else {
    subject.spec = source.model.empty() ? file_spec(source.hf_file) : catalogue_spec(source.model);
  }
  if (!from_config) apply_flags(subject.spec, command_line);
  apply_overrides(subject.spec, overrides);
  subject.spec = checked(std::move(subject.spec));

  try {
    Architecture model = subject.spec;
    model.dropout = static_cast<float>(command_line.config.dropout);
    subject.trainable = trainable(std::move(model));
    // A configuration says it already, unless flags that are not its own have made it another family's.
    const bool is_said = from_config && subject.spec.family == config_spec(command_line).family;
    if (!is_said) set_model_keys(subject.command_line, subject.spec);
  } catch (const UserError& error) {
    subject.trainable.reset();
    subject.why_not = error.what();
    return subject;
  }
  subject.resolved = subject.command_line.config;
  resolve_config(subject.resolved, processes);
  return subject;
}

WordMeaning meaning_of_word(const std::string& word) {
  std::error_code error;
  const std::filesystem::path path(word);
  if (std::filesystem::is_regular_file(path / "config.json", error))
    return {.source = {.model = {}, .hf_file = word}, .config_file = {}};
  if (find_model(word) != nullptr && !std::filesystem::exists(path, error))
    return {.source = {.model = word, .hf_file = {}}, .config_file = {}};
  const bool is_config = std::filesystem::exists(path, error) || path.extension() == ".json" || names_preset(word);
  if (!is_config) {
    std::vector<std::string> names = preset_names();
    for (const PublishedModel& model : published_models()) names.push_back(model.spec.name);
    const std::string nearest = nearest_name(word, names);
    const std::string hint = nearest.empty() ? "" : fmt::format("; did you mean {}?", nearest);
    throw user_error("{}: neither a file, nor a preset, nor a model in the catalogue{} Known: {}", word.substr(0, 100),
                     hint.empty() ? "." : hint, fmt::join(names, ", "));
  }
  const std::filesystem::path file = find_config_file(word);
  const auto json = parse_json_or_null(read_file(file, kMaxConfigBytes));
  if (json.is_object() && json.contains("model_type")) return {.source = {.model = {}, .hf_file = word}, .config_file = {}};
  return {.source = {}, .config_file = file};
}

Subject subject_of_word(const std::string& word, const CommandLine& flags, std::int64_t processes) {
  const WordMeaning meaning = meaning_of_word(word);
  if (meaning.config_file.empty()) return make_subject(meaning.source, flags, {}, processes);
  return make_subject({}, with_config(flags, meaning.config_file), {}, processes);
}

const MemoryPlan& PlannedSubject::get() const {
  if (!plan) throw UserError(why_not);
  return *plan;
}

Machine find_machine(const MachineRequest& request, const TrainConfig& config, std::int64_t processes,
                     std::unique_ptr<Backend>& backend) {
  Machine machine;
  if (request.gpu != nullptr) {
    check_gpu_request(config, *request.gpu);
    machine = machine_of(*request.gpu, processes);
  } else {
    static NullLogger log;  // has no state; the backend, which lives on, tells it of its choices
    backend = make_backend(device_request(config), log);
    machine = machine_of(*backend, processes, processes);
    if (config.dtype == "auto") prefer_faster_dtype(machine, *backend);
  }
  if (request.memory_bytes) {
    machine.free_bytes = *request.memory_bytes;
    machine.free_source = request.memory_source;
  }
  return machine;
}

PlannedSubject plan_subject(const Subject& subject, const MachineRequest& request) {
  PlannedSubject planned;
  TrainConfig config = subject.trainable ? subject.resolved : subject.command_line.config;
  try {
    planned.machine = find_machine(request, config, subject.processes, planned.backend);
    planned.budget = memory_budget(config, *planned.machine);
    resolve_dtype(config, *planned.machine);
  } catch (const UserError& error) {
    if (request.gpu != nullptr && !planned.machine) throw;  // a wrong question, not a missing device
    planned.why_not = subject.trainable ? error.what() : subject.why_not;
    return planned;
  }
  planned.shape.dtype = parse_dtype(config.dtype);
  if (!subject.trainable) {
    planned.why_not = subject.why_not;
    return planned;
  }
  RunPlan plan = plan_run(std::move(config), *subject.trainable, *planned.machine, planned.budget);
  planned.shape = std::move(plan.shape);
  planned.plan = std::move(plan.memory);
  return planned;
}

}  // namespace virgil

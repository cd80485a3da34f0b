#include "virgil/format/pretrained_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "format/checkpoint_format.h"
#include "format/foreign_tensors.h"
#include "format/release_pages.h"
#include "virgil/base/error.h"
#include "virgil/base/folder.h"
#include "virgil/base/paths.h"
#include "virgil/config/config_schema.h"
#include "virgil/format/checkpoint.h"
#include "virgil/format/finite_check.h"
#include "virgil/format/hf_config.h"
#include "virgil/format/parameter_io.h"
#include "virgil/model/family.h"
#include "virgil/model/parameter_table.h"

namespace virgil {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kGpt2Vocabulary = 50257;

PretrainedModel open_checkpoint(const fs::path& directory) {
  LoadedCheckpoint checkpoint = load_checkpoint(directory, CheckpointParts::kWeights);
  PretrainedModel opened{.directory = checkpoint.directory,
                         .model = checkpoint.model,
                         .is_checkpoint = true,
                         .step = checkpoint.state.step,
                         .files = {},
                         .converted = {},
                         .tensors = {},
                         .note = {}};
  for (const ExpectedTensor& tensor : expected_parameters(trainable(checkpoint.model))) {
    opened.tensors.push_back({tensor.name, DType::kFloat32, tensor.shape, checkpoint.parameters.find(tensor.name)->bytes});
  }
  opened.files.push_back(std::move(checkpoint.parameters));
  return opened;
}

PretrainedModel open_foreign(const fs::path& directory) {
  const fs::path config = directory / kConfigFile;
  if (!path_exists(config)) {
    throw user_error(
        "{}: missing, and without it the weights are of no known shape; give a checkpoint of Virgil, or a folder "
        "with {} and {}",
        config.string(), kConfigFile, kParametersFile);
  }
  PretrainedModel opened;
  opened.directory = directory;
  opened.model = read_weights_config(read_file(config, kMaxConfigBytes), config.string());
  opened.files = open_weight_files(directory);
  const ForeignTensors tensors(opened.files, directory.string(), *opened.model.family);
  // Another program may have trained the biases that Virgil had saved as zeros, or have none at all (nanoGPT's bias=False).
  if (opened.model.family->has_all_biases) {
    opened.model.biases =
        Biases::everywhere(opened.model.biases.all() ? tensors.holds_biases() : tensors.has_biases(trainable(opened.model)));
  }
  opened.tensors = tensors.select(trainable(opened.model), opened.converted);
  opened.note = tensors.note();
  return opened;
}

bool holds_checkpoint(const fs::path& directory) {
  const auto holds = [&](const char* name) { return path_exists(directory / name); };
  return holds(kStateFile) || holds(kParametersFile) || holds(kShardIndexFile) || holds(kConfigFile);
}

void release_all_pages(const PretrainedModel& model) {
  for (const SafetensorsFile& file : model.files) release_pages(file);
}

}  // namespace

fs::path find_checkpoint(const fs::path& path, Logger& log) {
  if (!is_folder(path) || holds_checkpoint(path)) return path;  // open_pretrained says what is wrong with it
  const fs::path best = path / "best";
  const bool has_best = path_exists(best) || path_exists(with_suffix(best, kOldSuffix));
  const auto steps = list_step_checkpoints(path);
  if (!has_best && steps.empty()) {
    throw user_error(
        "{}: neither a checkpoint nor a run's folder; give a folder that holds {}, or one that holds best or step-*",
        path.string(), kParametersFile);
  }
  fs::path found = has_best ? best : steps.back();
  log.info(fmt::format("model    {}, the run's {} checkpoint", found.string(), has_best ? "best" : "newest"));
  return found;
}

PretrainedModel open_pretrained(const fs::path& directory) {
  const fs::path folder = directory.has_filename() ? directory : directory.parent_path();
  // One of Virgil's checkpoints that has lost a file is damaged, not foreign.
  const bool is_foreign = is_folder(folder) && !path_exists(folder / kStateFile) && !path_exists(folder / kStateHashFile);
  PretrainedModel opened = is_foreign ? open_foreign(folder) : open_checkpoint(directory);
  opened.model.dropout = 0;
  check_finite(opened.tensors, opened.directory.string());
  release_all_pages(opened);
  return opened;
}

void shorten_context(PretrainedModel& model, std::int64_t block_size) {
  VIRGIL_CHECK(block_size >= 1 && block_size <= model.model.block_size, "{} positions of {}", block_size,
               model.model.block_size);
  model.model.block_size = block_size;
  if (model.model.position != PositionKind::kLearned) return;
  const std::string table = module_path(model.model.family->modules.position_embedding, "weight");
  StoredTensor& positions = *std::ranges::find(model.tensors, table, &StoredTensor::name);
  positions.shape = {block_size, positions.shape[1]};
  positions.bytes = positions.bytes.first(static_cast<std::size_t>(positions.shape.num_elements() * size_of(positions.dtype)));
}

std::optional<std::string> tokenizer_spec(const PretrainedModel& model) {
  const auto holds = [&](const char* name) { return path_exists(model.directory / name); };
  // An absolute path is never taken for the name of a tokenizer.
  if (model.is_checkpoint || holds_tokenizer(model.directory)) return fs::absolute(model.directory).string();
  // A tokenizer of another kind may have as many tokens.
  const bool has_other = holds("tokenizer.model") || holds("spiece.model") || holds("vocab.txt");
  const bool is_gpt2 = model.model.vocab_size == kGpt2Vocabulary && !has_other;
  return is_gpt2 ? std::optional<std::string>("gpt2") : std::nullopt;
}

std::string describe_missing_tokenizer(const PretrainedModel& model) {
  const std::string directory = model.directory.string();
  return fmt::format(
      "{}: holds no tokenizer, and its vocabulary of {} ids is not GPT-2's of {}; copy the tokenizer files that it was "
      "trained with (tokenizer.json, or Virgil's tokenizer.virgil.json) into the folder. The program tokenize makes Virgil's again "
      "from the same text: --input TEXT --val_fraction 0.1 --tokenizer char --save_tokenizer NEW-FOLDER (or bpe:SIZE, byte)",
      directory, model.model.vocab_size, kGpt2Vocabulary);
}

std::unique_ptr<Tokenizer> load_tokenizer(const PretrainedModel& model) {
  const auto spec = tokenizer_spec(model);
  if (!spec) throw UserError(describe_missing_tokenizer(model));
  std::unique_ptr<Tokenizer> tokenizer;
  // A running training may be replacing the checkpoint; the next one has the same tokenizer.
  retry_while_replaced(model.directory, [&] { tokenizer = make_tokenizer(*spec, ""); });
  if (tokenizer->vocab_size() <= model.model.vocab_size) return tokenizer;
  throw user_error("{}: its tokenizer {} has {} tokens, but its model's vocab_size is {}; put the model's own tokenizer there",
                   model.directory.string(), tokenizer->name(), tokenizer->vocab_size(), model.model.vocab_size);
}

void load_parameters(Backend& backend, const ParameterLayout& layout, const PretrainedModel& model, const FlatTensor& flat) {
  const auto parameters = layout.parameters();
  VIRGIL_CHECK(parameters.size() == model.tensors.size(), "{} parameters, {} tensors", parameters.size(), model.tensors.size());
  backend.run(ops::SetZero{flat.view()});
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const ParameterSpec& spec = parameters[i];
    const StoredTensor& tensor = model.tensors[i];
    VIRGIL_CHECK(tensor.name == spec.name && tensor.shape == spec.stored_shape, "{} {} for {} {}", tensor.name,
                 tensor.shape.to_string(), spec.name, spec.stored_shape.to_string());
    upload_pieces(backend, flat, spec.offset, tensor.dtype, tensor.bytes);
    release_all_pages(model);
  }
}

}  // namespace virgil

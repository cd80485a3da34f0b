// Saving: write beside, make durable, rename. The order of the calls in replace_checkpoint is the whole crash safety; docs/
// checkpoints.md tells for every point between them what a reader finds.
#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "format/checkpoint_format.h"
#include "format/hashing_file.h"
#include "format/model_card.h"
#include "virgil/base/error.h"
#include "virgil/base/paths.h"
#include "virgil/format/checkpoint.h"
#include "virgil/format/checkpoint_marks.h"
#include "virgil/format/hf_config.h"

namespace virgil {
namespace {

void check_sources(std::span<const TensorSource> sources, const std::vector<ExpectedTensor>& expected) {
  VIRGIL_CHECK(sources.size() == expected.size(), "{} tensors given, the layout has {}", sources.size(), expected.size());
  for (const ExpectedTensor& tensor : expected) {
    const auto found = std::ranges::find(sources, tensor.name, &TensorSource::name);
    VIRGIL_CHECK(found != sources.end(), "the tensor {} is missing", tensor.name);
    VIRGIL_CHECK(found->shape == tensor.shape && found->dtype == tensor.dtype, "{} is {} {}, the layout has {} {}", tensor.name,
                 name_of(found->dtype), found->shape.to_string(), name_of(tensor.dtype), tensor.shape.to_string());
  }
}

/// config_json and everything written must be what the loader reads back: found out before the disk is touched.
void check_contents(const CheckpointContents& contents, const Architecture& model) {
  check_sources(contents.parameters, expected_parameters(model));
  if (!contents.optimizer.empty()) {
    const auto holds = [&](const std::string& name) {
      return std::ranges::find(contents.optimizer, name, &TensorSource::name) != contents.optimizer.end();
    };
    const auto is_first = [&](const StorageType& storage) { return storage.unit == contents.optimizer.front().dtype; };
    const auto storage = std::ranges::find_if(kStateStorages, is_first);
    VIRGIL_CHECK(storage != kStateStorages.end(), "optimizer state in {}", name_of(contents.optimizer.front().dtype));
    check_sources(contents.optimizer, expected_states(model, *storage, holds));
  }
  const std::string& config = contents.state.config_json;
  VIRGIL_CHECK(config.empty() || is_flat_config(config), "config_json is not a flat JSON object");
}

TensorSource zeros(const ExpectedTensor& tensor) {
  return {tensor.name, DType::kFloat32, tensor.shape,
          [](std::span<std::byte> dst, std::int64_t) { std::ranges::fill(dst, std::byte{0}); }};
}

WrittenFile write_text(FileSystem& files, const std::filesystem::path& path, std::string_view text) {
  HashingFile file(files, path);
  file.append(std::as_bytes(std::span(text)));
  return file.close_durably();
}

WrittenFile write_parameters(FileSystem& files, const std::filesystem::path& path, const CheckpointContents& contents,
                             const Architecture& model) {
  std::vector<TensorSource> tensors = contents.parameters;
  std::map<std::string, std::string> metadata = {{"format", "pt"}};  // transformers insists on it
  const std::vector<ExpectedTensor> biases = absent_biases(model);
  for (const ExpectedTensor& bias : biases) tensors.push_back(zeros(bias));
  if (!biases.empty()) metadata["virgil.biases"] = "zeros for other programs; the model has none";
  return write_safetensors(files, path, tensors, metadata);
}

void write_checkpoint_files(FileSystem& files, const std::filesystem::path& directory, const CheckpointContents& contents,
                            const Architecture& model) {
  files.create_directories(directory);
  FileTable table;
  for (const Tokenizer::File& file : write_companion_files(contents, model)) {
    table[file.name] = write_text(files, directory / file.name, file.content);
  }
  const std::int32_t end_of_text = contents.tokenizer == nullptr ? -1 : contents.tokenizer->end_of_text();
  table[kConfigFile] = write_text(files, directory / kConfigFile, write_hf_config(model, end_of_text));
  table[kParametersFile] = write_parameters(files, directory / kParametersFile, contents, model);
  if (!contents.optimizer.empty()) {
    table[kOptimizerFile] = write_safetensors(files, directory / kOptimizerFile, contents.optimizer, {});
  }
  const std::string state = write_state(contents.state, table);
  write_text(files, directory / kStateFile, state);
  write_text(files, directory / kStateHashFile, write_state_hash(state));
  files.sync_directory(directory);
}

/// For clean-up after an error: a second error would hide the first, which tells more. What stays behind is never read.
template <typename CleanUp>
void ignore_errors(CleanUp&& clean_up) {
  try {
    clean_up();
  } catch (const UserError&) {
  }
}

/// Puts `partial`, complete and durable, in place of `directory`. At every point one of `directory` and its ".old" is whole.
void replace_checkpoint(FileSystem& files, const std::filesystem::path& partial, const std::filesystem::path& directory) {
  const std::filesystem::path old = with_suffix(directory, kOldSuffix);
  const bool replaces = path_exists(directory);
  if (replaces) {
    remove_replaced(files, old, directory);  // left by a kill after the new one was in place
    files.rename(directory, old);
  }
  try {
    files.rename(partial, directory);
    files.sync_directory(parent_of(directory));
  } catch (...) {
    ignore_errors([&] {
      if (path_exists(directory)) files.rename(directory, partial);
      if (replaces) files.rename(old, directory);
    });
    throw;
  }
  remove_replaced(files, old, directory);
}

std::int64_t bytes_of(const std::vector<ExpectedTensor>& tensors) {
  std::int64_t bytes = 0;
  for (const ExpectedTensor& tensor : tensors) {
    bytes = checked_add(bytes, checked_multiply(tensor.shape.num_elements(), size_of(tensor.dtype)));
  }
  return bytes;
}

}  // namespace

void save_checkpoint(FileSystem& files, const std::filesystem::path& directory, const CheckpointContents& contents) {
  const Architecture model = trainable(contents.model);
  check_contents(contents, model);
  const std::filesystem::path target = directory.has_filename() ? directory : directory.parent_path();
  remove_leftovers(files, parent_of(target), target.filename().string());
  const std::filesystem::path partial = temporary_name(target);
  try {
    write_checkpoint_files(files, partial, contents, model);
    replace_checkpoint(files, partial, target);
  } catch (...) {
    ignore_errors([&] { files.remove_all(partial); });
    throw;
  }
}

std::int64_t checkpoint_bytes(const MemoryPlan& plan, const Tokenizer& tokenizer) {
  constexpr std::int64_t kHeadersAndState = std::int64_t{1} << 15;
  std::int64_t total = kHeadersAndState;
  for (const Tokenizer::File& file : tokenizer.files()) total += std::ssize(file.content);
  total = checked_add(total, bytes_of(expected_parameters(plan.model())));
  total = checked_add(total, bytes_of(absent_biases(plan.model())));
  std::vector<ExpectedTensor> states;
  for (const PlannedState& state : plan.states()) {
    for (const ParameterSpec& spec : plan.parameters().parameters()) {
      if (state.covers(spec)) states.push_back(stored_state(state, spec));
    }
  }
  return checked_add(total, bytes_of(states));
}

}  // namespace virgil

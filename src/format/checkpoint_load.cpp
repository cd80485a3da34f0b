// Loading: everything is verified before anything is used.
#include <fmt/format.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "format/checkpoint_format.h"
#include "virgil/base/error.h"
#include "virgil/base/excerpt.h"
#include "virgil/base/folder.h"
#include "virgil/base/foreign_file.h"
#include "virgil/base/input_file.h"
#include "virgil/base/nearest_name.h"
#include "virgil/base/paths.h"
#include "virgil/base/sha256.h"
#include "virgil/format/checkpoint.h"
#include "virgil/format/hf_config.h"
#include "virgil/format/hub_names.h"

namespace virgil {
namespace {

constexpr std::int64_t kMaxJsonBytes = std::int64_t{1} << 26;
constexpr std::size_t kDigitsShown = 12;  // of a SHA-256
constexpr const char* kRemedy = "restore it from a copy or load another checkpoint";

std::optional<std::string> describe_foreign_start(const std::filesystem::path& path) {
  std::string start(kForeignFileBytes, '\0');
  start.resize(InputFile(path).read(start));  // which waits for no pipe
  return describe_foreign_file(start);
}

/// The folder that holds the checkpoint: a kill between the two renames of a save leaves only "<name>.old".
Folder open_folder(const std::filesystem::path& wanted) {
  std::filesystem::path old = with_suffix(wanted, kOldSuffix);
  if (is_folder(wanted)) return Folder(wanted);
  if (path_exists(wanted)) {
    if (const auto foreign = describe_foreign_start(wanted)) throw user_error("{}: is {}", wanted.string(), *foreign);
    throw user_error("{}: a file, not a checkpoint's folder; give the folder it lies in", wanted.string());
  }
  if (is_folder(old)) return Folder(std::move(old));
  const std::string hub = describe_hub_download(wanted.string());
  const std::string near = nearest_path(wanted);
  throw user_error("{}: no such checkpoint; {}", wanted.string(),
                   !near.empty()  ? fmt::format("did you mean {}?", near)
                   : !hub.empty() ? hub
                                  : "check the path");
}

FileTable verify_state(const Folder& folder, TrainingState& state) {
  const std::string path = (folder.path() / kStateFile).string();
  if (!folder.holds(kStateFile)) {
    throw user_error("{}: missing, so {} is not a checkpoint of Virgil or not a whole one; {}", path, folder.path().string(),
                     kRemedy);
  }
  const std::string text = folder.read(kStateFile, kMaxJsonBytes);
  if (folder.read(kStateHashFile, kMaxJsonBytes) != write_state_hash(text)) {
    throw user_error("{}: corrupted: its SHA-256 is not the one in {}; {}", path, kStateHashFile, kRemedy);
  }
  FileTable files;
  read_state(text, path, state, files);
  for (const char* name : {kConfigFile, kParametersFile}) {
    if (!files.contains(name)) throw user_error("{}: does not list {}; {}", path, name, kRemedy);
  }
  return files;
}

/// The mapped file `name`, which is as it was saved.
MappedFile map_verified(const Folder& folder, const std::string& name, const WrittenFile& recorded) {
  const std::string path = (folder.path() / name).string();
  if (!folder.holds(name)) throw user_error("{}: missing; {}", path, kRemedy);
  MappedFile file = folder.map(name);
  const std::size_t size = file.bytes().size();
  if (std::cmp_not_equal(size, recorded.size_bytes)) {
    throw user_error("{}: {} bytes long, but {} when it was saved: {}; {}", path, size, recorded.size_bytes,
                     std::cmp_less(size, recorded.size_bytes) ? "truncated" : "changed", kRemedy);
  }
  const std::string sha256 = sha256_hex({reinterpret_cast<const char*>(file.bytes().data()), size});
  if (sha256 != recorded.sha256) {
    throw user_error("{}: corrupted: its SHA-256 is {}, but was {} when it was saved; {}", path,
                     quoted_excerpt(sha256, kDigitsShown), quoted_excerpt(recorded.sha256, kDigitsShown), kRemedy);
  }
  return file;
}

void verify_tensors(const SafetensorsFile& file, const std::vector<ExpectedTensor>& expected, const std::string& path) {
  for (const ExpectedTensor& tensor : expected) {
    const std::string_view dtype_name = safetensors_name(tensor.dtype);
    const SafetensorsFile::Entry* entry = file.find(tensor.name);
    if (entry == nullptr) throw user_error("{}: the tensor {} is missing; {}", path, tensor.name, kRemedy);
    if (entry->shape != tensor.shape || entry->dtype_name != dtype_name) {
      throw user_error("{}: {} is {} {}, but {} asks for {} {}; {}", path, tensor.name, entry->dtype_name,
                       entry->shape.to_string(), kConfigFile, dtype_name, tensor.shape.to_string(), kRemedy);
    }
  }
}

LoadedCheckpoint load_folder(const std::filesystem::path& wanted, CheckpointParts parts) {
  const Folder folder = open_folder(wanted);
  TrainingState state;
  FileTable files = verify_state(folder, state);
  if (parts == CheckpointParts::kWeights) files.erase(kOptimizerFile);
  std::map<std::string, MappedFile> mapped;
  for (const auto& [name, recorded] : files) mapped.emplace(name, map_verified(folder, name, recorded));

  const MappedFile& config = mapped.at(kConfigFile);
  const std::string_view config_text(reinterpret_cast<const char*>(config.bytes().data()), config.bytes().size());
  const Architecture model = read_checkpoint_config(config_text, config.path().string());
  const auto path_of = [&](const char* name) { return (folder.path() / name).string(); };
  LoadedCheckpoint loaded{folder.path(), model, std::move(state), SafetensorsFile(std::move(mapped.at(kParametersFile))),
                          nullptr};
  verify_tensors(loaded.parameters, expected_parameters(model), path_of(kParametersFile));
  if (files.contains(kOptimizerFile)) {
    loaded.optimizer = std::make_unique<SafetensorsFile>(std::move(mapped.at(kOptimizerFile)));
    const SafetensorsFile& states = *loaded.optimizer;
    const auto holds = [&](const std::string& name) { return states.find(name) != nullptr; };
    verify_tensors(states, expected_states(model, state_storage_of(states), holds), path_of(kOptimizerFile));
  }
  return loaded;
}

}  // namespace

LoadedCheckpoint load_checkpoint(const std::filesystem::path& directory, CheckpointParts parts) {
  const std::filesystem::path wanted = directory.has_filename() ? directory : directory.parent_path();
  std::optional<LoadedCheckpoint> loaded;
  retry_while_replaced(wanted, [&] { loaded.emplace(load_folder(wanted, parts)); });
  return std::move(*loaded);
}

}  // namespace virgil

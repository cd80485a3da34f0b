// Loading: everything is verified before anything is used.
#include <fmt/format.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "checkpoint_format.h"
#include "virgil/base/error.h"
#include "virgil/base/sha256.h"
#include "virgil/train/checkpoint.h"
#include "virgil/train/hub_names.h"

namespace virgil {
namespace {

constexpr std::int64_t kMaxJsonBytes = std::int64_t{1} << 26;
constexpr const char* kRemedy = "restore it from a copy or load another checkpoint";

/// The folder that holds the checkpoint: a kill between the two renames of a save leaves only "<name>.old".
std::filesystem::path locate(const std::filesystem::path& directory) {
  const std::filesystem::path wanted = directory.has_filename() ? directory : directory.parent_path();
  if (std::filesystem::is_directory(wanted)) return wanted;
  if (std::filesystem::exists(wanted)) {
    throw user_error("{}: a file, not a checkpoint's folder; give the folder it lies in", wanted.string());
  }
  std::filesystem::path old = with_suffix(wanted, kOldSuffix);
  if (std::filesystem::is_directory(old)) return old;
  const std::string hub = describe_hub_download(directory.string());
  throw user_error("{}: no such checkpoint; {}", wanted.string(), hub.empty() ? "check the path" : hub);
}

FileTable verify_state(const std::filesystem::path& directory, TrainingState& state) {
  const std::filesystem::path path = directory / kStateFile;
  if (!std::filesystem::exists(path)) {
    throw user_error("{}: missing, so {} is not a checkpoint of Virgil or not a whole one; {}", path.string(),
                     directory.string(), kRemedy);
  }
  const std::string text = read_file(path, kMaxJsonBytes);
  if (read_file(directory / kStateHashFile, kMaxJsonBytes) != write_state_hash(text)) {
    throw user_error("{}: corrupted: its SHA-256 is not the one in {}; {}", path.string(), kStateHashFile, kRemedy);
  }
  FileTable files;
  read_state(text, path.string(), state, files);
  for (const char* name : {kConfigFile, kParametersFile}) {
    if (!files.contains(name)) throw user_error("{}: does not list {}; {}", path.string(), name, kRemedy);
  }
  return files;
}

void verify_file(const std::filesystem::path& path, const WrittenFile& recorded) {
  std::error_code error;
  const std::uintmax_t size = std::filesystem::file_size(path, error);
  if (error == std::errc::no_such_file_or_directory) throw user_error("{}: missing; {}", path.string(), kRemedy);
  if (error) throw user_error("{}: cannot read: {}", path.string(), error.message());
  if (std::cmp_not_equal(size, recorded.size_bytes)) {
    throw user_error("{}: {} bytes long, but {} when it was saved: {}; {}", path.string(), size, recorded.size_bytes,
                     std::cmp_less(size, recorded.size_bytes) ? "truncated" : "changed", kRemedy);
  }
  const std::string sha256 = sha256_of_file(path);
  if (sha256 != recorded.sha256) {
    throw user_error("{}: corrupted: its SHA-256 is {}, but {} when it was saved; {}", path.string(), sha256, recorded.sha256,
                     kRemedy);
  }
}

/// All tensors are of one type: `dtype_name`.
void verify_tensors(const SafetensorsFile& file, const std::vector<ExpectedTensor>& expected, const std::string& path,
                    std::string_view dtype_name) {
  for (const ExpectedTensor& tensor : expected) {
    const SafetensorsFile::Entry* entry = file.find(tensor.name);
    if (entry == nullptr) throw user_error("{}: the tensor {} is missing; {}", path, tensor.name, kRemedy);
    if (entry->shape != tensor.shape || entry->dtype_name != dtype_name) {
      throw user_error("{}: {} is {} {}, but {} asks for {} {}; {}", path, tensor.name, entry->dtype_name,
                       entry->shape.to_string(), kConfigFile, dtype_name, tensor.shape.to_string(), kRemedy);
    }
  }
}

/// Moments are F32, or all of them BF16.
std::string_view moments_dtype_name(const SafetensorsFile& file) {
  const bool half = !file.entries().empty() && file.entries().front().dtype_name == safetensors_name(DType::kBFloat16);
  return safetensors_name(half ? DType::kBFloat16 : DType::kFloat32);
}

}  // namespace

LoadedCheckpoint load_checkpoint(const std::filesystem::path& directory) {
  const std::filesystem::path found = locate(directory);
  TrainingState state;
  const FileTable files = verify_state(found, state);
  for (const auto& [name, recorded] : files) verify_file(found / name, recorded);

  const std::filesystem::path config_path = found / kConfigFile;
  const ModelSizes sizes = read_model_config(read_file(config_path, kMaxJsonBytes), config_path.string());
  const ModelConfig model(sizes);
  const std::filesystem::path parameters_path = found / kParametersFile;
  LoadedCheckpoint loaded{found, sizes, std::move(state), SafetensorsFile(parameters_path), nullptr};
  verify_tensors(loaded.parameters, expected_parameters(model), parameters_path.string(), safetensors_name(DType::kFloat32));
  if (files.contains(kOptimizerFile)) {
    const std::filesystem::path optimizer_path = found / kOptimizerFile;
    loaded.optimizer = std::make_unique<SafetensorsFile>(optimizer_path);
    verify_tensors(*loaded.optimizer, expected_moments(model), optimizer_path.string(), moments_dtype_name(*loaded.optimizer));
  }
  return loaded;
}

}  // namespace virgil

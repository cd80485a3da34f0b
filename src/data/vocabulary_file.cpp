#include "data/vocabulary_file.h"

#include <cstdint>
#include <cstdlib>
#include <string>
#include <system_error>
#include <vector>

#include "virgil/base/error.h"
#include "virgil/base/file_system.h"
#include "virgil/base/foreign_file.h"
#include "virgil/base/sha256.h"

namespace virgil {
namespace {

namespace fs = std::filesystem;

constexpr const char* kFileName = "gpt2.tiktoken";
constexpr const char* kSha256 = "306cd27f03c1a714eca7108e03d66b7dc042abe8c258b44c199a7ed9838dd930";
constexpr std::int64_t kMaxBytes = std::int64_t{16} << 20;

std::vector<fs::path> search_folders() {
  if (const char* folder = std::getenv("VIRGIL_DATA_DIR"); folder != nullptr && *folder != '\0') return {fs::path(folder)};
  std::vector<fs::path> folders{fs::path(VIRGIL_SOURCE_DATA_DIR)};
  std::error_code error;
  const fs::path executable = fs::read_symlink("/proc/self/exe", error);
  if (!error) {
    folders.push_back(executable.parent_path() / "data");
    folders.push_back(executable.parent_path().parent_path() / "data");
  }
  folders.push_back(fs::path("data"));
  return folders;
}

fs::path find_vocabulary() {
  std::string searched;
  for (const fs::path& folder : search_folders()) {
    std::error_code ignored;
    if (fs::is_regular_file(folder / kFileName, ignored)) return folder / kFileName;
    searched += (searched.empty() ? "" : ", ") + folder.string();
  }
  throw user_error("GPT-2's vocabulary ({}) is not there; run data/fetch_gpt2_vocab.sh, which downloads it (searched: {})",
                   kFileName, searched);
}

}  // namespace

BytePairVocabulary read_gpt2_vocabulary() {
  const fs::path path = find_vocabulary();
  const std::string content = read_file(path, kMaxBytes);
  if (const auto foreign = describe_foreign_file(content)) throw user_error("{}: is {}", path.string(), *foreign);
  const std::string hash = sha256_hex(content);
  if (hash != kSha256) {
    throw user_error(
        "{}: not GPT-2's vocabulary or damaged: its SHA-256 is {}, it should be {}; delete it and run "
        "data/fetch_gpt2_vocab.sh",
        path.string(), hash, kSha256);
  }
  return read_ranks(content, path);
}

}  // namespace virgil

#include "virgil/data/tokenizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "data/byte_pair_tokenizer.h"
#include "data/tokenizer_config.h"
#include "data/tokenizer_folder.h"
#include "data/virgil_tokenizer_file.h"
#include "virgil/base/error.h"
#include "virgil/data/tokenizer_builder.h"

namespace virgil {
namespace {

namespace fs = std::filesystem;

bool holds(const fs::path& folder, const char* name) { return fs::exists(folder / name); }

/// The checkpoints of a run, the best first, then the newest: all have the run's tokenizer.
std::vector<fs::path> list_checkpoints(const fs::path& run) {
  std::vector<fs::path> checkpoints;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(run, error)) {
    const std::string name = entry.path().filename().string();
    const bool is_step = name.starts_with("step-") && name.find_first_not_of("0123456789", 5) == std::string::npos;
    if (name == "best" || is_step) checkpoints.push_back(entry.path());
  }
  std::ranges::sort(checkpoints, std::greater<>());
  std::stable_partition(checkpoints.begin(), checkpoints.end(), [](const fs::path& path) { return path.filename() == "best"; });
  return checkpoints;
}

std::string describe_absence(const fs::path& folder) {
  constexpr const char* kAdvice = "byte-level BPE is read (tokenizer.json, or vocab.json with merges.txt)";
  if (holds(folder, "tokenizer.model") || holds(folder, "spiece.model")) {
    return fmt::format("its tokenizer is SentencePiece's (a .model file), which is not read; {}", kAdvice);
  }
  if (holds(folder, "vocab.txt"))
    return fmt::format("its tokenizer is BERT's WordPiece (vocab.txt), which is not read; {}", kAdvice);
  return fmt::format("holds no tokenizer (neither {} nor {}, nor {} with {}, nor a run's checkpoints)", kVirgilTokenizerFile,
                     kTokenizerJsonFile, kVocabFile, kMergesFile);
}

}  // namespace

std::unique_ptr<Tokenizer> make_tokenizer(std::string_view spec, std::string_view training_text) {
  const std::unique_ptr<TokenizerBuilder> builder = make_tokenizer_builder(spec);
  builder->add_text(training_text);
  return builder->finish();
}

std::unique_ptr<Tokenizer> load_tokenizer_file(const fs::path& path) {
  const fs::path name = path.filename();
  if (name == kVirgilTokenizerFile) return read_virgil_tokenizer_file(read_tokenizer_bytes(path), path);
  if (name == kVocabFile || name == kMergesFile) {
    return std::make_unique<BytePairTokenizer>(read_vocab_and_merges(path.parent_path()), path);
  }
  if (path.extension() == ".json") {
    const std::string content = read_tokenizer_bytes(path);
    return std::make_unique<BytePairTokenizer>(read_tokenizer_json(content, path, read_end_of_text_hint(path.parent_path())),
                                               path);
  }
  throw user_error("{}: not a tokenizer; give a folder that holds one, a {} or a {}", path.string(), kTokenizerJsonFile,
                   kVirgilTokenizerFile);
}

bool holds_tokenizer(const fs::path& directory) {
  return holds(directory, kVirgilTokenizerFile) || holds(directory, kTokenizerJsonFile) || holds(directory, kVocabFile) ||
         holds(directory, kMergesFile);
}

std::unique_ptr<Tokenizer> load_tokenizer(const fs::path& directory) {
  for (const char* name : {kVirgilTokenizerFile, kTokenizerJsonFile, kVocabFile, kMergesFile}) {
    if (holds(directory, name)) return load_tokenizer_file(directory / name);
  }
  for (const fs::path& checkpoint : list_checkpoints(directory)) {
    if (holds_tokenizer(checkpoint)) return load_tokenizer(checkpoint);
  }
  throw user_error("{}: {}", directory.string(), describe_absence(directory));
}

}  // namespace virgil

#include "virgil/data/tokenizer.h"

#include "data/byte_pair_tokenizer.h"
#include "data/virgil_tokenizer_file.h"
#include "virgil/base/error.h"
#include "virgil/base/file_system.h"
#include "virgil/data/tokenizer_builder.h"

namespace virgil {
namespace {

// GPT-2's tokenizer.json takes 3 MB; a char vocabulary of all of Unicode 12 MB.
constexpr std::int64_t kMaxTokenizerFileBytes = std::int64_t{64} << 20;

}  // namespace

std::unique_ptr<Tokenizer> make_tokenizer(std::string_view spec, std::string_view training_text) {
  const std::unique_ptr<TokenizerBuilder> builder = make_tokenizer_builder(spec);
  builder->add_text(training_text);
  return builder->finish();
}

std::unique_ptr<Tokenizer> load_tokenizer_file(const std::filesystem::path& path) {
  const std::string content = read_file(path, kMaxTokenizerFileBytes);
  if (path.filename() == kVirgilTokenizerFile) return read_virgil_tokenizer_file(content, path);
  if (path.extension() == ".json") return std::make_unique<BytePairTokenizer>(read_tokenizer_json(content, path), path);
  throw user_error("{}: not a tokenizer; give a folder that holds one, a {} or a {}", path.string(), kTokenizerJsonFile,
                   kVirgilTokenizerFile);
}

std::unique_ptr<Tokenizer> load_tokenizer(const std::filesystem::path& directory) {
  for (const char* name : {kVirgilTokenizerFile, kTokenizerJsonFile}) {
    if (std::filesystem::exists(directory / name)) return load_tokenizer_file(directory / name);
  }
  throw user_error("{}: holds no tokenizer (neither {} nor {})", directory.string(), kVirgilTokenizerFile, kTokenizerJsonFile);
}

}  // namespace virgil

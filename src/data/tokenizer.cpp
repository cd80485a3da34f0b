#include "virgil/data/tokenizer.h"

#include "data/byte_tokenizer.h"
#include "data/char_tokenizer.h"
#include "data/virgil_tokenizer_file.h"
#include "virgil/base/error.h"
#include "virgil/base/file_system.h"

namespace virgil {
namespace {

// A vocabulary of every Unicode character takes about 12 MB.
constexpr std::int64_t kMaxTokenizerFileBytes = std::int64_t{64} << 20;

}  // namespace

std::unique_ptr<Tokenizer> make_tokenizer(std::string_view spec, std::string_view training_text) {
  if (spec == "byte") return std::make_unique<ByteTokenizer>();
  if (spec == "char") return std::make_unique<CharTokenizer>(CharTokenizer::from_text(training_text));
  throw user_error("tokenizer \"{}\" is not known; known are byte and char", spec);
}

std::unique_ptr<Tokenizer> load_tokenizer(const std::filesystem::path& directory) {
  const std::filesystem::path path = directory / kVirgilTokenizerFile;
  if (!std::filesystem::exists(path)) {
    throw user_error("{}: holds no tokenizer ({} is missing)", directory.string(), kVirgilTokenizerFile);
  }
  return read_virgil_tokenizer_file(read_file(path, kMaxTokenizerFileBytes), path);
}

}  // namespace virgil

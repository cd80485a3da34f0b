// Tokenises strings for compare_tokenizers.py and compare_foreign_tokenizers.py.
//
//   tokenize_stream [--texts] TOKENIZER [TRAINING_TEXT [SAVE_DIRECTORY]]
//
// Reads strings from standard input, each a 32-bit length and its bytes; writes for each a 32-bit number of ids and the ids,
// and with --texts the length and the bytes of the text that the ids give. Without it ends with 1 when that is not the string.
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "virgil/base/error.h"
#include "virgil/data/tokenizer.h"

namespace {

std::string read_all(const char* path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

int tokenize_stream(const virgil::Tokenizer& tokenizer, bool with_texts) {
  std::uint32_t length = 0;
  std::string text;
  while (std::fread(&length, sizeof(length), 1, stdin) == 1) {
    text.resize(length);
    if (std::fread(text.data(), 1, length, stdin) != length) return 1;
    const std::vector<std::int32_t> ids = tokenizer.encode(text);
    const std::string decoded = tokenizer.decode(ids);
    if (!with_texts && decoded != text) return 1;
    const auto count = static_cast<std::uint32_t>(ids.size());
    std::fwrite(&count, sizeof(count), 1, stdout);
    std::fwrite(ids.data(), sizeof(ids[0]), ids.size(), stdout);
    if (!with_texts) continue;
    const auto size = static_cast<std::uint32_t>(decoded.size());
    std::fwrite(&size, sizeof(size), 1, stdout);
    std::fwrite(decoded.data(), 1, decoded.size(), stdout);
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const bool with_texts = argc > 1 && std::string_view(argv[1]) == "--texts";
  if (with_texts) {
    ++argv;
    --argc;
  }
  if (argc < 2) return 2;
  try {
    const auto tokenizer = virgil::make_tokenizer(argv[1], argc > 2 ? read_all(argv[2]) : "");
    if (argc > 3) {
      for (const auto& file : tokenizer->files()) {
        std::ofstream(std::filesystem::path(argv[3]) / file.name, std::ios::binary) << file.content;
      }
    }
    return tokenize_stream(*tokenizer, with_texts);
  } catch (const virgil::Error& error) {
    std::cerr << error.what() << '\n';
    return 2;
  }
}

#include "virgil/data/tokenizer_builder.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "data/bpe_trainer.h"
#include "data/byte_pair_tokenizer.h"
#include "data/byte_tokenizer.h"
#include "data/char_tokenizer.h"
#include "data/vocabulary_file.h"
#include "virgil/base/error.h"
#include "virgil/base/nearest_name.h"
#include "virgil/base/progress.h"
#include "virgil/data/end_of_text.h"

namespace virgil {
namespace {

constexpr std::string_view kBpePrefix = "bpe:";

class FixedBuilder final : public TokenizerBuilder {
 public:
  explicit FixedBuilder(std::unique_ptr<Tokenizer> tokenizer) : tokenizer_(std::move(tokenizer)) {}
  [[nodiscard]] bool needs_text() const override { return false; }
  [[nodiscard]] std::string end_of_text_mark() const override { return virgil::end_of_text_mark(*tokenizer_); }
  void add_text(std::string_view) override {}
  [[nodiscard]] std::unique_ptr<Tokenizer> finish() override { return std::move(tokenizer_); }

 private:
  std::unique_ptr<Tokenizer> tokenizer_;
};

class CharBuilder final : public TokenizerBuilder {
 public:
  [[nodiscard]] bool needs_text() const override { return true; }
  [[nodiscard]] std::string end_of_text_mark() const override { return {}; }
  void add_text(std::string_view piece) override { characters_.add(piece); }
  [[nodiscard]] std::unique_ptr<Tokenizer> finish() override {
    return std::make_unique<CharTokenizer>(characters_.code_points());
  }

 private:
  CharacterSet characters_;
};

class BpeBuilder final : public TokenizerBuilder {
 public:
  BpeBuilder(std::int64_t vocab_size, ProgressMonitor* progress) : vocab_size_(vocab_size), progress_(progress) {}
  [[nodiscard]] bool needs_text() const override { return true; }
  [[nodiscard]] std::string end_of_text_mark() const override { return std::string(kEndOfText); }
  void add_text(std::string_view piece) override { words_.add(piece); }
  [[nodiscard]] std::unique_ptr<Tokenizer> finish() override {
    return std::make_unique<BytePairTokenizer>(train_byte_pairs(words_.counts(), vocab_size_, progress_), "bpe trainer");
  }

 private:
  std::int64_t vocab_size_;
  ProgressMonitor* progress_;
  WordCounter words_;
};

std::int64_t parse_bpe_size(std::string_view spec) {
  const std::string_view digits = spec.substr(kBpePrefix.size());
  std::int64_t size = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), size);
  if (error != std::errc() || end != digits.data() + digits.size()) {
    throw user_error("tokenizer \"{}\": \"bpe:\" is followed by the number of ids, as in bpe:4096", spec);
  }
  return size;
}

/// What people mean by names that other programs know.
std::string hint_for(std::string_view spec) {
  std::string name(spec);
  std::ranges::transform(name, name.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  const auto is_one_of = [&](std::initializer_list<std::string_view> names) {
    return std::ranges::find(names, name) != names.end();
  };
  if (is_one_of({"bpe", "bbpe", "byte-bpe", "byte_bpe", "bytelevelbpe"})) {
    return "bpe takes the number of ids: bpe:4096 trains one on your text";
  }
  if (is_one_of({"gpt-2", "gpt2-medium", "gpt2-large", "gpt2-xl", "openai-community/gpt2", "r50k_base", "p50k_base", "tiktoken",
                 "gpt3", "gpt-3"})) {
    return "GPT-2's tokenizer, which GPT-3 shares, is gpt2";
  }
  if (is_one_of(
          {"cl100k_base", "o200k_base", "cl100k", "o200k", "gpt-4", "gpt4", "gpt-4o", "gpt4o", "gpt-3.5-turbo", "gpt-5"})) {
    return "a tokenizer of OpenAI's later models is not built in; give a folder with its tokenizer.json (such as Xenova/gpt-4 "
           "on "
           "Hugging Face), or take gpt2";
  }
  if (is_one_of({"sentencepiece", "spm", "unigram", "llama", "llama2", "t5", "wordpiece", "bert"})) {
    return "SentencePiece, Unigram and WordPiece are not built in; bpe:4096 trains a vocabulary of subwords on your text";
  }
  if (is_one_of({"word", "words", "wordlevel", "whitespace"})) {
    return "there is no tokenizer of whole words; bpe:4096 trains a vocabulary of frequent words and their parts on your text";
  }
  if (is_one_of({"character", "characters", "chars", "charlevel", "char-level", "char_level", "unicode"})) {
    return "one id for each character is char";
  }
  if (is_one_of({"bytes", "byte-level", "byte_level", "utf8", "utf-8", "raw", "ascii"})) return "one id for each byte is byte";
  if (name.find('/') != std::string::npos)
    return "there is no such file or folder; a model of Hugging Face must be downloaded first";
  const std::string known[] = {"byte", "char", "gpt2", "bpe:4096"};
  if (const std::string near = nearest_name(name, known); !near.empty()) return fmt::format("did you mean {}?", near);
  return "a path must name a tokenizer file, or a folder that holds one";
}

}  // namespace

std::unique_ptr<TokenizerBuilder> make_tokenizer_builder(std::string_view spec, ProgressMonitor* progress) {
  const auto fixed = [](std::unique_ptr<Tokenizer> tokenizer) { return std::make_unique<FixedBuilder>(std::move(tokenizer)); };
  if (spec == "byte") return fixed(std::make_unique<ByteTokenizer>());
  if (spec == "char") return std::make_unique<CharBuilder>();
  if (spec == "gpt2") return fixed(std::make_unique<BytePairTokenizer>(read_gpt2_vocabulary(), "gpt2"));
  if (spec.starts_with(kBpePrefix)) return std::make_unique<BpeBuilder>(parse_bpe_size(spec), progress);
  const std::filesystem::path path{std::string(spec)};
  std::error_code ignored;
  if (!spec.empty() && std::filesystem::is_directory(path, ignored)) return fixed(load_tokenizer(path));
  if (!spec.empty() && std::filesystem::exists(path, ignored)) return fixed(load_tokenizer_file(path));
  throw user_error("tokenizer \"{}\" is neither known nor a file; known are byte, char, gpt2 and bpe:<size>: {}",
                   spec.substr(0, 200), hint_for(spec));
}

}  // namespace virgil

#include "virgil/generate/prompt.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <istream>
#include <iterator>
#include <string_view>

#include "virgil/base/error.h"
#include "virgil/base/file_system.h"
#include "virgil/base/format.h"
#include "virgil/data/end_of_text.h"
#include "virgil/data/text_bytes.h"

namespace virgil {

namespace {

constexpr std::int64_t kMaxPromptBytes = std::int64_t{1} << 30;

/// Whether the tokenizer gives a space to the word behind it, as byte-level BPE does: a prompt's last space then is a token
/// that hardly ever stood before a word in training.
bool joins_space_to_word(const Tokenizer& tokenizer) {
  for (std::int32_t id = 0; id < tokenizer.vocab_size(); ++id) {
    const std::string text = tokenizer.decode({&id, 1});
    if (text.size() > 1 && text[0] == ' ' && text[1] != ' ') return true;
  }
  return false;
}

void note_last_space(const Tokenizer& tokenizer, const std::string& prompt, Logger& log) {
  if (!prompt.ends_with(' ') || !joins_space_to_word(tokenizer)) return;
  log.info(
      fmt::format("hint: the prompt ends with a space. The {} tokenizer joins a space to the word after it, so this one stands "
                  "alone, as it hardly ever did in training; leave it out",
                  tokenizer.name()));
}

void note_spelt_bytes(const Tokenizer& tokenizer, const std::vector<std::int32_t>& tokens, Logger& log) {
  const std::int32_t first = tokenizer.first_half_byte();
  if (first < 0) return;
  const std::int64_t bytes = std::ranges::count_if(tokens, [&](std::int32_t id) { return id >= first; }) / 2;
  if (bytes == 0) return;
  log.info(fmt::format(
      "hint: {} of the prompt's bytes belong{} to characters that were not in the text the {} tokenizer was made from: the "
      "model has not learned what they mean",
      format_count(bytes), bytes == 1 ? "s" : "", tokenizer.name()));
}

/// The prompt's tokens; the tokenizer's end of text, as texts spell it, ends a document as in the texts of training.
std::vector<std::int32_t> encode_documents(const Tokenizer& tokenizer, std::string_view prompt) {
  const std::string mark = end_of_text_mark(tokenizer);
  if (mark.empty()) return tokenizer.encode(prompt);
  std::vector<std::int32_t> tokens;
  for (std::size_t at = prompt.find(mark); at != prompt.npos; at = prompt.find(mark)) {
    const std::vector<std::int32_t> document = tokenizer.encode(prompt.substr(0, at));
    tokens.insert(tokens.end(), document.begin(), document.end());
    tokens.push_back(tokenizer.end_of_text());
    prompt.remove_prefix(at + mark.size());
  }
  const std::vector<std::int32_t> rest = tokenizer.encode(prompt);
  tokens.insert(tokens.end(), rest.begin(), rest.end());
  return tokens;
}

/// Puts the end of text, which begins a document, before the tokens.
void begin_document(std::vector<std::int32_t>& tokens, const Tokenizer& tokenizer, std::string_view why,
                    std::string_view remedy) {
  if (tokenizer.end_of_text() < 0) {
    throw user_error("{}, and the {} tokenizer has no end-of-text token that begins a document; {}", why, tokenizer.name(),
                     remedy);
  }
  tokens.insert(tokens.begin(), tokenizer.end_of_text());
}

}  // namespace

void check_prompt(const std::string& prompt, const std::string& name) {
  const std::size_t nul = prompt.find('\0');
  if (nul == std::string::npos) return;
  throw user_error("{}: the prompt holds a NUL byte at offset {}, so it is not a text; give a text to continue", name, nul);
}

std::string prompt_from_bytes(const std::string& bytes, const std::string& name, Logger& log) {
  std::string prompt = convert_text(bytes, name, log);
  check_prompt(prompt, name);
  return prompt;
}

std::string prompt_from_file(const std::filesystem::path& path, Logger& log) {
  return prompt_from_bytes(read_file(path, kMaxPromptBytes), path.string(), log);
}

std::string prompt_from_stream(std::istream& in, Logger& log) {
  const std::string bytes(std::istreambuf_iterator<char>(in), {});
  return prompt_from_bytes(bytes, kStandardInput, log);
}

std::vector<std::int32_t> encode_prompt(const Tokenizer& tokenizer, const std::string& prompt, bool new_document, Logger& log) {
  std::vector<std::int32_t> tokens = encode_documents(tokenizer, prompt);
  note_last_space(tokenizer, prompt, log);
  note_spelt_bytes(tokenizer, tokens, log);
  if (tokens.empty() && !new_document) {
    begin_document(tokens, tokenizer, "the prompt is empty", "give at least one character, such as --prompt $'\\n'");
  } else if (new_document) {
    begin_document(tokens, tokenizer, "new_document is asked for", "leave --new_document out");
  }
  return tokens;
}

std::vector<std::int32_t> encode_sample_prompt(const Tokenizer& tokenizer, const std::string& prompt) {
  std::vector<std::int32_t> tokens = encode_documents(tokenizer, prompt);
  if (tokens.empty()) begin_document(tokens, tokenizer, "sample_prompt is empty", "give at least one character");
  return tokens;
}

}  // namespace virgil

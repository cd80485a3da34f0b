// What a prompt is to a model: the text it was given as, and the tokens that are read.
#pragma once

#include <cstdint>
#include <filesystem>
#include <iosfwd>
#include <string>
#include <vector>

#include "virgil/base/logging.h"
#include "virgil/data/tokenizer.h"

namespace virgil {

/// What messages call the standard input.
inline constexpr const char* kStandardInput = "standard input";

/// The texts of prompts, converted as the texts of training are, so that the model reads characters it knows: UTF-16 becomes
/// UTF-8, a byte order mark goes, CRLF becomes LF. Throws UserError on bytes that are no text.
[[nodiscard]] std::string prompt_from_bytes(const std::string& bytes, const std::string& name, Logger& log);
[[nodiscard]] std::string prompt_from_file(const std::filesystem::path& path, Logger& log);
[[nodiscard]] std::string prompt_from_stream(std::istream& in, Logger& log);
/// Throws UserError where a prompt holds a NUL.
void check_prompt(const std::string& prompt, const std::string& name);

/// The tokens a prompt is read as: behind the end of text, which begins a document, where the prompt is empty or
/// `new_document`; where its spelling stands in the prompt it is that token too. Says through `log` what makes a prompt go
/// wrong: a space at its end, characters without an id. Throws UserError where the tokenizer has no end of text and one is
/// needed.
[[nodiscard]] std::vector<std::int32_t> encode_prompt(const Tokenizer& tokenizer, const std::string& prompt, bool new_document,
                                                      Logger& log);
/// The same of the prompt of samples during training, without hints.
[[nodiscard]] std::vector<std::int32_t> encode_sample_prompt(const Tokenizer& tokenizer, const std::string& prompt);

}  // namespace virgil

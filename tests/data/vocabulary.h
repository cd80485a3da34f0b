// What tests of the byte-pair tokenizer share.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "support/repository.h"
#include "virgil/base/error.h"
#include "virgil/data/tokenizer.h"

namespace virgil::test_support {

/// GPT-2's tokenizer, or null where its vocabulary has not been fetched.
inline std::unique_ptr<Tokenizer> gpt2_or_null() {
  try {
    return make_tokenizer("gpt2", "");
  } catch (const UserError& error) {
    if (std::string_view(error.what()).find("data/fetch_gpt2_vocab.sh, which downloads") == std::string_view::npos) throw;
    return nullptr;
  }
}

inline nlohmann::json read_golden(const std::string& name) {
  std::ifstream file(repository_path("tests/golden/" + name));
  return nlohmann::json::parse(file);
}

inline std::string from_hex(const std::string& hex) {
  std::string bytes;
  for (std::size_t i = 0; i < hex.size(); i += 2) bytes.push_back(static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  return bytes;
}

/// A text on which a small byte-pair vocabulary can be trained.
inline const std::string kTercets =
    "Nel mezzo del cammin di nostra vita\nmi ritrovai per una selva oscura,\nché la diritta via era smarrita.\n\n"
    "Ahi quanto a dir qual era è cosa dura\nesta selva selvaggia e aspra e forte\nche nel pensier rinova la paura!\n";

}  // namespace virgil::test_support

#define VIRGIL_GPT2_OR_SKIP(name)                                       \
  const std::unique_ptr<Tokenizer> name = test_support::gpt2_or_null(); \
  if (name == nullptr) GTEST_SKIP() << "GPT-2's vocabulary is not there; run data/fetch_gpt2_vocab.sh"

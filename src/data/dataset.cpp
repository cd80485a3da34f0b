#include "virgil/data/dataset.h"

#include "data/parallel_encode.h"
#include "data/utf8.h"
#include "virgil/base/error.h"
#include "virgil/base/sha256.h"

namespace virgil {

TextSplit split_text(std::string_view text, double val_fraction) {
  if (!(val_fraction >= 0.0 && val_fraction < 1.0)) {
    throw user_error("val_fraction is {}; it must be at least 0 and below 1", val_fraction);
  }
  if (val_fraction == 0.0) return {text, {}};
  const auto wanted = static_cast<std::size_t>(static_cast<double>(text.size()) * (1.0 - val_fraction));
  const std::size_t cut = find_character_cut(text, wanted);
  return {text.substr(0, cut), text.substr(cut)};
}

TokenData tokenize(const Tokenizer& tokenizer, std::string_view text) {
  TokenData data{tokenizer.encode(text), static_cast<std::int64_t>(text.size()), {}};
  Sha256 hash;
  hash.update(std::as_bytes(std::span(data.tokens)));
  data.fingerprint = hash.finish();
  return data;
}

}  // namespace virgil

// One id per byte: 256 ids, no training.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "virgil/data/tokenizer.h"

namespace virgil {

class ByteTokenizer final : public Tokenizer {
 public:
  [[nodiscard]] std::string name() const override { return "byte"; }
  [[nodiscard]] std::int64_t vocab_size() const override { return 256; }
  [[nodiscard]] std::vector<std::int32_t> encode(std::string_view text) const override;
  [[nodiscard]] std::string decode(std::span<const std::int32_t> tokens) const override;
  [[nodiscard]] std::int32_t end_of_text() const override { return -1; }
  [[nodiscard]] std::vector<File> files() const override;
  [[nodiscard]] std::string fingerprint() const override;
};

}  // namespace virgil

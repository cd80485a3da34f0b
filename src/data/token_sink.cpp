#include "virgil/data/token_sink.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <span>
#include <utility>

#include "virgil/base/error.h"
#include "virgil/data/token_file.h"

namespace virgil {

void MemorySink::add(std::vector<std::int32_t> tokens, std::int64_t text_bytes) {
  text_bytes_ += text_bytes;
  if (tokens_.empty()) {
    tokens_ = std::move(tokens);
  } else {
    // insert(end) is the same, and g++ 14 warns of the overflow of a vector that it takes to be empty.
    const std::size_t size = tokens_.size();
    tokens_.resize(size + tokens.size());
    std::ranges::copy(tokens, tokens_.begin() + static_cast<std::ptrdiff_t>(size));
  }
}

ShardSink::ShardSink(FileSystem& files, std::filesystem::path folder, std::string prefix, const Tokenizer& tokenizer,
                     ShardOptions options)
    : files_(files), folder_(std::move(folder)), prefix_(std::move(prefix)), tokenizer_(tokenizer), options_(options) {}

void ShardSink::add(std::vector<std::int32_t> tokens, std::int64_t text_bytes) {
  text_bytes_ += text_bytes;
  // Never far beyond a token file's size, which doubling would exceed.
  const std::size_t wanted = tokens_.size() + tokens.size();
  if (wanted > tokens_.capacity()) tokens_.reserve(std::max(wanted, std::min(2 * wanted, options_.tokens + tokens.size())));
  tokens_.insert(tokens_.end(), tokens.begin(), tokens.end());
  while (tokens_.size() >= options_.tokens) write_shard(options_.tokens);
}

std::vector<std::string> ShardSink::finish() {
  if (!tokens_.empty()) write_shard(tokens_.size());
  return std::move(names_);
}

// Bytes of text are counted by piece: a shard that ends inside a piece leaves that piece's bytes to this one.
void ShardSink::write_shard(std::size_t num_tokens) {
  if (names_.empty()) files_.create_directories(folder_);
  names_.push_back(fmt::format("{}-{:05}.bin", prefix_, names_.size()));
  write_token_file(files_, folder_ / names_.back(), options_.format, tokenizer_,
                   std::span<const std::int32_t>(tokens_).first(num_tokens), text_bytes_);
  tokens_.erase(tokens_.begin(), tokens_.begin() + static_cast<std::ptrdiff_t>(num_tokens));
  text_bytes_ = 0;
}

}  // namespace virgil

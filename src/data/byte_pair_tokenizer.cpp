#include "data/byte_pair_tokenizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "data/parallel_encode.h"
#include "data/text_cuts.h"
#include "data/token_checks.h"
#include "data/word_scanner.h"
#include "virgil/base/error.h"

namespace virgil {
namespace {

// fingerprint_of() GPT-2's vocabulary; what makes a loaded tokenizer.json "gpt2".
constexpr std::string_view kGpt2Fingerprint = "79ca5d70330e4bf55c8d682b97310e3c60026aa84d5585255d204e613f507e3e";

constexpr std::size_t kCopyBytes = 16;  // most tokens are shorter, and one wide copy beats a loop

/// Remembers the ids of short words; a text repeats few words often. Direct-mapped: a newer word displaces an older one.
class WordCache {
 public:
  static constexpr std::size_t kMaxWordBytes = 15;
  static constexpr std::size_t kMaxIds = 4;

  struct Entry {
    std::uint64_t low = 0;
    std::uint64_t high = 0;                   // its last byte is the word's length, so no word equals the empty entry
    std::array<std::int32_t, kMaxIds> ids{};  // -1 after the last one
  };

  explicit WordCache(std::size_t text_bytes)
      : entries_(std::bit_ceil(std::clamp<std::size_t>(text_bytes / 8, 16, std::size_t{1} << 15))),
        shift_(64 - std::countr_zero(entries_.size())) {}

  static Entry key_of(std::string_view word) {
    std::array<char, 16> bytes{};
    std::memcpy(bytes.data(), word.data(), word.size());
    bytes[15] = static_cast<char>(word.size());
    Entry key;
    std::memcpy(&key.low, bytes.data(), 8);
    std::memcpy(&key.high, bytes.data() + 8, 8);
    return key;
  }
  Entry& slot(const Entry& key) {
    const std::uint64_t hash = (key.low ^ std::rotl(key.high, 29) * 0xFF51AFD7ED558CCDU) * 0x9E3779B97F4A7C15U;
    return entries_[static_cast<std::size_t>(hash >> shift_)];
  }

 private:
  std::vector<Entry> entries_;
  int shift_;
};

/// Collects ids in a small array before they go to the vector, which spares its bookkeeping at every id.
class IdBuffer {
 public:
  explicit IdBuffer(std::vector<std::int32_t>& out) : out_(out) {}
  // Room for kMaxIds more.
  std::int32_t* reserve() {
    if (filled_ + WordCache::kMaxIds > ids_.size()) flush();
    return ids_.data() + filled_;
  }
  void advance(std::size_t count) { filled_ += count; }
  void flush() {
    out_.insert(out_.end(), ids_.begin(), ids_.begin() + static_cast<std::ptrdiff_t>(filled_));
    filled_ = 0;
  }

 private:
  std::vector<std::int32_t>& out_;
  std::array<std::int32_t, 4096> ids_;
  std::size_t filled_ = 0;
};

}  // namespace

BytePairTokenizer::BytePairTokenizer(BytePairVocabulary vocabulary, const std::filesystem::path& origin)
    : vocabulary_(std::move(vocabulary)), merges_(vocabulary_.merges.size()) {
  std::vector<Symbol> symbol_of(vocabulary_.tokens.size(), MergeTable::kNone);
  for (std::size_t byte = 0; byte < 256; ++byte) {
    symbol_of[static_cast<std::size_t>(vocabulary_.byte_ids[byte])] = static_cast<Symbol>(byte);
    id_of_symbol_.push_back(vocabulary_.byte_ids[byte]);
  }
  for (const auto& merge : vocabulary_.merges) {
    const Symbol left = symbol_of[static_cast<std::size_t>(merge.left)];
    const Symbol right = symbol_of[static_cast<std::size_t>(merge.right)];
    Symbol& result = symbol_of[static_cast<std::size_t>(merge.result)];
    const std::size_t number = id_of_symbol_.size() - 256;
    if (left == MergeTable::kNone || right == MergeTable::kNone) {
      throw user_error("{}: merge {} joins a token that no earlier merge makes", origin.string(), number);
    }
    if (result != MergeTable::kNone)
      throw user_error("{}: merge {} makes a token that exists already", origin.string(), number);
    result = merges_.add(left, right);
    id_of_symbol_.push_back(merge.result);
  }
  starts_.push_back(0);
  for (const std::string& token : vocabulary_.tokens) {
    bytes_ += token;
    starts_.push_back(static_cast<std::uint32_t>(bytes_.size()));
  }
  bytes_.append(kCopyBytes, '\0');
  fingerprint_ = fingerprint_of(vocabulary_);
  name_ = fingerprint_ == kGpt2Fingerprint ? "gpt2" : fmt::format("bpe:{}", vocab_size());
}

std::vector<std::int32_t> BytePairTokenizer::encode(std::string_view text) const {
  return encode_in_parallel(text, find_word_cut,
                            [this](std::string_view piece, std::vector<std::int32_t>& out) { encode_piece(piece, out); });
}

void BytePairTokenizer::encode_piece(std::string_view piece, std::vector<std::int32_t>& out) const {
  WordScanner scanner(piece, classes_);
  WordMerger merger(merges_);
  WordCache cache(piece.size());
  IdBuffer ids(out);
  std::vector<Symbol> symbols;
  out.reserve(out.size() + piece.size() / 3);
  for (std::string_view word = scanner.next(); !word.empty(); word = scanner.next()) {
    const bool short_word = word.size() <= WordCache::kMaxWordBytes;
    WordCache::Entry key;
    WordCache::Entry* entry = nullptr;
    if (short_word) {
      key = WordCache::key_of(word);
      entry = &cache.slot(key);
      if (entry->low == key.low && entry->high == key.high) {
        std::memcpy(ids.reserve(), entry->ids.data(), sizeof(entry->ids));
        std::size_t count = 1;
        while (count < WordCache::kMaxIds && entry->ids[count] >= 0) ++count;
        ids.advance(count);
        continue;
      }
    }
    merger.merge(word, symbols);
    for (const Symbol symbol : symbols) {
      *ids.reserve() = id_of_symbol_[symbol];
      ids.advance(1);
    }
    if (short_word && symbols.size() <= WordCache::kMaxIds) {
      key.ids.fill(-1);
      std::transform(symbols.begin(), symbols.end(), key.ids.begin(), [this](Symbol symbol) { return id_of_symbol_[symbol]; });
      *entry = key;
    }
  }
  ids.flush();
}

std::string BytePairTokenizer::decode(std::span<const std::int32_t> tokens) const {
  check_tokens(tokens, vocab_size(), name_);
  std::size_t size = 0;
  for (const std::int32_t token : tokens) {
    const auto index = static_cast<std::size_t>(token);
    size += starts_[index + 1] - starts_[index];
  }
  std::string text(size + kCopyBytes, '\0');
  char* out = text.data();
  for (const std::int32_t token : tokens) {
    const auto index = static_cast<std::size_t>(token);
    const std::size_t length = starts_[index + 1] - starts_[index];
    const char* bytes = bytes_.data() + starts_[index];
    if (length <= kCopyBytes) {
      std::memcpy(out, bytes, kCopyBytes);
    } else {
      std::memcpy(out, bytes, length);
    }
    out += length;
  }
  text.resize(size);
  return text;
}

std::vector<Tokenizer::File> BytePairTokenizer::files() const {
  return {{kTokenizerJsonFile, write_tokenizer_json(vocabulary_)}};
}

}  // namespace virgil

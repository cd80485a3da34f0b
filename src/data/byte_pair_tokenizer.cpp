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

#include "data/canonical_composition.h"
#include "data/parallel_encode.h"
#include "data/text_cuts.h"
#include "data/token_checks.h"
#include "data/tokenizer_config.h"
#include "data/word_scanner.h"
#include "virgil/base/error.h"

namespace virgil {
namespace {

// fingerprint_of() GPT-2's vocabulary; what makes a loaded tokenizer.json "gpt2".
constexpr std::string_view kGpt2Fingerprint = "79ca5d70330e4bf55c8d682b97310e3c60026aa84d5585255d204e613f507e3e";

constexpr std::size_t kCopyBytes = 16;  // most tokens are shorter, and one wide copy beats a loop

}  // namespace

/// Turns words into ids; keeps its scratch memory from word to word.
class BytePairTokenizer::WordEncoder {
 private:
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

 public:
  WordEncoder(const BytePairTokenizer& tokenizer, std::size_t text_bytes, std::vector<std::int32_t>& out)
      : tokenizer_(tokenizer), merger_(tokenizer.merges_), cache_(text_bytes), ids_(out) {}

  void add(std::string_view word) {
    const bool short_word = word.size() <= WordCache::kMaxWordBytes;
    WordCache::Entry key;
    WordCache::Entry* entry = nullptr;
    if (short_word) {
      key = WordCache::key_of(word);
      entry = &cache_.slot(key);
      if (entry->low == key.low && entry->high == key.high) {
        std::memcpy(ids_.reserve(), entry->ids.data(), sizeof(entry->ids));
        std::size_t count = 1;
        while (count < WordCache::kMaxIds && entry->ids[count] >= 0) ++count;
        ids_.advance(count);
        return;
      }
    }
    word_ids_.clear();
    if (tokenizer_.is_gpt2_way_) {
      append_merged(word);
    } else {
      append_by_rules(word);
    }
    for (const std::int32_t id : word_ids_) {
      *ids_.reserve() = id;
      ids_.advance(1);
    }
    if (short_word && !word_ids_.empty() && word_ids_.size() <= WordCache::kMaxIds) {
      key.ids.fill(-1);
      std::ranges::copy(word_ids_, key.ids.begin());
      *entry = key;
    }
  }
  void finish() { ids_.flush(); }

 private:
  void append_merged(std::string_view word) {
    merger_.merge(word, symbols_);
    for (const Symbol symbol : symbols_) word_ids_.push_back(tokenizer_.id_of_symbol_[symbol]);
  }

  void append_by_rules(std::string_view word) {
    const BytePairRules& rules = tokenizer_.vocabulary_.rules;
    if (rules.ignores_merges) {
      const auto whole = tokenizer_.whole_words_.find(word);
      if (whole != tokenizer_.whole_words_.end()) return word_ids_.push_back(whole->second);
    }
    // Bytes without an id: dropped, so that their neighbours may merge, or each a token that nothing merges with.
    known_.clear();
    bool after_unknown = false;
    for (const char c : word) {
      const bool is_known = tokenizer_.vocabulary_.byte_ids[static_cast<unsigned char>(c)] >= 0;
      if (is_known) {
        known_.push_back(c);
      } else if (rules.unknown_id >= 0) {
        flush_known();
        if (!after_unknown || !rules.fuses_unknown) word_ids_.push_back(rules.unknown_id);
      }
      after_unknown = !is_known;
    }
    flush_known();
  }

  void flush_known() {
    if (!known_.empty()) append_merged(known_);
    known_.clear();
  }

  const BytePairTokenizer& tokenizer_;
  WordMerger merger_;
  WordCache cache_;
  IdBuffer ids_;
  std::vector<Symbol> symbols_;
  std::vector<std::int32_t> word_ids_;
  std::string known_;
};

BytePairTokenizer::BytePairTokenizer(BytePairVocabulary vocabulary, const std::filesystem::path& origin)
    : vocabulary_(std::move(vocabulary)),
      splitter_(vocabulary_.rules.splitting, classes_),
      is_gpt2_way_(vocabulary_.rules.is_gpt2() && std::ranges::count(vocabulary_.byte_ids, -1) == 0),
      raw_added_(vocabulary_.rules.added, false),
      normalized_added_(vocabulary_.rules.added, true),
      merges_(vocabulary_.merges.size()) {
  add_merges(origin);
  if (vocabulary_.rules.ignores_merges) {
    for (std::size_t id = 0; id < vocabulary_.tokens.size(); ++id) {
      whole_words_.try_emplace(vocabulary_.tokens[id], static_cast<std::int32_t>(id));
    }
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

void BytePairTokenizer::add_merges(const std::filesystem::path& origin) {
  const auto& merges = vocabulary_.merges;
  const auto pair_of = [](const BytePairVocabulary::Merge& merge) {
    return (std::uint64_t{static_cast<std::uint32_t>(merge.left)} << 32) | static_cast<std::uint32_t>(merge.right);
  };
  std::unordered_map<std::uint64_t, std::size_t> last_of_pair;
  std::vector<Symbol> symbol_of(vocabulary_.tokens.size(), MergeTable::kNone);
  for (std::size_t byte = 0; byte < 256; ++byte) {
    const std::int32_t id = vocabulary_.byte_ids[byte];
    if (id >= 0) symbol_of[static_cast<std::size_t>(id)] = static_cast<Symbol>(byte);
    id_of_symbol_.push_back(id);
  }
  for (std::size_t i = 0; i < merges.size(); ++i) {
    last_of_pair[pair_of(merges[i])] = i;
    Symbol& result = symbol_of[static_cast<std::size_t>(merges[i].result)];
    if (result == MergeTable::kNone) result = static_cast<Symbol>(256 + i);
  }
  for (std::size_t i = 0; i < merges.size(); ++i) {
    const Symbol left = symbol_of[static_cast<std::size_t>(merges[i].left)];
    const Symbol right = symbol_of[static_cast<std::size_t>(merges[i].right)];
    const Symbol result = symbol_of[static_cast<std::size_t>(merges[i].result)];
    id_of_symbol_.push_back(merges[i].result);
    if (result != 256 + i) merges_.make_same(i, result);
    const bool applies = left != MergeTable::kNone && right != MergeTable::kNone && last_of_pair[pair_of(merges[i])] == i;
    if (!applies) {
      merges_.skip();
    } else if (merges_.add(left, right) == MergeTable::kNone) {
      throw user_error("{}: merge {} joins a pair that has a merge already", origin.string(), i);
    }
  }
}

std::vector<std::int32_t> BytePairTokenizer::encode(std::string_view text) const {
  if (is_gpt2_way_) {
    return encode_in_parallel(
        text, find_word_cut, [this](std::string_view piece, std::vector<std::int32_t>& out) { encode_gpt2_piece(piece, out); });
  }
  std::vector<std::int32_t> ids;
  const auto append_run = [&](std::string_view run) {
    const std::vector<std::int32_t> more = encode_run(run);
    ids.insert(ids.end(), more.begin(), more.end());
  };
  const auto append_id = [&](std::int32_t id) { ids.push_back(id); };
  raw_added_.visit(text, append_id, [&](std::string_view between) {
    const std::string composed = vocabulary_.rules.composes ? compose_canonically(between) : std::string();
    normalized_added_.visit(vocabulary_.rules.composes ? composed : between, append_id, append_run);
  });
  return ids;
}

std::vector<std::int32_t> BytePairTokenizer::encode_run(std::string_view text) const {
  const auto find_cut = [this](std::string_view rest, std::size_t position) { return splitter_.find_cut(rest, position); };
  return encode_in_parallel(text, find_cut, [&](std::string_view piece, std::vector<std::int32_t>& out) {
    WordEncoder encoder(*this, piece.size(), out);
    splitter_.split(piece, piece.data() == text.data(), [&](std::string_view word) { encoder.add(word); });
    encoder.finish();
  });
}

void BytePairTokenizer::encode_gpt2_piece(std::string_view piece, std::vector<std::int32_t>& out) const {
  WordScanner scanner(piece, classes_);
  WordEncoder encoder(*this, piece.size(), out);
  out.reserve(out.size() + piece.size() / 3);
  for (std::string_view word = scanner.next(); !word.empty(); word = scanner.next()) encoder.add(word);
  encoder.finish();
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
  const bool as_read = !vocabulary_.tokenizer_json.empty();
  const std::int32_t end = vocabulary_.end_of_text;
  return {{kTokenizerJsonFile, as_read ? vocabulary_.tokenizer_json : write_tokenizer_json(vocabulary_)},
          {kTokenizerConfigFile, write_tokenizer_config(end < 0 ? "" : vocabulary_.tokens[static_cast<std::size_t>(end)])}};
}

std::string BytePairTokenizer::caveat() const {
  const auto missing = std::ranges::count(vocabulary_.byte_ids, -1);
  if (missing == 0) return {};
  std::string examples;
  int shown = 0;
  for (std::size_t byte = 0; byte < 256 && shown < 5; ++byte) {
    if (vocabulary_.byte_ids[byte] >= 0) continue;
    examples += fmt::format("{}0x{:02X}", shown == 0 ? "" : ", ", byte);
    ++shown;
  }
  return fmt::format("the tokenizer has no id for {} of the 256 bytes ({}{}): {}", missing, examples,
                     missing > shown ? ", ..." : "",
                     vocabulary_.rules.unknown_id < 0 ? "they are dropped from texts" : "its unknown token stands for them");
}

}  // namespace virgil

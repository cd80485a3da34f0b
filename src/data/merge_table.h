// Which two neighbouring symbols of a word join, and when: the heart of byte-pair encoding (Sennrich, Haddow, Birch: "Neural
// Machine Translation of Rare Words with Subword Units", ACL 2016).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace virgil {

/// A symbol is a byte (0 .. 255) or what merge number k made (256 + k). So of two merges the one with the smaller symbol comes
/// first, and a symbol is all there is to store. Where several merges make one token, its symbol is the first one's.
using Symbol = std::uint32_t;

/// Open-addressing hash from (left, right) to the symbol they make; 8 bytes a slot.
class MergeTable {
 public:
  static constexpr Symbol kNone = 0xFFFFFFFFU;
  static constexpr std::uint32_t kMaxMerges = (1U << 21) - 256 - 1;

  /// Room for `num_merges`, at most kMaxMerges.
  explicit MergeTable(std::size_t num_merges);

  /// Adds the next merge and returns its symbol; returns kNone, and adds nothing, when the pair has one already.
  Symbol add(Symbol left, Symbol right);
  /// Counts a merge that never applies.
  void skip() { ++next_; }
  /// From now on merge `number` (counted from 0) makes the token of an earlier or later one: what it makes is that one's
  /// symbol.
  void make_same(std::size_t number, Symbol result);

  /// What applying a merge makes: its own symbol, if make_same has not named another.
  [[nodiscard]] Symbol result_of(Symbol merge) const { return results_.empty() ? merge : results_[merge]; }

  [[nodiscard]] Symbol find(Symbol left, Symbol right) const {
    const std::uint64_t key = pair_key(left, right);
    for (std::size_t slot = slot_of(key);; slot = (slot + 1) & mask_) {
      const std::uint64_t entry = slots_[slot];
      if ((entry >> kSymbolBits) == key) return static_cast<Symbol>(entry & kSymbolMask);
      if (entry == kEmpty) return kNone;
    }
  }

 private:
  static constexpr int kSymbolBits = 21;
  static constexpr std::uint64_t kSymbolMask = (std::uint64_t{1} << kSymbolBits) - 1;
  static constexpr std::uint64_t kEmpty = ~std::uint64_t{0};

  static std::uint64_t pair_key(Symbol left, Symbol right) { return (std::uint64_t{left} << kSymbolBits) | right; }
  [[nodiscard]] std::size_t slot_of(std::uint64_t key) const {
    return static_cast<std::size_t>((key * 0x9E3779B97F4A7C15U) >> shift_);
  }

  std::vector<std::uint64_t> slots_;
  std::size_t mask_ = 0;
  int shift_ = 0;
  Symbol next_ = 256;
  std::vector<Symbol> results_;  // by symbol; empty while each merge makes its own
};

/// Applies merges to words, keeping its scratch memory from word to word; one per thread.
class WordMerger {
 public:
  explicit WordMerger(const MergeTable& table) : table_(table) {}

  /// Replaces `out` by the symbols of the word: again and again the earliest merge that applies, leftmost first.
  void merge(std::string_view word, std::vector<Symbol>& out);

 private:
  struct Node {
    Symbol symbol;
    std::int32_t previous;
    std::int32_t next;
  };
  struct Candidate {
    Symbol result;
    std::int32_t left;
    friend bool operator>(const Candidate& a, const Candidate& b) {
      return a.result != b.result ? a.result > b.result : a.left > b.left;
    }
  };

  void merge_short(std::string_view word, std::vector<Symbol>& out);
  void merge_long(std::string_view word, std::vector<Symbol>& out);
  void push_candidate(std::int32_t left);

  const MergeTable& table_;
  std::vector<Node> nodes_;
  std::vector<Candidate> heap_;
};

}  // namespace virgil

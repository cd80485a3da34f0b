#include "data/merge_table.h"

#include <algorithm>
#include <array>
#include <bit>
#include <functional>
#include <limits>
#include <numeric>

#include "virgil/base/error.h"

namespace virgil {
namespace {

// Up to here a scan for the earliest merge is faster than keeping a heap.
constexpr std::size_t kMaxShortWord = 48;

}  // namespace

MergeTable::MergeTable(std::size_t num_merges) {
  VIRGIL_CHECK(num_merges <= kMaxMerges, "{} merges", num_merges);
  const std::size_t slots = std::bit_ceil(std::max<std::size_t>(16, num_merges * 2));
  slots_.assign(slots, kEmpty);
  mask_ = slots - 1;
  shift_ = 64 - std::countr_zero(slots);
}

Symbol MergeTable::add(Symbol left, Symbol right) {
  VIRGIL_CHECK((next_ - 256) * 2 <= mask_ + 1, "more merges than the table was made for");
  const std::uint64_t key = pair_key(left, right);
  std::size_t slot = slot_of(key);
  while (slots_[slot] != kEmpty) {
    if ((slots_[slot] >> kSymbolBits) == key) return kNone;
    slot = (slot + 1) & mask_;
  }
  slots_[slot] = (key << kSymbolBits) | next_;
  return next_++;
}

void MergeTable::make_same(std::size_t number, Symbol result) {
  if (results_.empty()) {
    results_.resize(256 + (mask_ + 1) / 2 + 1);
    std::iota(results_.begin(), results_.end(), Symbol{0});
  }
  results_[256 + number] = result;
}

void WordMerger::merge(std::string_view word, std::vector<Symbol>& out) {
  if (word.size() <= kMaxShortWord) return merge_short(word, out);
  if (word.size() >= static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max())) {
    throw user_error("a word of {} bytes without white space is too long to encode", word.size());
  }
  merge_long(word, out);
}

void WordMerger::merge_short(std::string_view word, std::vector<Symbol>& out) {
  std::array<Symbol, kMaxShortWord> symbols;
  std::array<Symbol, kMaxShortWord> results;  // results[i]: what symbols[i] and symbols[i + 1] make
  std::size_t size = word.size();
  for (std::size_t i = 0; i < size; ++i) symbols[i] = static_cast<unsigned char>(word[i]);
  for (std::size_t i = 0; i + 1 < size; ++i) results[i] = table_.find(symbols[i], symbols[i + 1]);
  while (size > 1) {
    const auto first = std::min_element(results.begin(), results.begin() + static_cast<std::ptrdiff_t>(size - 1));
    if (*first == MergeTable::kNone) break;
    const auto at = static_cast<std::size_t>(first - results.begin());
    symbols[at] = table_.result_of(*first);
    --size;
    for (std::size_t i = at + 1; i < size; ++i) {
      symbols[i] = symbols[i + 1];
      results[i - 1] = results[i];
    }
    if (at + 1 < size) results[at] = table_.find(symbols[at], symbols[at + 1]);
    if (at > 0) results[at - 1] = table_.find(symbols[at - 1], symbols[at]);
  }
  out.assign(symbols.begin(), symbols.begin() + static_cast<std::ptrdiff_t>(size));
}

void WordMerger::push_candidate(std::int32_t left) {
  const Node& node = nodes_[static_cast<std::size_t>(left)];
  if (node.next < 0) return;
  const Symbol result = table_.find(node.symbol, nodes_[static_cast<std::size_t>(node.next)].symbol);
  if (result == MergeTable::kNone) return;
  heap_.push_back({result, left});
  std::push_heap(heap_.begin(), heap_.end(), std::greater<>());
}

// A linked list of symbols and a heap of possible merges; a candidate is stale when its pair no longer makes its result.
void WordMerger::merge_long(std::string_view word, std::vector<Symbol>& out) {
  constexpr Symbol kRemoved = MergeTable::kNone;
  const auto size = static_cast<std::int32_t>(word.size());
  nodes_.resize(word.size());
  heap_.clear();
  for (std::int32_t i = 0; i < size; ++i) {
    nodes_[static_cast<std::size_t>(i)] = {static_cast<unsigned char>(word[static_cast<std::size_t>(i)]), i - 1,
                                           i + 1 < size ? i + 1 : -1};
  }
  for (std::int32_t i = 0; i < size; ++i) push_candidate(i);
  while (!heap_.empty()) {
    std::pop_heap(heap_.begin(), heap_.end(), std::greater<>());
    const Candidate candidate = heap_.back();
    heap_.pop_back();
    Node& left = nodes_[static_cast<std::size_t>(candidate.left)];
    if (left.symbol == kRemoved || left.next < 0) continue;
    Node& right = nodes_[static_cast<std::size_t>(left.next)];
    if (table_.find(left.symbol, right.symbol) != candidate.result) continue;
    left.symbol = table_.result_of(candidate.result);
    left.next = right.next;
    right.symbol = kRemoved;
    if (left.next >= 0) nodes_[static_cast<std::size_t>(left.next)].previous = candidate.left;
    push_candidate(candidate.left);
    if (left.previous >= 0) push_candidate(left.previous);
  }
  out.clear();
  for (std::int32_t i = 0; i >= 0; i = nodes_[static_cast<std::size_t>(i)].next) {
    out.push_back(nodes_[static_cast<std::size_t>(i)].symbol);
  }
}

}  // namespace virgil

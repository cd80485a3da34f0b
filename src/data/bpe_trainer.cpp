#include "data/bpe_trainer.h"

#include <omp.h>

#include <algorithm>
#include <exception>
#include <limits>
#include <queue>
#include <utility>
#include <vector>

#include "data/merge_table.h"
#include "data/parallel_encode.h"
#include "data/text_cuts.h"
#include "data/word_scanner.h"
#include "virgil/base/error.h"

namespace virgil {

void WordCounter::add(std::string_view text) {
  const std::vector<std::string_view> pieces = cut_for_threads(text, find_word_cut);
  std::vector<Counts> parts(pieces.size());
  for_each_in_parallel(pieces.size(), [&](std::size_t i) {
    WordScanner scanner(pieces[i], classes_);
    for (std::string_view word = scanner.next(); !word.empty(); word = scanner.next()) {
      const auto found = parts[i].find(word);
      if (found != parts[i].end()) {
        ++found->second;
      } else {
        parts[i].emplace(word, 1);
      }
    }
  });
  for (Counts& part : parts) {
    for (const auto& [word, count] : part) counts_[word] += count;
  }
}

namespace {

using PairKey = std::uint64_t;
PairKey key_of(Symbol left, Symbol right) { return (PairKey{left} << 32) | right; }

/// How often a pair occurs, and in which words it has occurred; entries may be stale or double.
struct PairRecord {
  std::int64_t count = 0;
  std::vector<std::uint32_t> words;
};

struct Candidate {
  std::int64_t count;
  PairKey key;
  friend bool operator<(const Candidate& a, const Candidate& b) {
    return a.count != b.count ? a.count < b.count : a.key > b.key;
  }
};

class Trainer {
 public:
  Trainer(const WordCounter::Counts& counts, const ProgressPhase& phase) : phase_(phase) {
    BytePairVocabulary bytes = byte_vocabulary();
    if (counts.size() > std::numeric_limits<std::uint32_t>::max()) throw user_error("{} distinct words", counts.size());
    for (const auto& [word, count] : counts) {
      check_now_and_then(words_.size());
      if (word.size() > 1) words_.push_back({symbols_.size(), word.size(), count});
      if (word.size() > 1)
        for (const char c : word) symbols_.push_back(symbol(bytes.byte_ids[static_cast<unsigned char>(c)]));
    }
    count_all_pairs();
  }

  /// The most frequent pair, which is removed; count 0 when there is none.
  Candidate pop() {
    while (!queue_.empty()) {
      const Candidate top = queue_.top();
      queue_.pop();
      const auto record = pairs_.find(top.key);
      if (record == pairs_.end()) continue;
      if (record->second.count == top.count) return top;
      if (record->second.count > 0) queue_.push({record->second.count, top.key});
    }
    return {0, 0};
  }

  void merge(PairKey key, Symbol result) {
    std::vector<std::uint32_t> words = std::move(pairs_.at(key).words);
    pairs_.erase(key);
    std::sort(words.begin(), words.end());
    words.erase(std::unique(words.begin(), words.end()), words.end());
    constexpr std::size_t kWordsPerTask = 4096;  // fewer are done before other threads have woken up
    const std::size_t num_tasks = (words.size() + kWordsPerTask - 1) / kWordsPerTask;
    std::vector<Changes> changes(num_tasks);
    for_each_in_parallel(num_tasks, [&](std::size_t task) {
      const std::size_t end = std::min(words.size(), (task + 1) * kWordsPerTask);
      for (std::size_t i = task * kWordsPerTask; i < end; ++i) merge_word(words[i], key, result, changes[task]);
    });
    for (const Changes& part : changes) apply(part);
  }

 private:
  struct Word {
    std::size_t start;  // in symbols_
    std::size_t size;
    std::int64_t count;
  };
  using Changes = std::unordered_map<PairKey, PairRecord>;

  /// Millions of words take seconds.
  void check_now_and_then(std::size_t index) const {
    if (index % 4096 == 0) phase_.check();
  }

  static Symbol symbol(std::int32_t id) { return static_cast<Symbol>(id); }

  void count_all_pairs() {
    for (std::size_t index = 0; index < words_.size(); ++index) {
      const Word& word = words_[index];
      check_now_and_then(index);
      for (std::size_t i = word.start; i + 1 < word.start + word.size; ++i) {
        PairRecord& record = pairs_[key_of(symbols_[i], symbols_[i + 1])];
        record.count += word.count;
        record.words.push_back(static_cast<std::uint32_t>(index));
      }
    }
    for (const auto& [key, record] : pairs_) queue_.push({record.count, key});
  }

  void merge_word(std::uint32_t index, PairKey key, Symbol result, Changes& changes) {
    Word& word = words_[index];
    const auto left = static_cast<Symbol>(key >> 32);
    const auto right = static_cast<Symbol>(key);
    Symbol* symbols = symbols_.data() + word.start;
    const auto change = [&](Symbol a, Symbol b, std::int64_t amount) {
      PairRecord& record = changes[key_of(a, b)];
      record.count += amount;
      if (amount > 0) record.words.push_back(index);
    };
    std::size_t out = 0;
    for (std::size_t i = 0; i < word.size; ++out) {
      if (i + 1 == word.size || symbols[i] != left || symbols[i + 1] != right) {
        symbols[out] = symbols[i++];
        continue;
      }
      if (out > 0) {
        change(symbols[out - 1], left, -word.count);
        change(symbols[out - 1], result, word.count);
      }
      if (i + 2 < word.size) {
        change(right, symbols[i + 2], -word.count);
        change(result, symbols[i + 2], word.count);
      }
      symbols[out] = result;
      i += 2;
    }
    word.size = out;
  }

  void apply(const Changes& changes) {
    for (const auto& [key, change] : changes) {
      const auto known = pairs_.find(key);
      if (known == pairs_.end() && change.count <= 0) continue;  // the merged pair itself
      PairRecord& record = known == pairs_.end() ? pairs_[key] : known->second;
      record.count += change.count;
      record.words.insert(record.words.end(), change.words.begin(), change.words.end());
      if (change.count > 0) queue_.push({record.count, key});
    }
  }

  const ProgressPhase& phase_;
  std::vector<Word> words_;
  std::vector<Symbol> symbols_;
  std::unordered_map<PairKey, PairRecord> pairs_;
  std::priority_queue<Candidate> queue_;  // counts may be stale: too high only, see pop()
};

}  // namespace

BytePairVocabulary train_byte_pairs(const WordCounter::Counts& counts, std::int64_t vocab_size, ProgressMonitor* progress) {
  constexpr std::int64_t kMinVocabSize = 256 + 1;
  constexpr std::int64_t kMaxVocabSize = kMinVocabSize + MergeTable::kMaxMerges;
  constexpr std::int64_t kMinCount = 2;
  if (vocab_size < kMinVocabSize || vocab_size > kMaxVocabSize) {
    throw user_error("bpe:{}: the size is the number of ids, from {} (256 bytes and the end of text) to {}", vocab_size,
                     kMinVocabSize, kMaxVocabSize);
  }
  BytePairVocabulary vocabulary = byte_vocabulary();
  ProgressPhase phase(progress, "training the vocabulary", "merges", vocab_size - kMinVocabSize);
  Trainer trainer(counts, phase);
  while (static_cast<std::int64_t>(vocabulary.tokens.size()) + 1 < vocab_size) {
    const Candidate best = trainer.pop();
    const auto id = static_cast<std::int32_t>(vocabulary.tokens.size());
    if (best.count < kMinCount) {
      throw user_error("bpe:{}: the text has pairs for {} ids only; use bpe:{} or less, or a longer text", vocab_size, id + 1,
                       id + 1);
    }
    const auto left = static_cast<std::int32_t>(best.key >> 32);
    const auto right = static_cast<std::int32_t>(best.key & 0xFFFFFFFFU);
    vocabulary.tokens.push_back(vocabulary.tokens[static_cast<std::size_t>(left)] +
                                vocabulary.tokens[static_cast<std::size_t>(right)]);
    vocabulary.merges.push_back({left, right, id});
    trainer.merge(best.key, static_cast<Symbol>(id));
    phase.advance(1);
  }
  vocabulary.end_of_text = static_cast<std::int32_t>(vocabulary.tokens.size());
  vocabulary.tokens.emplace_back(kEndOfText);
  return vocabulary;
}

}  // namespace virgil

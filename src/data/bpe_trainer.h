// Learns byte-pair merges from a text: again and again the pair of neighbouring symbols that is most frequent, counted within
// words (Sennrich, Haddow, Birch 2016; words as in word_scanner.h).
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "data/byte_pair_vocabulary.h"
#include "data/character_classes.h"
#include "virgil/base/progress.h"

namespace virgil {

/// Counts the words of a text on all cores. The result does not depend on the number of threads.
class WordCounter {
 public:
  /// A piece cut at word boundaries (text_cuts.h).
  void add(std::string_view text);

  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view word) const { return std::hash<std::string_view>()(word); }
  };
  using Counts = std::unordered_map<std::string, std::int64_t, Hash, std::equal_to<>>;
  [[nodiscard]] const Counts& counts() const { return counts_; }

 private:
  CharacterClasses classes_;
  Counts counts_;
};

/// A vocabulary of exactly `vocab_size` ids: the bytes in GPT-2's order, then what the merges make, the end of text last. Of
/// equally frequent pairs the one with the smaller ids wins, so the result is determined by the counts. These are the merges
/// Hugging Face's BpeTrainer finds. Pairs seen once are not merged: throws UserError when they run out, saying which size
/// works. Throws Stopped when `progress` asks for it.
[[nodiscard]] BytePairVocabulary train_byte_pairs(const WordCounter::Counts& counts, std::int64_t vocab_size,
                                                  ProgressMonitor* progress = nullptr);

}  // namespace virgil

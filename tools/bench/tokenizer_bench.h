// Rates of the tokenizers: encoding by number of threads, decoding, training; and tiktoken's on the same text, in turns.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "virgil/base/logging.h"
#include "virgil/base/spread.h"
#include "virgil/config/train_config.h"

namespace virgil::bench {

struct TokenizerBenchOptions {
  bool compare_tiktoken = false;
  std::string python;  // interpreter of the comparison
  std::string script;  // tests/reference/bench_tiktoken.py
};

/// MB are 10^6 bytes of text.
struct TokenizerBenchResult {
  std::string tokenizer;
  std::int64_t text_bytes = 0;
  std::int64_t num_tokens = 0;
  struct Encoding {
    int threads;
    double mb_per_s;
  };
  std::vector<Encoding> encoding;  // 1, 2, 4, ... threads and all
  double decode_mb_per_s = 0;      // one thread, more text than caches hold
  double memcpy_mb_per_s = 0;      // of that text
  Spread decode_share;             // of memcpy's rate in the same round
  std::int64_t trained_vocab_size = 0;
  double train_ms = 0;  // bpe on all threads; 0: the text is too short
  bool tiktoken_wanted = false;
  struct Tiktoken {
    std::string version;
    double mb_per_s;
    double ours_mb_per_s;  // one thread, in the same rounds
    Spread ratio;          // of ours to theirs, round by round
  };
  std::optional<Tiktoken> tiktoken;  // nothing: not installed
};

/// Takes the texts and the tokenizer from the config. Throws UserError without a text, where a comparison is asked of another
/// tokenizer than gpt2, and when the script fails.
[[nodiscard]] TokenizerBenchResult bench_tokenizers(const TrainConfig& config, const TokenizerBenchOptions& options,
                                                    Logger& log);

[[nodiscard]] std::string text_report(const TokenizerBenchResult& result);
/// One JSON object; docs/performance.md lists its fields.
[[nodiscard]] std::string json_report(const TokenizerBenchResult& result);

}  // namespace virgil::bench

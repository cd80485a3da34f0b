#include "bench/tokenizer_bench.h"

#include <fmt/format.h>
#include <omp.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <span>
#include <system_error>

#include "bench/child_process.h"
#include "bench/op_timer.h"
#include "bench/spread_text.h"
#include "virgil/base/error.h"
#include "virgil/base/file_system.h"
#include "virgil/base/format.h"
#include "virgil/data/input_files.h"
#include "virgil/data/text_reader.h"
#include "virgil/data/tokenizer.h"

namespace virgil::bench {

namespace {

constexpr std::int64_t kTrainedVocabSize = 4096;
constexpr int kNoTiktoken = 3;  // what bench_tiktoken.py exits with

std::string read_inputs(const TrainConfig& config, Logger& log) {
  if (config.input.empty()) throw user_error("bench --tokenizers needs a text: give one with --input FILE");
  std::string text;
  for (const std::filesystem::path& file : expand_inputs(config.input, log)) {
    text += read_text(file, log, {.allow_nul = config.force}).bytes;
  }
  return text;
}

/// Median rate of repeated calls, over at least `min_seconds`.
double rate_mb_per_s(std::size_t bytes, double min_seconds, const std::function<void()>& call) {
  constexpr std::size_t kMinCalls = 3;
  call();  // makes caches and threads
  std::vector<double> ms;
  for (double total_ms = 0; ms.size() < kMinCalls || total_ms < 1000 * min_seconds; total_ms += ms.back()) {
    const Clock::time_point start = Clock::now();
    call();
    ms.push_back(milliseconds_since(start));
  }
  return static_cast<double>(bytes) / 1e3 / median(ms);
}

double encode_rate(const Tokenizer& tokenizer, const std::string& text, int threads, double min_seconds) {
  omp_set_num_threads(threads);
  return rate_mb_per_s(text.size(), min_seconds, [&] { static_cast<void>(tokenizer.encode(text)); });
}

void time_encoding(const Tokenizer& tokenizer, const std::string& text, int max_threads, TokenizerBenchResult& result) {
  std::vector<int> counts;
  for (int threads = 1; threads < max_threads; threads *= 2) counts.push_back(threads);
  counts.push_back(max_threads);
  for (const int threads : counts) result.encoding.push_back({threads, encode_rate(tokenizer, text, threads, 0.5)});
}

/// Decoding and copying go through more data than caches hold, in blocks as a reader of token files would.
void time_decoding(const Tokenizer& tokenizer, const std::string& text, TokenizerBenchResult& result) {
  constexpr std::size_t kMinBytes = std::size_t{64} << 20;
  constexpr std::size_t kBlock = std::size_t{1} << 18;
  const std::vector<std::int32_t> once = tokenizer.encode(text);
  result.num_tokens = std::ssize(once);
  std::vector<std::int32_t> ids;
  std::string whole;
  while (whole.size() < kMinBytes) {
    ids.insert(ids.end(), once.begin(), once.end());
    whole += text;
  }
  std::string copy(whole.size(), '\0');
  omp_set_num_threads(1);
  const auto copy_all = [&] { std::memcpy(copy.data(), whole.data(), whole.size()); };
  const auto decode_all = [&] {
    for (std::size_t at = 0; at < ids.size(); at += kBlock) {
      static_cast<void>(tokenizer.decode(std::span(ids).subspan(at, std::min(kBlock, ids.size() - at))));
    }
  };
  // In turns, so that what else the machine does meets both.
  constexpr int kRounds = 5;
  std::vector<double> copied, decoded, shares;
  for (int round = 0; round < kRounds; ++round) {
    copied.push_back(rate_mb_per_s(whole.size(), 0.05, copy_all));
    decoded.push_back(rate_mb_per_s(whole.size(), 0.05, decode_all));
    shares.push_back(decoded.back() / copied.back());
  }
  result.memcpy_mb_per_s = median(copied);
  result.decode_mb_per_s = median(decoded);
  result.decode_share = spread_of(shares);
}

void time_training(const std::string& text, int max_threads, TokenizerBenchResult& result) {
  omp_set_num_threads(max_threads);
  const Clock::time_point start = Clock::now();
  try {
    static_cast<void>(make_tokenizer(fmt::format("bpe:{}", kTrainedVocabSize), text));
  } catch (const UserError&) {
    return;  // too few pairs in the text
  }
  result.train_ms = milliseconds_since(start);
  result.trained_vocab_size = kTrainedVocabSize;
}

/// A file that is removed again.
class TemporaryText {
 public:
  explicit TemporaryText(const std::string& text)
      : path_(std::filesystem::temp_directory_path() / fmt::format("virgil-bench-{}.txt", ::getpid())) {
    write_file_atomically(*make_posix_file_system(), path_, text);
  }
  ~TemporaryText() {
    std::error_code ignored;
    std::filesystem::remove(path_, ignored);
  }
  TemporaryText(const TemporaryText&) = delete;
  TemporaryText& operator=(const TemporaryText&) = delete;
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

/// Throws UserError for a comparison that cannot be made, which is better said before minutes of measuring.
void expect_comparable(const Tokenizer& tokenizer, const TokenizerBenchOptions& options) {
  if (tokenizer.name() != "gpt2") {
    throw user_error("tokenizer is {}: only gpt2 can be compared with tiktoken; leave --tokenizer out", tokenizer.name());
  }
  if (!std::filesystem::exists(options.script)) {
    throw user_error("{}: no such file; run bench from the top of the source tree, or give --tiktoken_script", options.script);
  }
}

void compare(const Tokenizer& tokenizer, const std::string& text, const TokenizerBenchOptions& options,
             TokenizerBenchResult& result) {
  constexpr int kRounds = 3;
  const TemporaryText file(text);
  const std::string command = fmt::format("{} {} {}", quoted(options.python), quoted(options.script), quoted(file.path()));
  std::vector<double> ours, theirs, ratios;
  std::string version;
  for (int round = 0; round < kRounds; ++round) {
    ours.push_back(encode_rate(tokenizer, text, 1, 0.5));
    const Output output = run_command(command);
    if (output.status == kNoTiktoken) return;
    if (output.status != 0) throw user_error("{}: exit status {}; run it by hand to see why", command, output.status);
    const auto printed = nlohmann::json::parse(output.text, nullptr, false);
    if (!printed.is_object() || !printed.contains("mb_per_s")) throw user_error("{}: printed no result", command);
    theirs.push_back(printed.at("mb_per_s").get<double>());
    ratios.push_back(ours.back() / theirs.back());
    version = printed.value("tiktoken", "");
  }
  result.tiktoken = {version, median(theirs), median(ours), spread_of(ratios)};
}

}  // namespace

TokenizerBenchResult bench_tokenizers(const TrainConfig& config, const TokenizerBenchOptions& options, Logger& log) {
  const int max_threads = config.threads > 0 ? static_cast<int>(config.threads) : omp_get_max_threads();
  const std::string text = read_inputs(config, log);
  const std::unique_ptr<Tokenizer> tokenizer = make_tokenizer(config.tokenizer, text);
  if (options.compare_tiktoken) expect_comparable(*tokenizer, options);
  TokenizerBenchResult result;
  result.tokenizer = tokenizer->name();
  result.text_bytes = std::ssize(text);
  time_encoding(*tokenizer, text, max_threads, result);
  time_decoding(*tokenizer, text, result);
  time_training(text, max_threads, result);
  result.tiktoken_wanted = options.compare_tiktoken;
  if (options.compare_tiktoken) compare(*tokenizer, text, options, result);
  return result;
}

std::string text_report(const TokenizerBenchResult& result) {
  std::string text = fmt::format("text      {} bytes, {} tokens ({})\n", format_count(result.text_bytes),
                                 format_count(result.num_tokens), result.tokenizer);
  for (const auto& [threads, mb_per_s] : result.encoding) {
    text += fmt::format("encode    {:>9.1f} MB/s on {} {} ({:.2f} times one thread's)\n", mb_per_s, threads,
                        threads == 1 ? "thread" : "threads", mb_per_s / result.encoding.front().mb_per_s);
  }
  text += fmt::format("decode    {:>9.1f} MB/s on 1 thread ({:.2f} of a memcpy's {:.1f} MB/s; {:.2f} to {:.2f})\n",
                      result.decode_mb_per_s, result.decode_share.median, result.memcpy_mb_per_s, result.decode_share.lower,
                      result.decode_share.upper);
  text += result.train_ms > 0 ? fmt::format("train     bpe:{} in {:.0f} ms on {} threads\n", result.trained_vocab_size,
                                            result.train_ms, result.encoding.back().threads)
                              : std::string("train     skipped: the text is too short for bpe:4096\n");
  if (result.tiktoken) {
    const auto& [version, mb_per_s, ours, ratio] = *result.tiktoken;
    text += fmt::format("tiktoken  {}: {:.1f} MB/s, ours {:.1f} on one thread: {:.2f} times as fast ({:.2f} to {:.2f})\n",
                        version, mb_per_s, ours, ratio.median, ratio.lower, ratio.upper);
    if (const std::string doubt = doubt_of_ratio("our rate over tiktoken's", ratio); !doubt.empty()) {
      text += fmt::format("warning   {}\n", doubt);
    }
  } else if (result.tiktoken_wanted) {
    text += "tiktoken  skipped: the Python interpreter has no tiktoken (--python NAME chooses another)\n";
  }
  return text;
}

std::string json_report(const TokenizerBenchResult& result) {
  nlohmann::ordered_json json = {{"tokenizer", result.tokenizer},
                                 {"text_bytes", result.text_bytes},
                                 {"num_tokens", result.num_tokens},
                                 {"encode", nlohmann::ordered_json::array()},
                                 {"decode_mb_per_s", result.decode_mb_per_s},
                                 {"memcpy_mb_per_s", result.memcpy_mb_per_s},
                                 {"decode_share_spread", spread_json(result.decode_share)}};
  for (const auto& [threads, mb_per_s] : result.encoding) {
    json["encode"].push_back({{"threads", threads}, {"mb_per_s", mb_per_s}});
  }
  if (result.train_ms > 0) json["train"] = {{"vocab_size", result.trained_vocab_size}, {"ms", result.train_ms}};
  if (result.tiktoken) {
    const auto& [version, mb_per_s, ours, ratio] = *result.tiktoken;
    json["tiktoken"] = {{"version", version},
                        {"mb_per_s", mb_per_s},
                        {"ours_mb_per_s", ours},
                        {"ratio", ratio.median},
                        {"ratio_spread", spread_json(ratio)}};
  }
  return nlohmann::ordered_json({{"tokenizers", json}}).dump(2) + "\n";
}

}  // namespace virgil::bench

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "data/dataset_sources.h"
#include "data/parallel_encode.h"
#include "data/text_corpus.h"
#include "data/token_cache.h"
#include "virgil/base/error.h"
#include "virgil/base/format.h"
#include "virgil/base/progress.h"
#include "virgil/base/sha256.h"
#include "virgil/data/tokenizer_builder.h"

namespace virgil {
namespace {

constexpr int kTokenisationVersion = 1;  // part of every cache key: raise it when the same text comes to give other tokens

/// The texts, and after how many bytes of the first corpus the held-out part begins.
struct TextParts {
  TextCorpus train;
  std::optional<TextCorpus> val;
  std::int64_t cut;
};

/// Calls `visit` for the pieces of the first corpus, each cut in two where the held-out part begins.
void for_each_part(const TextParts& parts,
                   const std::function<void(std::string_view piece, std::int64_t num_ends, bool held_out)>& visit) {
  std::int64_t position = 0;
  parts.train.for_each_piece([&](std::string_view piece, std::int64_t num_ends) {
    const auto size = static_cast<std::int64_t>(piece.size());
    const auto wanted = static_cast<std::size_t>(std::clamp<std::int64_t>(parts.cut - position, 0, size));
    const std::size_t cut = wanted == 0 ? 0 : find_character_cut(piece, wanted);
    if (cut > 0) visit(piece.substr(0, cut), std::exchange(num_ends, 0), false);
    if (cut < piece.size() || num_ends > 0) visit(piece.substr(cut), num_ends, true);
    position += size;
  });
}

std::unique_ptr<Tokenizer> build_tokenizer(TokenizerBuilder& builder, const TextParts& parts, ProgressMonitor* progress) {
  if (builder.needs_text()) {
    ProgressPhase phase(progress, "counting words and characters", "bytes", parts.train.num_bytes());
    for_each_part(parts, [&](std::string_view piece, std::int64_t, bool held_out) {
      if (!held_out && !piece.empty()) builder.add_text(piece);
      phase.advance(std::ssize(piece));
    });
  }
  return builder.finish();
}

/// Encodes pieces into sinks, with the end of text wherever a document ends. Short pieces wait until there are enough of them
/// to share out among the cores.
class CorpusEncoder {
 public:
  explicit CorpusEncoder(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}

  void add(std::string_view piece, std::int64_t num_ends, TokenSink& sink) {
    if (tokenizer_.end_of_text() < 0) num_ends = 0;
    // The end of a document goes where the document went.
    TokenSink& ends_sink = last_sink_ == nullptr ? sink : *last_sink_;
    if (!piece.empty()) last_sink_ = &sink;
    if (piece.size() >= kBatchBytes) {
      flush();
      add_ends(num_ends, ends_sink);
      sink.add(tokenizer_.encode(piece), static_cast<std::int64_t>(piece.size()));
      return;
    }
    waiting_.push_back({std::string(piece), num_ends, &ends_sink, &sink});
    waiting_bytes_ += piece.size();
    if (waiting_bytes_ >= kBatchBytes || waiting_.size() >= kBatchPieces) flush();
  }

  void flush() {
    std::vector<std::vector<std::int32_t>> tokens(waiting_.size());
    for_each_in_parallel(waiting_.size(), [&](std::size_t i) { tokens[i] = tokenizer_.encode(waiting_[i].text); });
    for (std::size_t i = 0; i < waiting_.size(); ++i) {
      add_ends(waiting_[i].num_ends, *waiting_[i].ends_sink);
      if (!tokens[i].empty()) waiting_[i].sink->add(std::move(tokens[i]), std::ssize(waiting_[i].text));
    }
    waiting_.clear();
    waiting_bytes_ = 0;
  }

 private:
  static constexpr std::size_t kBatchBytes = std::size_t{1} << 20;
  static constexpr std::size_t kBatchPieces = std::size_t{1} << 14;

  struct Waiting {
    std::string text;
    std::int64_t num_ends;
    TokenSink* ends_sink;
    TokenSink* sink;
  };

  void add_ends(std::int64_t count, TokenSink& sink) const {
    if (count > 0) sink.add(std::vector<std::int32_t>(static_cast<std::size_t>(count), tokenizer_.end_of_text()), 0);
  }

  const Tokenizer& tokenizer_;
  TokenSink* last_sink_ = nullptr;
  std::vector<Waiting> waiting_;
  std::size_t waiting_bytes_ = 0;
};

std::int64_t num_bytes(const TextParts& parts) { return parts.train.num_bytes() + (parts.val ? parts.val->num_bytes() : 0); }

void encode_parts(const TextParts& parts, const Tokenizer& tokenizer, TokenSink& train, TokenSink& val,
                  ProgressMonitor* progress) {
  ProgressPhase phase(progress, "tokenizing", "bytes", num_bytes(parts));
  CorpusEncoder encoder(tokenizer);
  for_each_part(parts, [&](std::string_view piece, std::int64_t num_ends, bool held_out) {
    encoder.add(piece, num_ends, held_out ? val : train);
    phase.advance(std::ssize(piece));
  });
  encoder.flush();
  if (!parts.val) return;
  CorpusEncoder val_encoder(tokenizer);
  parts.val->for_each_piece([&](std::string_view piece, std::int64_t num_ends) {
    val_encoder.add(piece, num_ends, val);
    phase.advance(std::ssize(piece));
  });
  val_encoder.flush();
}

TokenData take(MemorySink& sink, ProgressMonitor* progress) {
  TokenData data{sink.take(), sink.text_bytes(), {}};
  data.fingerprint = fingerprint_of(data.tokens, progress);
  return data;
}

TokenCache::Entry encode_in_memory(const TextParts& parts, const Tokenizer& tokenizer, ProgressMonitor* progress) {
  MemorySink train;
  MemorySink val;
  encode_parts(parts, tokenizer, train, val, progress);
  return {take(train, progress), take(val, progress)};
}

/// Says how much of the text a char tokenizer had to spell.
void report_spelt_bytes(const Tokenizer& tokenizer, const TokenCache::Entry& entry, Logger& log) {
  const std::int32_t first = tokenizer.first_half_byte();
  if (first < 0) return;
  std::int64_t halves = 0;
  std::vector<std::int32_t> block(std::size_t{1} << 16);
  for (const TokenSequence* tokens : {&entry.train.tokens, &entry.val.tokens}) {
    for (std::size_t at = 0; at < tokens->size(); at += block.size()) {
      const auto ids = std::span(block).first(std::min(block.size(), tokens->size() - at));
      tokens->copy(at, ids);
      halves += std::ranges::count_if(ids, [&](std::int32_t id) { return id >= first; });
    }
  }
  if (halves == 0) return;
  constexpr double kSmallShare = 0.001;
  const double share = static_cast<double>(halves / 2) / static_cast<double>(entry.train.text_bytes + entry.val.text_bytes);
  const std::string text = fmt::format(
      "{} of the text's bytes ({:.2g} %) belong to characters that the {} tokenizer has no id for; each takes two ids",
      halves / 2, 100 * share, tokenizer.name());
  if (share < kSmallShare) {
    log.info(text);
  } else {
    log.warn(text + "; choose a tokenizer made for this text, or \"byte\"");
  }
}

TokenCache::Entry encode_through_cache(const TextParts& parts, const Tokenizer& tokenizer, const TokenCache& cache,
                                       ProgressMonitor* progress, Logger& log) {
  const std::string key =
      sha256_hex(fmt::format("{} {} {} {} {}", kTokenisationVersion, parts.train.fingerprint(),
                             parts.val ? parts.val->fingerprint() : "-", parts.cut, tokenizer.fingerprint()));
  if (std::optional<TokenCache::Entry> entry = cache.find(key, tokenizer)) {
    log.info(fmt::format("tokens taken from the cache {}", cache.folder_of(key).string()));
    return std::move(*entry);
  }
  TokenCache::Entry entry = cache.make(
      key, tokenizer, [&](TokenSink& train, TokenSink& val) { encode_parts(parts, tokenizer, train, val, progress); });
  log.info(fmt::format("tokens kept in the cache {}", cache.folder_of(key).string()));
  return entry;
}

TextParts open_parts(const DataRequest& request, InputFiles inputs, bool split, Logger& log) {
  TextParts parts{TextCorpus(std::move(inputs.train), request.text, split, log, request.progress), std::nullopt, 0};
  if (!inputs.val.empty()) parts.val.emplace(std::move(inputs.val), request.text, split, log, request.progress);
  const double fraction = parts.val ? 0.0 : request.val_fraction;
  parts.cut = static_cast<std::int64_t>(train_size(static_cast<std::size_t>(parts.train.num_bytes()), fraction));
  return parts;
}

/// Says what <|endoftext|> becomes where it does not end a document.
void report_marks(const Dataset& dataset, Logger& log) {
  if (dataset.num_marks == 0 || dataset.marks_split) return;
  const std::string count = fmt::format("{} stands {} in the texts", kEndOfTextMark,
                                        dataset.num_marks == 1 ? "once" : format_count(dataset.num_marks) + " times");
  if (dataset.tokenizer->end_of_text() < 0) {
    log.warn(
        fmt::format("{}; the {} tokenizer has no such token, so it is learned as text, letter by letter: choose gpt2 or "
                    "bpe:SIZE, which end documents there, or take it out of the texts",
                    count, dataset.tokenizer->name()));
  } else {
    log.warn(fmt::format("{} and is learned as text, as split_documents is false", count));
  }
}

/// Texts that are open, and everything but their tokens.
struct OpenedTexts {
  TextParts parts;
  Dataset dataset;
};

OpenedTexts open_texts(const DataRequest& request, InputFiles inputs, Logger& log) {
  const Tokenizer* made = request.made_tokenizer.get();
  const auto builder = made != nullptr ? nullptr : make_tokenizer_builder(request.tokenizer, request.progress);
  const bool has_end_of_text = made != nullptr ? made->end_of_text() >= 0 : builder->has_end_of_text();
  const bool split = request.text.split_documents && has_end_of_text;
  OpenedTexts opened{open_parts(request, std::move(inputs), split, log), {}};
  const TextParts& parts = opened.parts;
  Dataset& dataset = opened.dataset;
  dataset.num_documents = parts.train.num_documents();
  dataset.num_val_documents = parts.val ? parts.val->num_documents() : 0;
  dataset.num_marks = parts.train.num_marks() + (parts.val ? parts.val->num_marks() : 0);
  dataset.marks_split = split;
  if (made != nullptr) {
    dataset.tokenizer = request.made_tokenizer;
  } else {
    dataset.tokenizer = build_tokenizer(*builder, parts, request.progress);
  }
  if (const std::string caveat = dataset.tokenizer->caveat(); !caveat.empty()) log.warn(caveat);
  if (std::max(dataset.num_documents, dataset.num_val_documents) > 1 && dataset.tokenizer->end_of_text() < 0) {
    log.info(fmt::format("the {} tokenizer has no end of text: nothing stands between the texts", dataset.tokenizer->name()));
  }
  report_marks(dataset, log);
  return opened;
}

}  // namespace

Dataset stream_text_dataset(const DataRequest& request, InputFiles inputs, const OpenSinks& open, Logger& log) {
  auto [parts, dataset] = open_texts(request, std::move(inputs), log);
  const PartSinks sinks = open(*dataset.tokenizer);
  encode_parts(parts, *dataset.tokenizer, sinks.train, sinks.val, request.progress);
  return std::move(dataset);
}

Dataset load_text_dataset(const DataRequest& request, InputFiles inputs, FileSystem& files, Logger& log) {
  auto [parts, dataset] = open_texts(request, std::move(inputs), log);
  dataset.cached = !request.cache_directory.empty() && num_bytes(parts) >= request.cache_min_bytes;
  TokenCache::Entry entry =
      dataset.cached ? encode_through_cache(parts, *dataset.tokenizer,
                                            TokenCache(files, request.cache_directory, request.progress), request.progress, log)
                     : encode_in_memory(parts, *dataset.tokenizer, request.progress);
  report_spelt_bytes(*dataset.tokenizer, entry, log);
  dataset.train = std::move(entry.train);
  if (!entry.val.tokens.empty()) dataset.val = std::move(entry.val);
  return std::move(dataset);
}

}  // namespace virgil

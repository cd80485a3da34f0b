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
                   const std::function<void(std::string_view piece, std::int64_t document, bool held_out)>& visit) {
  std::int64_t position = 0;
  parts.train.for_each_piece([&](std::string_view piece, std::int64_t document) {
    const auto size = static_cast<std::int64_t>(piece.size());
    const auto wanted = static_cast<std::size_t>(std::clamp<std::int64_t>(parts.cut - position, 0, size));
    const std::size_t cut = wanted == 0 ? 0 : find_character_cut(piece, wanted);
    if (cut > 0) visit(piece.substr(0, cut), document, false);
    if (cut < piece.size()) visit(piece.substr(cut), document, true);
    position += size;
  });
}

std::unique_ptr<Tokenizer> build_tokenizer(const DataRequest& request, const TextParts& parts) {
  const std::unique_ptr<TokenizerBuilder> builder = make_tokenizer_builder(request.tokenizer, request.progress);
  if (builder->needs_text()) {
    ProgressPhase phase(request.progress, "counting words and characters", "bytes", parts.train.num_bytes());
    for_each_part(parts, [&](std::string_view piece, std::int64_t, bool held_out) {
      if (!held_out) builder->add_text(piece);
      phase.advance(std::ssize(piece));
    });
  }
  return builder->finish();
}

/// Encodes pieces into sinks, with the end of text wherever the document changes.
class CorpusEncoder {
 public:
  explicit CorpusEncoder(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}

  void add(std::string_view piece, std::int64_t document, TokenSink& sink) {
    if (document != document_ && tokenizer_.end_of_text() >= 0) last_sink_->add({tokenizer_.end_of_text()}, 0);
    document_ = document;
    last_sink_ = &sink;
    sink.add(tokenizer_.encode(piece), static_cast<std::int64_t>(piece.size()));
  }

 private:
  const Tokenizer& tokenizer_;
  std::int64_t document_ = 0;
  TokenSink* last_sink_ = nullptr;
};

std::int64_t num_bytes(const TextParts& parts) { return parts.train.num_bytes() + (parts.val ? parts.val->num_bytes() : 0); }

void encode_parts(const TextParts& parts, const Tokenizer& tokenizer, TokenSink& train, TokenSink& val,
                  ProgressMonitor* progress) {
  ProgressPhase phase(progress, "tokenizing", "bytes", num_bytes(parts));
  CorpusEncoder encoder(tokenizer);
  for_each_part(parts, [&](std::string_view piece, std::int64_t document, bool held_out) {
    encoder.add(piece, document, held_out ? val : train);
    phase.advance(std::ssize(piece));
  });
  if (!parts.val) return;
  CorpusEncoder val_encoder(tokenizer);
  parts.val->for_each_piece([&](std::string_view piece, std::int64_t document) {
    val_encoder.add(piece, document, val);
    phase.advance(std::ssize(piece));
  });
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

TextParts open_parts(const DataRequest& request, InputFiles inputs, Logger& log) {
  TextParts parts{TextCorpus(std::move(inputs.train), request.text, log, request.progress), std::nullopt, 0};
  if (!inputs.val.empty()) parts.val.emplace(std::move(inputs.val), request.text, log, request.progress);
  const double fraction = parts.val ? 0.0 : request.val_fraction;
  parts.cut = static_cast<std::int64_t>(train_size(static_cast<std::size_t>(parts.train.num_bytes()), fraction));
  return parts;
}

/// Everything but the tokens.
Dataset describe_parts(const DataRequest& request, const TextParts& parts, Logger& log) {
  Dataset dataset;
  dataset.num_documents = parts.train.num_documents();
  dataset.num_val_documents = parts.val ? parts.val->num_documents() : 0;
  dataset.tokenizer = build_tokenizer(request, parts);
  if (std::max(dataset.num_documents, dataset.num_val_documents) > 1 && dataset.tokenizer->end_of_text() < 0) {
    log.info(fmt::format("the {} tokenizer has no end of text: nothing stands between the texts", dataset.tokenizer->name()));
  }
  return dataset;
}

}  // namespace

Dataset stream_text_dataset(const DataRequest& request, InputFiles inputs, const OpenSinks& open, Logger& log) {
  const TextParts parts = open_parts(request, std::move(inputs), log);
  Dataset dataset = describe_parts(request, parts, log);
  const PartSinks sinks = open(*dataset.tokenizer);
  encode_parts(parts, *dataset.tokenizer, sinks.train, sinks.val, request.progress);
  return dataset;
}

Dataset load_text_dataset(const DataRequest& request, InputFiles inputs, FileSystem& files, Logger& log) {
  const TextParts parts = open_parts(request, std::move(inputs), log);
  Dataset dataset = describe_parts(request, parts, log);
  dataset.cached = !request.cache_directory.empty() && num_bytes(parts) >= request.cache_min_bytes;
  TokenCache::Entry entry =
      dataset.cached ? encode_through_cache(parts, *dataset.tokenizer,
                                            TokenCache(files, request.cache_directory, request.progress), request.progress, log)
                     : encode_in_memory(parts, *dataset.tokenizer, request.progress);
  report_spelt_bytes(*dataset.tokenizer, entry, log);
  dataset.train = std::move(entry.train);
  if (!entry.val.tokens.empty()) dataset.val = std::move(entry.val);
  return dataset;
}

}  // namespace virgil

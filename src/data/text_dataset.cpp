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

#include "data/parallel_encode.h"
#include "data/text_corpus.h"
#include "data/token_cache.h"
#include "virgil/base/error.h"
#include "virgil/base/format.h"
#include "virgil/base/progress.h"
#include "virgil/base/sha256.h"
#include "virgil/base/shell_quote.h"
#include "virgil/data/dataset_sources.h"
#include "virgil/data/end_of_text.h"
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
void for_each_part(const TextParts& parts, const std::function<void(const TextCorpus::Piece& piece, bool held_out)>& visit) {
  std::int64_t position = 0;
  parts.train.for_each_piece([&](TextCorpus::Piece piece) {
    const std::string_view text = piece.text;
    const std::int64_t size = std::ssize(text);
    const auto wanted = static_cast<std::size_t>(std::clamp<std::int64_t>(parts.cut - position, 0, size));
    const std::size_t cut = wanted == 0 ? 0 : find_character_cut(text, wanted);
    if (cut > 0) visit({text.substr(0, cut), std::exchange(piece.num_ends, 0), piece.file}, false);
    if (cut < text.size() || piece.num_ends > 0) visit({text.substr(cut), piece.num_ends, piece.file}, true);
    position += size;
  });
}

std::unique_ptr<Tokenizer> build_tokenizer(TokenizerBuilder& builder, const TextParts& parts, ProgressMonitor* progress) {
  if (builder.needs_text()) {
    ProgressPhase phase(progress, "counting words and characters", "bytes", parts.train.num_bytes());
    for_each_part(parts, [&](const TextCorpus::Piece& piece, bool held_out) {
      if (!held_out && !piece.text.empty()) builder.add_text(piece.text);
      phase.advance(std::ssize(piece.text));
    });
  }
  return builder.finish();
}

/// Encodes pieces into sinks, with the end of text wherever a document ends. Short pieces wait until there are enough of them
/// to share out among the cores.
class CorpusEncoder {
 public:
  /// `files`, where it is not null, is told how many tokens each file has.
  explicit CorpusEncoder(const Tokenizer& tokenizer, std::vector<FileTokens>* files = nullptr)
      : tokenizer_(tokenizer), files_(files) {}

  void add(const TextCorpus::Piece& piece, TokenSink& sink) {
    // The end of a document goes where the document went.
    const Place ends{last_.sink == nullptr ? &sink : last_.sink, last_.sink == nullptr ? piece.file : last_.file};
    const Place place{&sink, piece.file};
    if (!piece.text.empty()) last_ = place;
    const std::int64_t num_ends = tokenizer_.end_of_text() < 0 ? 0 : piece.num_ends;
    if (piece.text.size() >= kBatchBytes) {
      flush();
      put_ends(num_ends, ends);
      put(tokenizer_.encode(piece.text), std::ssize(piece.text), place);
      return;
    }
    waiting_.push_back({std::string(piece.text), num_ends, ends, place});
    waiting_bytes_ += piece.text.size();
    if (waiting_bytes_ >= kBatchBytes || waiting_.size() >= kBatchPieces) flush();
  }

  void flush() {
    std::vector<std::vector<std::int32_t>> tokens(waiting_.size());
    for_each_in_parallel(waiting_.size(), [&](std::size_t i) { tokens[i] = tokenizer_.encode(waiting_[i].text); });
    for (std::size_t i = 0; i < waiting_.size(); ++i) {
      put_ends(waiting_[i].num_ends, waiting_[i].ends);
      if (!tokens[i].empty()) put(std::move(tokens[i]), std::ssize(waiting_[i].text), waiting_[i].place);
    }
    waiting_.clear();
    waiting_bytes_ = 0;
  }

 private:
  static constexpr std::size_t kBatchBytes = std::size_t{1} << 20;
  static constexpr std::size_t kBatchPieces = std::size_t{1} << 14;

  /// Where tokens go, and the file they are from.
  struct Place {
    TokenSink* sink = nullptr;
    std::size_t file = 0;
  };
  struct Waiting {
    std::string text;
    std::int64_t num_ends;
    Place ends;
    Place place;
  };

  void put(std::vector<std::int32_t> tokens, std::int64_t text_bytes, const Place& place) const {
    if (files_ != nullptr) {
      (*files_)[place.file].num_tokens += std::ssize(tokens);
      (*files_)[place.file].text_bytes += text_bytes;
    }
    place.sink->add(std::move(tokens), text_bytes);
  }
  void put_ends(std::int64_t count, const Place& place) const {
    if (count > 0) put(std::vector<std::int32_t>(static_cast<std::size_t>(count), tokenizer_.end_of_text()), 0, place);
  }

  const Tokenizer& tokenizer_;
  std::vector<FileTokens>* files_;
  Place last_;  // of the piece before
  std::vector<Waiting> waiting_;
  std::size_t waiting_bytes_ = 0;
};

std::int64_t num_bytes(const TextParts& parts) { return parts.train.num_bytes() + (parts.val ? parts.val->num_bytes() : 0); }

void encode_parts(const TextParts& parts, const Tokenizer& tokenizer, TokenSink& train, TokenSink& val,
                  ProgressMonitor* progress, std::vector<FileTokens>* files = nullptr) {
  ProgressPhase phase(progress, "tokenizing", "bytes", num_bytes(parts));
  CorpusEncoder encoder(tokenizer, files);
  for_each_part(parts, [&](const TextCorpus::Piece& piece, bool held_out) {
    encoder.add(piece, held_out ? val : train);
    phase.advance(std::ssize(piece.text));
  });
  encoder.flush();
  if (!parts.val) return;
  CorpusEncoder val_encoder(tokenizer);
  parts.val->for_each_piece([&](const TextCorpus::Piece& piece) {
    val_encoder.add(piece, val);
    phase.advance(std::ssize(piece.text));
  });
  val_encoder.flush();
}

TokenData take(MemorySink& sink, ProgressMonitor* progress) {
  TokenData data{sink.take(), sink.text_bytes(), {}};
  data.fingerprint = fingerprint_of(data.tokens, progress);
  return data;
}

TokenCache::Entry encode_in_memory(const TextParts& parts, const Tokenizer& tokenizer, ProgressMonitor* progress,
                                   std::vector<FileTokens>* files) {
  MemorySink train;
  MemorySink val;
  encode_parts(parts, tokenizer, train, val, progress, files);
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

TextParts open_parts(const DataRequest& request, InputFiles inputs, const EndMark& mark, Logger& log) {
  TextParts parts{TextCorpus(std::move(inputs.train), request.text, mark, log, request.progress), std::nullopt, 0};
  if (!inputs.val.empty()) parts.val.emplace(std::move(inputs.val), request.text, mark, log, request.progress);
  const double fraction = parts.val ? 0.0 : request.val_fraction;
  parts.cut = static_cast<std::int64_t>(train_size(static_cast<std::size_t>(parts.train.num_bytes()), fraction));
  return parts;
}

/// `text` with a backslash before each of `special`.
std::string escape(std::string_view text, std::string_view special) {
  std::string escaped;
  for (const char c : text) {
    if (special.find(c) != special.npos) escaped += '\\';
    escaped += c;
  }
  return escaped;
}

/// Says what a spelling of an end of text becomes that is not the tokenizer's.
void report_other_mark(std::string_view mark, const std::string& stands, const Dataset& dataset, Logger& log) {
  const std::string name = dataset.tokenizer->name();
  if (!dataset.end_mark.empty()) {
    log.warn(fmt::format(
        "{} and is learned as text: the end of text of the {} tokenizer is {}. If {} ends documents there, put {} in "
        "its place: sed {} TEXT > NEW_TEXT",
        stands, name, dataset.end_mark, mark, dataset.end_mark,
        shell_quote(fmt::format("s#{}#{}#g", escape(mark, "\\.*[]^$#"), escape(dataset.end_mark, "\\&#")))));
  } else if (mark == kEndOfText) {
    log.warn(
        fmt::format("{}; the {} tokenizer has no such token, so it is learned as text, letter by letter: choose gpt2 or "
                    "bpe:SIZE, which end documents there, or take it out of the texts",
                    stands, name));
  } else {
    log.warn(
        fmt::format("{}; the {} tokenizer has no end of text, so it is learned as text, letter by letter: take it out of the "
                    "texts if it ends documents there",
                    stands, name));
  }
}

/// Says what marks of ends of texts become that do not end a document.
void report_marks(const Dataset& dataset, const MarkCounts& others, Logger& log) {
  const auto stands = [](std::string_view mark, std::int64_t count) {
    return fmt::format("{} stands {} in the texts", mark, count == 1 ? "once" : format_count(count) + " times");
  };
  if (dataset.num_marks > 0 && !dataset.marks_split) {
    log.warn(
        fmt::format("{} and is learned as text, as split_documents is false", stands(dataset.end_mark, dataset.num_marks)));
  }
  for (const auto& [mark, count] : others) report_other_mark(mark, stands(mark, count), dataset, log);
}

/// Texts that are open, and everything but their tokens.
struct OpenedTexts {
  TextParts parts;
  Dataset dataset;
};

OpenedTexts open_texts(const DataRequest& request, InputFiles inputs, Logger& log) {
  const Tokenizer* made = request.made_tokenizer.get();
  const auto builder = made != nullptr ? nullptr : make_tokenizer_builder(request.tokenizer, request.progress);
  EndMark mark{made != nullptr ? end_of_text_mark(*made) : builder->end_of_text_mark()};
  mark.splits = request.text.split_documents && !mark.text.empty();
  OpenedTexts opened{open_parts(request, std::move(inputs), mark, log), {}};
  const TextParts& parts = opened.parts;
  Dataset& dataset = opened.dataset;
  dataset.num_documents = parts.train.num_documents();
  dataset.num_val_documents = parts.val ? parts.val->num_documents() : 0;
  dataset.num_marks = parts.train.num_marks() + (parts.val ? parts.val->num_marks() : 0);
  dataset.end_mark = mark.text;
  dataset.marks_split = mark.splits;
  if (made != nullptr) {
    dataset.tokenizer = request.made_tokenizer;
  } else {
    dataset.tokenizer = build_tokenizer(*builder, parts, request.progress);
  }
  if (const std::string caveat = dataset.tokenizer->caveat(); !caveat.empty()) log.warn(caveat);
  if (std::max(dataset.num_documents, dataset.num_val_documents) > 1 && dataset.tokenizer->end_of_text() < 0) {
    log.info(fmt::format("the {} tokenizer has no end of text: nothing stands between the texts", dataset.tokenizer->name()));
  }
  MarkCounts others = parts.train.other_marks();
  if (parts.val) {
    for (const auto& [spelling, count] : parts.val->other_marks()) others[spelling] += count;
  }
  report_marks(dataset, others, log);
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
  if (request.tell_files) VIRGIL_CHECK(request.val_fraction == 0 && inputs.val.empty(), "files of a text that is cut");
  std::vector<FileTokens> told;
  for (const auto& path : inputs.train) told.push_back({path});
  auto [parts, dataset] = open_texts(request, std::move(inputs), log);
  dataset.cached = !request.tell_files && !request.cache_directory.empty() && num_bytes(parts) >= request.cache_min_bytes;
  TokenCache::Entry entry =
      dataset.cached ? encode_through_cache(parts, *dataset.tokenizer,
                                            TokenCache(files, request.cache_directory, request.progress), request.progress, log)
                     : encode_in_memory(parts, *dataset.tokenizer, request.progress, request.tell_files ? &told : nullptr);
  if (request.tell_files) dataset.files = std::move(told);
  report_spelt_bytes(*dataset.tokenizer, entry, log);
  dataset.train = std::move(entry.train);
  if (!entry.val.tokens.empty()) dataset.val = std::move(entry.val);
  return std::move(dataset);
}

}  // namespace virgil

#include "virgil/data/token_file.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <limits>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "data/bare_ids.h"
#include "virgil/base/error.h"
#include "virgil/base/input_file.h"
#include "virgil/base/remove_quietly.h"
#include "virgil/base/sha256.h"

namespace virgil {
namespace {

constexpr std::string_view kMagic = "VIRGILTK";
constexpr std::uint32_t kTokenFileVersion = 1;
constexpr std::size_t kHeaderBytes = 256;
constexpr std::size_t kHashedHeaderBytes = 104;
constexpr std::size_t kHexBytes = 64;

constexpr std::int32_t kLlmCMagic = 20240520;
constexpr std::int32_t kLlmCVersion = 1;
constexpr std::int32_t kLlmCWideMagic = 20240801;  // 32-bit ids
constexpr std::int32_t kLlmCWideVersion = 7;
constexpr std::size_t kLlmCHeaderBytes = 1024;

constexpr std::int64_t kMaxNarrowVocab = 65536;

template <typename T>
T load(std::span<const std::byte> bytes, std::size_t offset) {
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof(value));
  return value;
}

template <typename T>
void store(std::span<std::byte> bytes, std::size_t offset, T value) {
  std::memcpy(bytes.data() + offset, &value, sizeof(value));
}

std::string text_at(std::span<const std::byte> bytes, std::size_t offset, std::size_t size) {
  std::string text(size, '\0');
  std::memcpy(text.data(), bytes.data() + offset, size);
  return text;
}

void check_size(std::uint64_t num_tokens, std::size_t token_bytes, std::size_t available, const std::filesystem::path& path) {
  if (num_tokens == available / token_bytes && available % token_bytes == 0) return;
  throw user_error("{}: damaged: its header counts {} ids of {} bytes, {} bytes follow it; make the file again", path.string(),
                   num_tokens, token_bytes, available);
}

/// In blocks, so that a stop is seen within a large file. Half of the file's bytes count as read: its ids are checked next.
void hash_in_blocks(Sha256& hash, std::span<const std::byte> bytes, ProgressPhase* phase) {
  constexpr std::size_t kBlockBytes = std::size_t{4} << 20;
  for (; !bytes.empty(); bytes = bytes.subspan(std::min(kBlockBytes, bytes.size()))) {
    const std::span<const std::byte> block = bytes.first(std::min(kBlockBytes, bytes.size()));
    hash.update(block);
    if (phase != nullptr) phase->advance(std::ssize(block) / 2);
  }
}

TokenFileInfo read_virgil_header(std::span<const std::byte> bytes, const std::filesystem::path& path, ProgressPhase* phase) {
  if (bytes.size() < kHeaderBytes) throw user_error("{}: damaged: shorter than its header; make the file again", path.string());
  const auto version = load<std::uint32_t>(bytes, 8);
  if (version != kTokenFileVersion) {
    throw user_error("{}: token file version {} is not known; this program reads {}", path.string(), version,
                     kTokenFileVersion);
  }
  const auto width = load<std::uint32_t>(bytes, 12);
  if (width != 2 && width != 4) throw user_error("{}: damaged: ids of {} bytes", path.string(), width);
  const auto num_tokens = load<std::uint64_t>(bytes, 16);
  check_size(num_tokens, width, bytes.size() - kHeaderBytes, path);
  TokenFileInfo info;
  info.num_tokens = static_cast<std::int64_t>(num_tokens);
  info.token_bytes = static_cast<int>(width);
  info.offset = kHeaderBytes;
  info.text_bytes = load<std::int64_t>(bytes, 24);
  info.vocab_size = load<std::int64_t>(bytes, 32);
  info.tokenizer_fingerprint = text_at(bytes, 40, kHexBytes);
  info.sha256 = text_at(bytes, kHashedHeaderBytes, kHexBytes);
  if (info.text_bytes < 0 || info.vocab_size <= 0) {
    throw user_error("{}: damaged: {} bytes of text, a vocabulary of {}", path.string(), info.text_bytes, info.vocab_size);
  }
  Sha256 hash;
  hash.update(bytes.first(kHashedHeaderBytes));
  hash_in_blocks(hash, bytes.subspan(kHeaderBytes), phase);
  const std::string found = hash.finish();
  if (found != info.sha256) {
    throw user_error("{}: damaged: its SHA-256 is {}, the header says {}; make the file again", path.string(), found,
                     info.sha256);
  }
  return info;
}

TokenFileInfo read_llm_c_header(std::span<const std::byte> bytes, const std::filesystem::path& path) {
  if (bytes.size() < kLlmCHeaderBytes) throw user_error("{}: damaged: shorter than llm.c's header", path.string());
  const bool wide = load<std::int32_t>(bytes, 0) == kLlmCWideMagic;
  const std::int32_t known_version = wide ? kLlmCWideVersion : kLlmCVersion;
  const auto version = load<std::int32_t>(bytes, 4);
  if (version != known_version) {
    throw user_error("{}: version {} of llm.c's token files is not known; Virgil reads {}", path.string(), version,
                     known_version);
  }
  TokenFileInfo info;
  info.format = TokenFileFormat::kLlmC;
  info.token_bytes = wide ? 4 : 2;
  info.num_tokens = load<std::int32_t>(bytes, 8);
  info.offset = kLlmCHeaderBytes;
  check_size(static_cast<std::uint64_t>(info.num_tokens), wide ? 4 : 2, bytes.size() - kLlmCHeaderBytes, path);
  return info;
}

std::string_view first_bytes(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), std::min<std::size_t>(bytes.size(), 4096)};
}

bool has_virgil_magic(std::string_view start) { return start.starts_with(kMagic); }

bool has_llm_c_magic(std::string_view start) {
  if (start.size() < 8) return false;
  const auto magic = load<std::int32_t>(std::as_bytes(std::span(start)), 0);
  return magic == kLlmCMagic || magic == kLlmCWideMagic;
}

TokenFileInfo read_header(std::span<const std::byte> bytes, TokenType type, const std::filesystem::path& path,
                          ProgressPhase* phase) {
  if (bytes.empty()) throw user_error("{}: the file is empty; give a file of tokens", path.string());
  const std::string_view start = first_bytes(bytes);
  if (has_virgil_magic(start)) return read_virgil_header(bytes, path, phase);
  if (has_llm_c_magic(start)) return read_llm_c_header(bytes, path);
  if (type == TokenType::kAuto) check_bare_ids(bytes, path);
  const std::size_t width = type == TokenType::kUint64 ? 8 : type == TokenType::kUint32 ? 4 : 2;
  if (bytes.size() % width != 0) {
    throw user_error("{}: {} bytes are not whole {}-bit ids, and it has no header Virgil knows (its own, llm.c's)",
                     path.string(), bytes.size(), 8 * width);
  }
  TokenFileInfo info;
  info.format = TokenFileFormat::kNanoGpt;
  info.token_bytes = static_cast<int>(width);
  info.num_tokens = static_cast<std::int64_t>(bytes.size() / width);
  return info;
}

// The ids as they lie in the file.
std::vector<std::byte> pack(std::span<const std::int32_t> tokens, int token_bytes) {
  std::vector<std::byte> bytes(tokens.size() * static_cast<std::size_t>(token_bytes));
  if (token_bytes == 4) {
    std::memcpy(bytes.data(), tokens.data(), bytes.size());
  } else {
    for (std::size_t i = 0; i < tokens.size(); ++i) store(std::span(bytes), 2 * i, static_cast<std::uint16_t>(tokens[i]));
  }
  return bytes;
}

std::vector<std::byte> virgil_header(const Tokenizer& tokenizer, std::span<const std::byte> ids, int token_bytes,
                                     std::int64_t text_bytes) {
  std::vector<std::byte> header(kHeaderBytes);
  const std::span<std::byte> out(header);
  const std::string fingerprint = tokenizer.fingerprint();
  VIRGIL_CHECK(fingerprint.size() == kHexBytes, "fingerprint {}", fingerprint);
  std::memcpy(out.data(), kMagic.data(), kMagic.size());
  store(out, 8, kTokenFileVersion);
  store(out, 12, static_cast<std::uint32_t>(token_bytes));
  store(out, 16, static_cast<std::uint64_t>(ids.size() / static_cast<std::size_t>(token_bytes)));
  store(out, 24, text_bytes);
  store(out, 32, tokenizer.vocab_size());
  std::memcpy(out.data() + 40, fingerprint.data(), kHexBytes);
  Sha256 hash;
  hash.update(out.first(kHashedHeaderBytes));
  hash.update(ids);
  const std::string digest = hash.finish();
  std::memcpy(out.data() + kHashedHeaderBytes, digest.data(), kHexBytes);
  return header;
}

std::vector<std::byte> llm_c_header(std::size_t num_tokens, const std::filesystem::path& path) {
  if (num_tokens > static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max())) {
    throw user_error("{}: llm.c's header cannot count {} ids; write shorter shards", path.string(), num_tokens);
  }
  std::vector<std::byte> header(kLlmCHeaderBytes);
  store(std::span(header), 0, kLlmCMagic);
  store(std::span(header), 4, kLlmCVersion);
  store(std::span(header), 8, static_cast<std::int32_t>(num_tokens));
  return header;
}

}  // namespace

const char* name_of(TokenFileFormat format) {
  switch (format) {
    case TokenFileFormat::kVirgil:
      return "Virgil";
    case TokenFileFormat::kLlmC:
      return "llm.c";
    case TokenFileFormat::kNanoGpt:
      return "nanoGPT";
  }
  throw InternalError("an unknown token file format");
}

TokenType parse_token_type(const std::string& name) {
  if (name == "auto") return TokenType::kAuto;
  if (name == "uint16") return TokenType::kUint16;
  if (name == "uint32") return TokenType::kUint32;
  if (name == "uint64") return TokenType::kUint64;
  throw user_error("token_type is \"{}\"; choose auto, uint16, uint32 or uint64", name);
}

TokenFile open_token_file(const std::filesystem::path& path, TokenType type, ProgressPhase* phase) {
  auto mapped = std::make_shared<const MappedFile>(path);
  TokenFile file{read_header(mapped->bytes(), type, path, phase), {}};
  file.tokens = TokenSequence(std::move(mapped), static_cast<std::size_t>(file.info.offset),
                              static_cast<std::size_t>(file.info.num_tokens), file.info.token_bytes);
  if (phase != nullptr) phase->advance(file.info.offset);
  return file;
}

bool begins_as_token_file(const std::filesystem::path& path) {
  std::array<char, 8> bytes{};
  const std::string_view start(bytes.data(), InputFile(path).read(bytes));
  return has_virgil_magic(start) || has_llm_c_magic(start);
}

void check_token_file_ids(const TokenFile& file, std::int64_t vocab_size, const std::filesystem::path& path,
                          ProgressPhase* phase) {
  // Where a file has an SHA-256, its bytes are read for that too.
  const std::int64_t bytes_per_id = file.info.sha256.empty() ? file.info.token_bytes : file.info.token_bytes / 2;
  std::array<std::int32_t, 16384> block;
  for (std::size_t first = 0; first < file.tokens.size(); first += block.size()) {
    const std::span<std::int32_t> ids = std::span(block).first(std::min(block.size(), file.tokens.size() - first));
    file.tokens.copy(first, ids);
    if (phase != nullptr) phase->advance(std::ssize(ids) * bytes_per_id);
    const auto is_bad = [&](std::int32_t id) { return id < 0 || id >= vocab_size; };
    const auto bad = std::find_if(ids.begin(), ids.end(), is_bad);
    if (bad == ids.end()) continue;
    const std::size_t position = first + static_cast<std::size_t>(bad - ids.begin());
    const bool has_header = file.info.format != TokenFileFormat::kNanoGpt;
    throw user_error(
        "{}: id {} at position {} (byte {}) is outside the tokenizer's vocabulary of {}; the file ({} format, ids of "
        "{} bits) was made by another tokenizer, or is not a token file{}",
        path.string(), file.tokens.stored_id(position), position,
        static_cast<std::size_t>(file.info.offset) + position * static_cast<std::size_t>(file.info.token_bytes), vocab_size,
        name_of(file.info.format), 8 * file.info.token_bytes,
        has_header ? "" : "; --token_type says how wide ids are that have no header");
  }
}

void write_token_file(FileSystem& files, const std::filesystem::path& path, TokenFileFormat format, const Tokenizer& tokenizer,
                      std::span<const std::int32_t> tokens, std::int64_t text_bytes) {
  const bool narrow = tokenizer.vocab_size() <= kMaxNarrowVocab;
  if (!narrow && format != TokenFileFormat::kVirgil) {
    throw user_error("{}: the {} format holds 16-bit ids, but the tokenizer has {} ids; write Virgil's format", path.string(),
                     name_of(format), tokenizer.vocab_size());
  }
  const std::vector<std::byte> ids = pack(tokens, narrow ? 2 : 4);
  std::vector<std::byte> header;
  if (format == TokenFileFormat::kVirgil) header = virgil_header(tokenizer, ids, narrow ? 2 : 4, text_bytes);
  if (format == TokenFileFormat::kLlmC) header = llm_c_header(tokens.size(), path);
  const std::filesystem::path partial = temporary_name(path);
  try {
    const std::unique_ptr<WritableFile> file = files.create(partial);
    file->append(header);
    file->append(ids);
    file->close_durably();
    files.rename(partial, path);
  } catch (...) {
    remove_quietly(files, partial);
    throw;
  }
  files.sync_directory(path.has_parent_path() ? path.parent_path() : ".");
}

}  // namespace virgil

#include "virgil/data/token_sequence.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <limits>
#include <utility>

#include "virgil/base/error.h"
#include "virgil/base/sha256.h"

namespace virgil {
namespace {

static_assert(std::endian::native == std::endian::little, "token files are mapped as they are, little-endian");

std::uint64_t load_stored(const std::byte* data, std::size_t index, int token_bytes) {
  const auto width = static_cast<std::size_t>(token_bytes);
  std::uint64_t token = 0;  // little-endian: the lower bytes
  std::memcpy(&token, data + index * width, width);
  return token;
}

std::int32_t load(const std::byte* data, std::size_t index, int token_bytes) {
  if (token_bytes == 2) {
    std::uint16_t token;
    std::memcpy(&token, data + index * 2, 2);
    return token;
  }
  const std::uint64_t token = load_stored(data, index, token_bytes);
  return token > std::numeric_limits<std::int32_t>::max() ? -1 : static_cast<std::int32_t>(token);
}

}  // namespace

TokenSequence::TokenSequence(std::span<const std::int32_t> tokens) {
  add({nullptr, nullptr, std::as_bytes(tokens).data(), 0, 0, 4}, tokens.size());
}

TokenSequence::TokenSequence(const std::vector<std::int32_t>& tokens) : TokenSequence(std::span(tokens)) {}

TokenSequence::TokenSequence(std::vector<std::int32_t>&& tokens) {
  const auto owner = std::make_shared<const std::vector<std::int32_t>>(std::move(tokens));
  add({owner, nullptr, std::as_bytes(std::span(*owner)).data(), 0, 0, 4}, owner->size());
}

TokenSequence::TokenSequence(std::shared_ptr<const MappedFile> file, std::size_t offset, std::size_t num_tokens,
                             int token_bytes) {
  const auto width = static_cast<std::size_t>(token_bytes);
  VIRGIL_CHECK((width == 2 || width == 4 || width == 8) && offset % width == 0, "token_bytes {}, offset {}", token_bytes,
               offset);
  const std::size_t available = file->bytes().size();
  VIRGIL_CHECK(offset <= available && num_tokens <= (available - offset) / width, "{} tokens at {} of {} bytes", num_tokens,
               offset, available);
  const MappedFile* mapped = file.get();
  add({std::move(file), mapped, mapped->bytes().data() + offset, 0, 0, token_bytes}, num_tokens);
}

void TokenSequence::add(Segment segment, std::size_t count) {
  segment.begin = size();
  segment.end = segment.begin + count;
  if (count > 0) segments_.push_back(std::move(segment));
}

const TokenSequence::Segment& TokenSequence::segment_of(std::size_t index) const {
  if (segments_.size() == 1) return segments_.front();
  return *std::upper_bound(segments_.begin(), segments_.end(), index,
                           [](std::size_t i, const Segment& segment) { return i < segment.end; });
}

std::int32_t TokenSequence::operator[](std::size_t index) const {
  const Segment& segment = segment_of(index);
  return load(segment.data, index - segment.begin, segment.token_bytes);
}

void TokenSequence::copy(std::size_t first, std::span<std::int32_t> out) const {
  VIRGIL_CHECK(first <= size() && out.size() <= size() - first, "{} ids from {} of {}", out.size(), first, size());
  for (std::size_t done = 0; done < out.size();) {
    const Segment& segment = segment_of(first + done);
    const std::size_t from = first + done - segment.begin;
    const std::size_t count = std::min(out.size() - done, segment.end - first - done);
    const std::span<std::int32_t> part = out.subspan(done, count);
    if (segment.token_bytes == 4) {
      std::memcpy(part.data(), segment.data + from * 4, count * 4);
    } else {
      for (std::size_t i = 0; i < count; ++i) part[i] = load(segment.data, from + i, segment.token_bytes);
    }
    done += count;
  }
}

TokenSequence TokenSequence::slice(std::size_t first, std::size_t count) const {
  VIRGIL_CHECK(first <= size() && count <= size() - first, "{} ids from {} of {}", count, first, size());
  TokenSequence part;
  for (const Segment& segment : segments_) {
    const std::size_t begin = std::max(first, segment.begin);
    const std::size_t end = std::min(first + count, segment.end);
    if (begin >= end) continue;
    const std::size_t skipped = (begin - segment.begin) * static_cast<std::size_t>(segment.token_bytes);
    Segment kept = segment;
    kept.data += skipped;
    part.add(std::move(kept), end - begin);
  }
  return part;
}

void TokenSequence::append(const TokenSequence& other) {
  const std::vector<Segment> segments = other.segments_;  // a copy: other may be this
  for (const Segment& segment : segments) add(segment, segment.end - segment.begin);
}

std::uint64_t TokenSequence::stored_id(std::size_t index) const {
  const Segment& segment = segment_of(index);
  return load_stored(segment.data, index - segment.begin, segment.token_bytes);
}

std::vector<std::filesystem::path> TokenSequence::written_files() const {
  std::vector<std::filesystem::path> written;
  for (const Segment& segment : segments_) {
    if (segment.file == nullptr || !segment.file->was_written()) continue;
    if (std::ranges::find(written, segment.file->path()) == written.end()) written.push_back(segment.file->path());
  }
  return written;
}

std::string fingerprint_of(const TokenSequence& tokens, ProgressMonitor* progress) {
  ProgressPhase phase(progress, "hashing the tokens", "tokens", static_cast<std::int64_t>(tokens.size()));
  Sha256 hash;
  std::array<std::int32_t, 16384> block;
  for (std::size_t first = 0; first < tokens.size(); first += block.size()) {
    const std::span<std::int32_t> part = std::span(block).first(std::min(block.size(), tokens.size() - first));
    tokens.copy(first, part);
    hash.update(std::as_bytes(part));
    phase.advance(std::ssize(part));
  }
  return hash.finish();
}

}  // namespace virgil

#include "virgil/data/token_sequence.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <utility>

#include "virgil/base/error.h"
#include "virgil/base/sha256.h"

namespace virgil {
namespace {

static_assert(std::endian::native == std::endian::little, "token files are mapped as they are, little-endian");

std::int32_t load(const std::byte* data, std::size_t index, int token_bytes) {
  if (token_bytes == 2) {
    std::uint16_t token;
    std::memcpy(&token, data + index * 2, 2);
    return token;
  }
  std::int32_t token;
  std::memcpy(&token, data + index * 4, 4);
  return token;
}

}  // namespace

TokenSequence::TokenSequence(std::span<const std::int32_t> tokens) {
  add(nullptr, std::as_bytes(tokens).data(), tokens.size(), 4);
}

TokenSequence::TokenSequence(const std::vector<std::int32_t>& tokens) : TokenSequence(std::span(tokens)) {}

TokenSequence::TokenSequence(std::vector<std::int32_t>&& tokens) {
  const auto owner = std::make_shared<const std::vector<std::int32_t>>(std::move(tokens));
  add(owner, std::as_bytes(std::span(*owner)).data(), owner->size(), 4);
}

TokenSequence::TokenSequence(std::shared_ptr<const MappedFile> file, std::size_t offset, std::size_t num_tokens,
                             int token_bytes) {
  const auto width = static_cast<std::size_t>(token_bytes);
  VIRGIL_CHECK((width == 2 || width == 4) && offset % width == 0, "token_bytes {}, offset {}", token_bytes, offset);
  const std::size_t available = file->bytes().size();
  VIRGIL_CHECK(offset <= available && num_tokens <= (available - offset) / width, "{} tokens at {} of {} bytes", num_tokens,
               offset, available);
  const std::byte* data = file->bytes().data() + offset;
  add(std::move(file), data, num_tokens, token_bytes);
}

void TokenSequence::add(std::shared_ptr<const void> owner, const std::byte* data, std::size_t count, int token_bytes) {
  if (count > 0) segments_.push_back({std::move(owner), data, size(), size() + count, token_bytes});
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
      for (std::size_t i = 0; i < count; ++i) part[i] = load(segment.data, from + i, 2);
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
    part.add(segment.owner, segment.data + skipped, end - begin, segment.token_bytes);
  }
  return part;
}

void TokenSequence::append(const TokenSequence& other) {
  const std::vector<Segment> segments = other.segments_;  // a copy: other may be this
  for (const Segment& segment : segments) add(segment.owner, segment.data, segment.end - segment.begin, segment.token_bytes);
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

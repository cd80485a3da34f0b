#include "virgil/generate/text_stream.h"

#include <algorithm>
#include <span>
#include <utility>

#include "virgil/base/error.h"
#include "virgil/base/utf8.h"

namespace virgil {

namespace {

constexpr std::uint32_t kReplacement = 0xFFFD;

/// Whether more bytes could make a character of what stands at `position`, the rest of the text.
bool may_become_character(std::string_view text, std::size_t position) {
  const auto first = static_cast<unsigned char>(text[position]);
  if (first < 0xC2 || first > 0xF4) return false;
  const std::size_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  const std::string_view rest = text.substr(position + 1);
  return rest.size() + 1 < length && std::ranges::all_of(rest, is_continuation_byte);
}

/// Length of the longest end of `text` that begins `stop`, and is not all of it.
std::size_t overlap(std::string_view text, std::string_view stop) {
  for (std::size_t length = std::min(text.size(), stop.size() - 1); length > 0; --length) {
    if (text.ends_with(stop.substr(0, length))) return length;
  }
  return 0;
}

/// Moves characters from the front of `raw` to the result, up to one that may still be completed.
std::string take_valid_utf8(std::string& raw, bool at_end) {
  std::string text;
  std::size_t position = 0;
  while (position < raw.size()) {
    const Utf8Char character = decode_utf8(raw, position);
    if (character.length == 0 && !at_end && may_become_character(raw, position)) break;
    append_utf8(text, character.length > 0 ? character.code_point : kReplacement);
    position += std::max(character.length, 1U);
  }
  raw.erase(0, position);
  return text;
}

}  // namespace

TextStream::TextStream(const Tokenizer& tokenizer, std::vector<std::string> stops)
    : tokenizer_(tokenizer), stops_(std::move(stops)) {
  for (const std::string& stop : stops_) {
    if (stop.empty()) throw user_error("stop is an empty text, which would end every sample at once: leave it out");
  }
}

std::string TextStream::push(std::int32_t token) {
  if (stopped_) return {};
  pending_.push_back(token);
  const std::string text = tokenizer_.decode(pending_);
  raw_ += text.substr(num_decoded_);
  num_decoded_ = text.size();
  // A token that means something by itself waits for no other; one that does not (half a byte) is decoded with the next.
  if (!tokenizer_.decode(std::span(&token, 1)).empty()) {
    pending_.clear();
    num_decoded_ = 0;
  }
  held_ += take_valid_utf8(raw_, false);
  return release(false);
}

std::string TextStream::finish() {
  if (stopped_) return {};
  held_ += take_valid_utf8(raw_, true);
  return release(true);
}

/// What of held_ may be shown.
std::string TextStream::release(bool at_end) {
  std::size_t keep = 0;
  std::size_t end = held_.npos;
  for (const std::string& stop : stops_) {
    end = std::min(end, held_.find(stop));
    keep = std::max(keep, overlap(held_, stop));
  }
  stopped_ = end != held_.npos;
  if (!stopped_) end = at_end ? held_.size() : held_.size() - keep;
  std::string text = held_.substr(0, end);
  held_.erase(0, end);
  return text;
}

std::string to_valid_utf8(std::string_view text) {
  std::string raw(text);
  return take_valid_utf8(raw, true);
}

}  // namespace virgil

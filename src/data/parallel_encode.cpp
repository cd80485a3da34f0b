#include "data/parallel_encode.h"

#include <omp.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <limits>
#include <utility>

#include "virgil/base/processor_quota.h"
#include "virgil/base/utf8.h"

namespace virgil {
namespace {

// Long enough that a piece's own set-up (a word cache) does not count, short enough to share out a few megabytes.
constexpr std::size_t kMinPieceBytes = std::size_t{1} << 17;
constexpr std::size_t kPiecesPerThread = 4;

std::vector<std::int32_t> join(const std::vector<std::vector<std::int32_t>>& parts) {
  std::vector<std::size_t> starts{0};
  for (const auto& part : parts) starts.push_back(starts.back() + part.size());
  std::vector<std::int32_t> joined(starts.back());
  for_each_in_parallel(parts.size(), [&](std::size_t i) {
    std::copy(parts[i].begin(), parts[i].end(), joined.begin() + static_cast<std::ptrdiff_t>(starts[i]));
  });
  return joined;
}

}  // namespace

int text_threads() {
  // Read once: texts are worked on in many short turns.
  static const int within_quota = threads_within_quota(std::numeric_limits<int>::max());
  return std::min(omp_get_max_threads(), within_quota);
}

std::vector<std::string_view> cut_for_threads(std::string_view text, const FindCut& find_cut) {
  const std::size_t pieces = static_cast<std::size_t>(text_threads()) * kPiecesPerThread;
  const std::size_t piece_bytes = std::max(kMinPieceBytes, text.size() / pieces + 1);
  std::vector<std::string_view> cut;
  while (!text.empty()) {
    const std::size_t end = text.size() > piece_bytes ? find_cut(text, piece_bytes) : text.size();
    cut.push_back(text.substr(0, end));
    text.remove_prefix(end);
  }
  return cut;
}

void for_each_in_parallel(std::size_t count, const std::function<void(std::size_t)>& task) {
  if (count == 1) return task(0);
  std::exception_ptr failure;  // an exception must not leave a parallel region
  std::atomic_flag failed = ATOMIC_FLAG_INIT;
#pragma omp parallel for schedule(dynamic) num_threads(text_threads())
  for (std::size_t i = 0; i < count; ++i) {
    if (failed.test()) continue;  // what is left would be thrown away
    try {
      task(i);
    } catch (...) {
      if (!failed.test_and_set()) failure = std::current_exception();
    }
  }
  if (failure) std::rethrow_exception(failure);
}

std::vector<std::int32_t> encode_in_parallel(std::string_view text, const FindCut& find_cut, const EncodePiece& encode_piece) {
  const std::vector<std::string_view> pieces = cut_for_threads(text, find_cut);
  std::vector<std::vector<std::int32_t>> parts(std::max<std::size_t>(pieces.size(), 1));
  for_each_in_parallel(pieces.size(), [&](std::size_t i) { encode_piece(pieces[i], parts[i]); });
  return parts.size() == 1 ? std::move(parts[0]) : join(parts);
}

std::size_t find_character_cut(std::string_view text, std::size_t position) {
  // A run of continuation bytes longer than three belongs to no character, so it may be cut anywhere.
  for (int i = 0; i < 3 && position < text.size() && is_continuation_byte(text[position]); ++i) ++position;
  return position;
}

}  // namespace virgil

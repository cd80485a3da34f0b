#include "data/parallel_encode.h"

#include <omp.h>

#include <algorithm>
#include <exception>

#include "data/utf8.h"

namespace virgil {
namespace {

// Long enough that a piece's own set-up (a word cache) does not count, short enough to share out a few megabytes.
constexpr std::size_t kMinPieceBytes = std::size_t{1} << 17;
constexpr std::size_t kPiecesPerThread = 4;

std::vector<std::size_t> cut_positions(std::string_view text, const FindCut& find_cut) {
  const std::size_t pieces = static_cast<std::size_t>(omp_get_max_threads()) * kPiecesPerThread;
  const std::size_t piece_bytes = std::max(kMinPieceBytes, text.size() / pieces + 1);
  std::vector<std::size_t> cuts{0};
  while (text.size() - cuts.back() > piece_bytes) cuts.push_back(find_cut(text, cuts.back() + piece_bytes));
  if (cuts.back() != text.size()) cuts.push_back(text.size());
  return cuts;
}

std::vector<std::int32_t> join(const std::vector<std::vector<std::int32_t>>& parts) {
  std::vector<std::size_t> starts{0};
  for (const auto& part : parts) starts.push_back(starts.back() + part.size());
  std::vector<std::int32_t> joined(starts.back());
#pragma omp parallel for schedule(static)
  for (std::size_t i = 0; i < parts.size(); ++i) {
    std::copy(parts[i].begin(), parts[i].end(), joined.begin() + static_cast<std::ptrdiff_t>(starts[i]));
  }
  return joined;
}

}  // namespace

std::vector<std::int32_t> encode_in_parallel(std::string_view text, const FindCut& find_cut, const EncodePiece& encode_piece) {
  const std::vector<std::size_t> cuts = cut_positions(text, find_cut);
  const std::size_t num_pieces = cuts.size() - 1;
  if (num_pieces <= 1) {
    std::vector<std::int32_t> tokens;
    encode_piece(text, tokens);
    return tokens;
  }
  std::vector<std::vector<std::int32_t>> parts(num_pieces);
  std::exception_ptr failure;  // an exception must not leave a parallel region
#pragma omp parallel for schedule(dynamic)
  for (std::size_t i = 0; i < num_pieces; ++i) {
    try {
      encode_piece(text.substr(cuts[i], cuts[i + 1] - cuts[i]), parts[i]);
    } catch (...) {
#pragma omp critical(virgil_encode_failure)
      failure = std::current_exception();
    }
  }
  if (failure) std::rethrow_exception(failure);
  return join(parts);
}

std::size_t find_character_cut(std::string_view text, std::size_t position) {
  // A run of continuation bytes longer than three belongs to no character, so it may be cut anywhere.
  for (int i = 0; i < 3 && position < text.size() && is_continuation_byte(text[position]); ++i) ++position;
  return position;
}

}  // namespace virgil

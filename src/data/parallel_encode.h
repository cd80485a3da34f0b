// Working on a long text on all cores.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

namespace virgil {

/// A position at or after `position`, at most text.size(), at which the text may be cut without changing its tokens.
using FindCut = std::function<std::size_t(std::string_view text, std::size_t position)>;
/// Appends the tokens of one piece; called from several threads at once.
using EncodePiece = std::function<void(std::string_view piece, std::vector<std::int32_t>& out)>;

/// Threads that work on a text side by side: those of OpenMP that a container's quota of processor time lets run at once.
[[nodiscard]] int text_threads();

/// Pieces of about equal length, several for each thread; together the text.
[[nodiscard]] std::vector<std::string_view> cut_for_threads(std::string_view text, const FindCut& find_cut);

/// Runs task(0) .. task(count - 1) on all cores; rethrows what the first task threw that failed.
void for_each_in_parallel(std::size_t count, const std::function<void(std::size_t)>& task);

/// Encodes pieces of the text side by side and joins their tokens in order: the same ids for any number of threads.
[[nodiscard]] std::vector<std::int32_t> encode_in_parallel(std::string_view text, const FindCut& find_cut,
                                                           const EncodePiece& encode_piece);

/// Cuts between UTF-8 characters.
[[nodiscard]] std::size_t find_character_cut(std::string_view text, std::size_t position);

}  // namespace virgil

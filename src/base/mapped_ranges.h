// Where files are mapped, for the handler of SIGBUS: what a read of a mapped page raises when its file has become shorter.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>

namespace virgil {

/// Makes a range known, and installs the handler the first time. A fault in the range then ends the program with exit code 2
/// and a line that names `path`; faults elsewhere go to whoever handled them before. Returns what forget_mapped_range takes.
[[nodiscard]] void* remember_mapped_range(std::span<const std::byte> bytes, const std::filesystem::path& path);
/// Before the range is unmapped. nullptr is allowed.
void forget_mapped_range(void* guard) noexcept;

}  // namespace virgil

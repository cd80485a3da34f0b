// Limits that the process's control groups set (Linux).
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <limits>
#include <optional>
#include <string_view>

namespace virgil {

enum class GroupVersion : std::uint8_t { k1, k2 };

inline constexpr std::int64_t kNoGroupLimit = std::numeric_limits<std::int64_t>::max();

/// The least that `limit_of(group, version)` gives for the process's groups of a controller and all groups above them;
/// kNoGroupLimit where there are none. `root` is the file system's root, another one in tests.
[[nodiscard]] std::int64_t least_in_groups(
    const std::filesystem::path& root, std::string_view controller,
    const std::function<std::int64_t(const std::filesystem::path&, GroupVersion)>& limit_of);

/// The number in a file that holds one; nothing for "max", an absent file or rubbish.
[[nodiscard]] std::optional<std::int64_t> read_group_number(const std::filesystem::path& file);

}  // namespace virgil

// What the key `device` may be.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace virgil {

/// What is wrong with a value of `device` ("is not a device; choose ..."), or empty.
[[nodiscard]] std::string check_device(std::string_view value);

/// The N of cuda:N, `gpu` for cuda; nothing for other words.
[[nodiscard]] std::optional<int> cuda_index(std::string_view device, int gpu);

}  // namespace virgil

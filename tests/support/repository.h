// Files of the repository that tests read.
#pragma once

#include <string>
#include <string_view>

namespace virgil::test_support {

/// Path of a file or folder: repository_path("configs/tiny.json").
[[nodiscard]] std::string repository_path(std::string_view relative);

}  // namespace virgil::test_support

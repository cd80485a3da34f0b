#include "support/repository.h"

#include <filesystem>

namespace virgil::test_support {

// The only test source that is compiled with the folder's name, so that a compiler cache serves another clone with all others.
std::string repository_path(std::string_view relative) {
  return (std::filesystem::path(VIRGIL_SOURCE_DIR) / relative).string();
}

}  // namespace virgil::test_support

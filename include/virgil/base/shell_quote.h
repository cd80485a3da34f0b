// Words of the commands that messages tell people to type.
#pragma once

#include <string>

namespace virgil {

/// `word` as a POSIX shell reads it back: as it is when it is plain, else in single quotes.
[[nodiscard]] std::string shell_quote(const std::string& word);

}  // namespace virgil

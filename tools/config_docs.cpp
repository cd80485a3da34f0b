// Prints docs/configuration.md.
#include <cstdio>
#include <string>

#include "virgil/train/config_schema.h"

int main() {
  const std::string text = virgil::config_markdown();
  const bool written = std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0;
  return written ? 0 : 1;
}

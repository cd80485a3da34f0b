// Prints docs/configuration.md; with --foreign docs/foreign-flags.md.
#include <cstdio>
#include <string>
#include <string_view>

#include "virgil/config/config_schema.h"
#include "virgil/config/foreign_names.h"

int main(int argc, char** argv) {
  const bool foreign = argc > 1 && std::string_view(argv[1]) == "--foreign";
  const std::string text = foreign ? virgil::foreign_names_markdown() : virgil::config_markdown();
  const bool written = std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0;
  return written ? 0 : 1;
}

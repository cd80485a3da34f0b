// tokenize: token files, tokenizers and statistics from texts. docs/tokenizers.md
//
// Exit codes: 0 done, 1 an internal error, 2 something its user can mend, 130 stopped by a signal.
#include "virgil/command/program.h"
#include "virgil/command/tokenize_command.h"

int main(int argc, char** argv) { return virgil::run_program(argc, argv, virgil::tokenize_program); }

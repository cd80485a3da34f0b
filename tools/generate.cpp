// generate: text from a trained model. docs/generation.md
//
// Exit codes: 0 done, 1 an internal error or a model that computes NaN, 2 something its user can mend.
#include "virgil/command/generate_command.h"
#include "virgil/command/program.h"

int main(int argc, char** argv) { return virgil::run_program(argc, argv, virgil::generate_program); }

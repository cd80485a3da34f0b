// evaluate: how well a trained model predicts a text. docs/generation.md
//
// Exit codes: 0 done, 1 an internal error or a model that computes NaN, 2 something its user can mend, 130 stopped by a signal.
#include "virgil/command/evaluate_command.h"
#include "virgil/command/program.h"

int main(int argc, char** argv) { return virgil::run_program(argc, argv, virgil::evaluate_program); }

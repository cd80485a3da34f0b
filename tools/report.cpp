// report: what runs have done, as a page, a picture, a table or a plot in the terminal. docs/reports.md
//
// Exit codes: 0 done, 1 an internal error, 2 something its user can mend.
#include "virgil/command/program.h"
#include "virgil/command/report_command.h"

int main(int argc, char** argv) { return virgil::run_program(argc, argv, virgil::report_program); }

// calc_params --interactive.
#pragma once

#include <iosfwd>

#include "virgil/config/config_schema.h"

namespace virgil {

/// Asks for the keys that decide a model and its memory; an empty answer keeps the value in brackets, a bad one is explained
/// and asked again. Throws UserError when the input ends before the first answer, keeps all defaults when it ends later.
[[nodiscard]] CommandLine ask_for_config(CommandLine line, std::istream& in, std::ostream& out);

/// Asks for a file name and writes the keys that differ from the defaults; an empty answer writes nothing. An existing file is
/// replaced only after another question.
void offer_to_save(const CommandLine& line, std::istream& in, std::ostream& out);

}  // namespace virgil

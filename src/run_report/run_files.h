// The files of a run beside metrics.jsonl.
#pragma once

#include "virgil/run_report/run_history.h"

namespace virgil {

/// Adds run.json's sessions and plans; what is wrong with the file goes to the problems. Runs of older versions have none.
void add_sessions(RunHistory& history);
/// Adds run_config.json's keys, likewise.
void add_config(RunHistory& history);

}  // namespace virgil

// What bench --generate prints.
#pragma once

#include <string>

#include "bench/generation_bench.h"

namespace virgil::bench {

/// For people: the machine, the model, and a line a cell.
[[nodiscard]] std::string text_report(const GenerationTable& table);
/// One JSON object; docs/performance.md lists its fields.
[[nodiscard]] std::string json_report(const GenerationTable& table);

}  // namespace virgil::bench

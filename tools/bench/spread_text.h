// How bench prints figures that spread, and what it warns of.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "bench/peak_rates.h"
#include "virgil/base/spread.h"

namespace virgil::bench {

/// "85.6 % of peak (84.1 to 86.4)".
[[nodiscard]] std::string share_text(const Spread& share, std::string_view of);
/// A table's: "    86 % ±1.2  ", with half the width of the middle half in points, and "~" at the end where the spread does not
/// tell the share from 100 %.
[[nodiscard]] std::string share_cell(const Spread& share);
/// For beneath a table with such cells; empty where none has the mark.
[[nodiscard]] std::string explain_marks(bool any);
/// {"median", "lower", "upper", "min", "max", "count"}.
[[nodiscard]] nlohmann::json spread_json(const Spread& spread);
/// The fields of the peak: medians and spreads.
[[nodiscard]] nlohmann::json peak_json(const PeakSpread& peak);

/// Why a share cannot be told from 100 %; empty: it can. `what`: "the step's share of the peak"; `more`: how to measure more.
[[nodiscard]] std::string doubt_of_share(std::string_view what, const Spread& share, std::string_view more);
/// Why a ratio cannot be told from 1; empty: it can.
[[nodiscard]] std::string doubt_of_ratio(std::string_view what, const Spread& ratio);
/// Where the machine changed so much while it was measured that its rates in two runs are hard to compare; else empty.
[[nodiscard]] std::string doubt_of_peak(const PeakSpread& peak);

}  // namespace virgil::bench

#include "bench/spread_text.h"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

namespace virgil::bench {

std::string share_text(const Spread& share, std::string_view of) {
  return fmt::format("{:.1f} % of {} ({:.1f} to {:.1f})", 100 * share.median, of, 100 * share.lower, 100 * share.upper);
}

std::string share_cell(const Spread& share) {
  return fmt::format("{:>6.0f} % ±{:<5.1f}{}", 100 * share.median, 100 * share.width() / 2, share.tells_from(1) ? ' ' : '~');
}

std::string explain_marks(bool any) {
  return any ? "  ~ a share that this run does not tell from 100 %: its middle half is wider than what it lacks, or it was measured "
               "fewer than three times\n"
             : "";
}

nlohmann::json spread_json(const Spread& spread) {
  return {{"median", spread.median}, {"lower", spread.lower}, {"upper", spread.upper},
          {"min", spread.min},       {"max", spread.max},     {"count", spread.count}};
}

nlohmann::json peak_json(const PeakSpread& peak) {
  nlohmann::json spreads = nlohmann::json::object();
  for (const auto& [dtype, gflops] : peak.gemm_gflops_by_dtype) spreads[dtype] = spread_json(gflops);
  return {{"gemm_peak_gflops", peak.medians().gemm_gflops_by_dtype},
          {"gemm_peak_spread", std::move(spreads)},
          {"bandwidth_gb_per_s", peak.bandwidth_gb_per_s.median},
          {"bandwidth_spread", spread_json(peak.bandwidth_gb_per_s)}};
}

std::string doubt_of_share(std::string_view what, const Spread& share, std::string_view more) {
  if (share.tells_from(1)) return "";
  if (share.count < Spread::kFewestToTell) {
    return fmt::format("{} was measured {}, too few times to know how far it spreads; give {}", what,
                       share.count == 1 ? "once" : "twice", more);
  }
  return fmt::format(
      "{} spreads over {:.1f} points ({:.1f} to {:.1f} %), and its median lies {:.1f} from 100 %: this run does not tell the two "
      "apart; repeat it on a quieter machine, or give {}",
      what, 100 * share.width(), 100 * share.lower, 100 * share.upper, 100 * std::abs(1 - share.median), more);
}

std::string doubt_of_ratio(std::string_view what, const Spread& ratio) {
  if (ratio.tells_from(1)) return "";
  return fmt::format(
      "{} is {:.2f} at the median of {} rounds and {:.2f} to {:.2f} in their middle half: this run does not tell it "
      "from 1",
      what, ratio.median, ratio.count, ratio.lower, ratio.upper);
}

std::string doubt_of_peak(const PeakSpread& peak) {
  constexpr double kNoisy = 0.05;
  const double change = peak.gemm_gflops.relative_width();
  if (change <= kNoisy) return "";
  return fmt::format(
      "the machine was not quiet: its own peak varied by {:.0f} % ({:.1f} to {:.1f} GFLOP/s) while the rest was measured; rates of "
      "two runs that differ by less are not told apart",
      100 * change, peak.gemm_gflops.lower, peak.gemm_gflops.upper);
}

}  // namespace virgil::bench

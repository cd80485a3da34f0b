// Parts of the page, as HTML.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "virgil/run_report/run_history.h"

namespace virgil {

/// The run in a few figures: tiles for one, a table for several.
[[nodiscard]] std::string summary_part(const std::vector<RunHistory>& runs);
/// What was damaged or missing; empty where nothing was.
[[nodiscard]] std::string problems_part(const std::vector<RunHistory>& runs);
/// What the model wrote, by step; empty where it wrote nothing.
[[nodiscard]] std::string samples_part(const std::vector<RunHistory>& runs);
/// The keys in which configurations differ: between runs or, of one, from the defaults. All keys below, folded.
[[nodiscard]] std::string config_part(const std::vector<RunHistory>& runs);
/// Where and when the runs were computed; empty where run.json tells nothing.
[[nodiscard]] std::string sessions_part(const std::vector<RunHistory>& runs);

/// The page's style sheet, charts included.
[[nodiscard]] std::string page_css();

}  // namespace virgil

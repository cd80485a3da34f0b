#include "virgil/dist/agreement.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <vector>

#include "virgil/base/progress.h"

namespace virgil {

namespace {

/// An error without a message is an error too.
constexpr char kFailed = '!';
constexpr char kStopped = '.';

}  // namespace

void in_agreement(ProcessGroup& group, const std::function<void()>& work) {
  if (group.size() == 1) {
    work();
    return;
  }
  std::string problem;
  try {
    work();
  } catch (const UserError& error) {
    problem = kFailed + std::string(error.what());
  } catch (const Stopped&) {
    problem.assign(1, kStopped);
  }
  const std::vector<std::string> problems = group.all_gather_texts(problem);
  if (std::ranges::all_of(problems, &std::string::empty)) return;
  const auto is_stop = [](const std::string& text) { return text.starts_with(kStopped); };
  if (std::ranges::any_of(problems, is_stop)) throw Stopped();
  if (std::ranges::count(problems, problems.front()) == group.size()) throw AgreedError(problems.front().substr(1));
  std::string message;
  std::vector<std::string> told;
  for (int rank = 0; rank < group.size(); ++rank) {
    const std::string& text = problems[static_cast<std::size_t>(rank)];
    if (text.empty() || std::ranges::find(told, text) != told.end()) continue;
    const auto others = std::ranges::count(problems, text) - 1;
    const std::string also = others == 0 ? "" : fmt::format(" and {} more", others);
    message += fmt::format("{}{}{}: {}", message.empty() ? "" : "\n", group.name_of(rank), also, text.substr(1));
    told.push_back(text);
  }
  throw AgreedError(message);
}

void check_same_on_all(ProcessGroup& group, std::string_view what, std::string_view mine, std::string_view remedy) {
  if (group.size() == 1) return;
  const std::vector<std::string> texts = group.all_gather_texts(mine);
  const auto other = std::ranges::find_if(texts, [&](const std::string& text) { return text != texts.front(); });
  if (other == texts.end()) return;
  const auto rank = static_cast<int>(other - texts.begin());
  throw AgreedError(fmt::format("{} differs between ranks: {} has {}, {} has {}; {}", what, group.name_of(rank), *other,
                                group.name_of(0), texts.front(), remedy));
}

}  // namespace virgil

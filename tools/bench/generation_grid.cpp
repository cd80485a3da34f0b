#include "bench/generation_grid.h"

#include <algorithm>
#include <charconv>
#include <string>
#include <string_view>
#include <system_error>

#include "virgil/base/error.h"
#include "virgil/base/excerpt.h"
#include "virgil/base/format.h"
#include "virgil/base/shape.h"
#include "virgil/command/generate_command.h"

namespace virgil::bench {

namespace {

constexpr std::int64_t kDefaultRounds = 5;

void sort_and_deduplicate(std::vector<std::int64_t>& numbers) {
  std::ranges::sort(numbers);
  numbers.erase(std::unique(numbers.begin(), numbers.end()), numbers.end());
}

/// "64,256", each number from 1 to `most`; `why` says what `most` is.
std::vector<std::int64_t> parse_list(std::string_view flag, const std::string& text, std::int64_t most, std::string_view why) {
  std::vector<std::int64_t> numbers;
  const char* begin = text.data();
  const char* const end = begin + text.size();
  while (true) {
    std::int64_t number = 0;
    const auto [stop, error] = std::from_chars(begin, end, number);
    if (error == std::errc::invalid_argument || (stop != end && *stop != ',')) {
      throw user_error("--{} is {}, but takes whole numbers, separated by commas: --{} 1,4", flag, quoted_excerpt(text), flag);
    }
    if (error != std::errc() || number < 1 || number > most) {
      throw user_error("--{} has {}: choose 1 to {}, {}", flag, excerpt(std::string(begin, stop)), format_count(most), why);
    }
    numbers.push_back(number);
    if (stop == end) break;
    begin = stop + 1;
  }
  sort_and_deduplicate(numbers);
  return numbers;
}

}  // namespace

GenerationGrid choose_grid(const ToolArguments& arguments, std::int64_t block_size) {
  GenerationGrid grid;
  const auto contexts = arguments.value("contexts");
  grid.contexts = contexts ? parse_list("contexts", *contexts, block_size, "the model's block_size")
                           : std::vector{std::max<std::int64_t>(1, block_size / 8), ceil_div(block_size, 2), block_size};
  sort_and_deduplicate(grid.contexts);
  const auto batches = arguments.value("batches");
  grid.batches = batches ? parse_list("batches", *batches, kMaxSamples, "as many as generate takes at once")
                         : std::vector<std::int64_t>{1, 4, 16};
  grid.rounds = arguments.positive_integer("rounds").value_or(kDefaultRounds);
  return grid;
}

}  // namespace virgil::bench

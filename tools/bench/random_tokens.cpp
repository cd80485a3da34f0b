#include "bench/random_tokens.h"

#include "virgil/base/philox.h"

namespace virgil::bench {

std::vector<std::int32_t> random_tokens(std::int64_t count, std::int64_t vocab_size, std::uint32_t step) {
  const RandomStream stream{.seed = 1, .purpose = RandomPurpose::kBatch, .site = 0, .step = step};
  std::vector<std::int32_t> tokens;
  for (std::int64_t i = 0; i < count; ++i) {
    const auto index = static_cast<std::uint64_t>(i);
    tokens.push_back(static_cast<std::int32_t>(random_below(stream, index, static_cast<std::uint64_t>(vocab_size))));
  }
  return tokens;
}

}  // namespace virgil::bench

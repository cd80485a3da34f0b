// Tokens to compute with where nobody reads what comes out.
#pragma once

#include <cstdint>
#include <vector>

namespace virgil::bench {

/// `count` ids below `vocab_size`, the same for the same `step`.
[[nodiscard]] std::vector<std::int32_t> random_tokens(std::int64_t count, std::int64_t vocab_size, std::uint32_t step);

}  // namespace virgil::bench

#include "bench/random_values.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "virgil/base/philox.h"
#include "virgil/memory/buffer.h"

namespace virgil::bench {

void fill_with_normal_values(Backend& backend, TensorView dst, float deviation) {
  constexpr std::int64_t kMostElements = std::int64_t{1} << 20;
  const std::int64_t total = dst.num_elements(), count = std::min(total, kMostElements);
  const RandomStream stream{.seed = 1, .purpose = RandomPurpose::kInit};
  std::vector<float> values;
  values.reserve(static_cast<std::size_t>(count));
  for (std::int64_t i = 0; i < count; ++i) {
    values.push_back(deviation * random_normal(stream, static_cast<std::uint64_t>(i)));
  }
  const Buffer buffer(backend.memory(), count * size_of(DType::kFloat32), {MemoryCategory::kWorkspace, "random values"});
  const TensorView wide(buffer.data(), DType::kFloat32, {count});
  backend.copy_from_host(wide, std::as_bytes(std::span(values)));
  for (std::int64_t done = 0; done < total; done += count) {
    const Shape part{std::min(count, total - done)};
    backend.run(ops::Convert{dst.slice(done, part), wide.slice(0, part)});
  }
  backend.synchronize();
}

}  // namespace virgil::bench

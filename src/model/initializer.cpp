#include "virgil/model/initializer.h"

#include <span>
#include <vector>

#include "virgil/base/philox.h"
#include "virgil/model/float_copy.h"

namespace virgil {

void initialize_parameters(Backend& backend, const ParameterLayout& layout, const FlatTensor& weights, std::uint64_t seed) {
  backend.run(ops::SetZero{weights.view()});
  std::vector<float> values;
  std::uint32_t site = 0;
  for (const ParameterSpec& spec : layout.parameters()) {
    const RandomStream stream{seed, RandomPurpose::kInit, site++, 0};
    if (spec.init == InitKind::kZeros) continue;
    values.assign(static_cast<std::size_t>(spec.num_elements()), 0.0F);
    const std::int64_t filled = spec.stored_shape.num_elements();
#pragma omp parallel for schedule(static)
    for (std::int64_t i = 0; i < filled; ++i) {
      values[static_cast<std::size_t>(i)] =
          spec.init == InitKind::kOnes ? 1.0F : spec.init_std * random_normal(stream, static_cast<std::uint64_t>(i));
    }
    weights.for_each_piece(spec.offset, spec.num_elements(), [&](std::int64_t first, TensorView piece) {
      const std::span<const float> all(values);
      copy_floats_to_device(
          backend, piece,
          all.subspan(static_cast<std::size_t>(first - spec.offset), static_cast<std::size_t>(piece.num_elements())));
    });
  }
}

}  // namespace virgil

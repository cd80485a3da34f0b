#include "virgil/model/initializer.h"

#include <vector>

#include "virgil/base/philox.h"
#include "virgil/model/parameter_views.h"

namespace virgil {

void initialize_parameters(Backend& backend, const ParameterLayout& layout, TensorView weights, std::uint64_t seed) {
  backend.set_zero(weights);
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
    backend.copy_from_host(parameter_view(weights, spec), std::as_bytes(std::span(values)));
  }
}

}  // namespace virgil

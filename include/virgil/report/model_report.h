// What calc_params says of one model.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "virgil/plan/catalogue.h"
#include "virgil/report/subject.h"

namespace virgil {

/// Architecture, Parameter Breakdown, TOTAL PARAMETERS and the bytes of the weights.
[[nodiscard]] std::string describe_parameters(const Architecture& spec);
/// The plan of training by category, or why there is none.
[[nodiscard]] std::string describe_training(const Subject& subject, const PlannedSubject& planned);

/// The rate to tell times at.
struct Rate {
  double tflops = 0;
  std::string source;  // "as given", "40 % of an RTX 4090's 165.2"
};
/// A GPU's peak in dense products of that type, in TFLOP/s.
[[nodiscard]] double peak_tflops(const GpuModel& gpu, DType dtype);
/// 40 % of a GPU's peak in that type.
[[nodiscard]] Rate sustained_rate(const GpuModel& gpu, DType dtype);
/// Operations a token, tokens worth training on, and time.
[[nodiscard]] std::string describe_work(const Architecture& spec, const Rate& rate);

/// Every line of the count symbolic, then with numbers; the usual approximation and its error; what the context changes.
[[nodiscard]] std::string describe_formulas(const Subject& subject, const PlannedSubject& planned);
/// Each tensor with shape, count, share, decay and tie.
[[nodiscard]] std::string describe_tensors(const Architecture& spec);
/// Two models side by side with differences.
[[nodiscard]] std::string compare_models(const Subject& a, const PlannedSubject& plan_a, const Subject& b,
                                         const PlannedSubject& plan_b);

/// "0.57 GiB  0.61 GB", below a tenth of a GiB in MiB and MB.
[[nodiscard]] std::string both_units(std::int64_t bytes);
/// "152.69M", "6.74B".
[[nodiscard]] std::string short_count(std::int64_t count);
/// "0.987 GFLOP", "1.352 MFLOP".
[[nodiscard]] std::string short_flops(double flops);

}  // namespace virgil

// Numbers that know how far a float32 evaluation may be off: the source of every tolerance in these tests.
//
// A Tracked carries the value in float64 and a bound on the error of computing it in float32, by running error analysis
// (Higham: Accuracy and Stability of Numerical Algorithms, 2nd ed., sections 2.2 and 3.3): each operation hands on the errors
// of its operands and adds one rounding, u |result|. A sum of n terms adds gamma_n = n u / (1 - n u) times the sum of
// magnitudes, which holds for every order of summation, so also for vectors and threads. Fused multiply-add only rounds less.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "virgil/base/dtype.h"

namespace virgil::conformance {

inline constexpr double kUnitRoundoff = 0x1.0p-24;     // u of float32
inline constexpr double kBFloat16Roundoff = 0x1.0p-8;  // u of bfloat16, which has 8 bits of precision
inline constexpr double kFloat16Roundoff = 0x1.0p-11;  // u of float16
/// Half the distance of float16's subnormals, which begin below 2^-14.
inline constexpr double kFloat16SubnormalRoundoff = 0x1.0p-25;
/// Added to each comparison: results this small may be flushed to zero.
inline constexpr double kSmallestNormal = 0x1.0p-126;

/// Bound on the relative error of n roundings.
inline double gamma(double n) { return n * kUnitRoundoff / (1.0 - n * kUnitRoundoff); }

struct Tracked {
  double value = 0;
  double error = 0;  // bound on |float32 result - value|

  Tracked() = default;
  Tracked(double exact) : value(exact) {}  // NOLINT: numbers are exact operands
  Tracked(double value_in, double error_in) : value(value_in), error(error_in) {}

  /// The bound on the magnitude of the float32 result.
  [[nodiscard]] double magnitude() const { return std::abs(value) + error; }
};

/// `value` after an operation that leaves `inherited` error and rounds to within `ulps` units in the last place (0.5:
/// correctly).
inline Tracked rounded(double value, double inherited, double ulps = 0.5) {
  return {value, inherited + 2 * ulps * kUnitRoundoff * (std::abs(value) + inherited)};
}

inline Tracked operator+(Tracked a, Tracked b) { return rounded(a.value + b.value, a.error + b.error); }
inline Tracked operator-(Tracked a, Tracked b) { return rounded(a.value - b.value, a.error + b.error); }
inline Tracked operator-(Tracked a) { return {-a.value, a.error}; }
inline Tracked operator*(Tracked a, Tracked b) {
  return rounded(a.value * b.value, std::abs(a.value) * b.error + std::abs(b.value) * a.error + a.error * b.error);
}
inline Tracked operator/(Tracked a, Tracked b) {
  const double quotient = a.value / b.value;
  return rounded(quotient, (a.error + std::abs(quotient) * b.error) / (std::abs(b.value) - b.error));
}

/// `a` rounded to bfloat16, to nearest.
inline Tracked rounded_to_bfloat16(Tracked a) {
  return {a.value, a.error + kBFloat16Roundoff * a.magnitude() + kSmallestNormal};
}

/// `a` rounded to float16, to nearest; it does not overflow.
inline Tracked rounded_to_float16(Tracked a) {
  return {a.value, a.error + std::max(kFloat16Roundoff * a.magnitude(), kFloat16SubnormalRoundoff)};
}

/// `a` stored in a float type.
inline Tracked rounded_to(DType dtype, Tracked a) {
  return dtype == DType::kBFloat16 ? rounded_to_bfloat16(a) : dtype == DType::kFloat16 ? rounded_to_float16(a) : a;
}

/// |sqrt(x + e) - sqrt(x)| <= e / sqrt(x), and <= sqrt(e).
inline Tracked sqrt(Tracked a) {
  const double root = std::sqrt(a.value);
  return rounded(root, a.error == 0 ? 0 : std::min(a.error / root, std::sqrt(a.error)));
}

/// Vector and GPU libraries compute e^x and ln x to within 2 ulp.
inline constexpr double kLibraryUlps = 2;
inline Tracked exp(Tracked a) {
  const double value = std::exp(a.value);
  return rounded(value, value * std::expm1(a.error), kLibraryUlps);
}
inline Tracked log(Tracked a) { return rounded(std::log(a.value), a.error / (a.value - a.error), kLibraryUlps); }

/// The sum in float32, in any order.
inline Tracked sum(const std::vector<Tracked>& terms) {
  double value = 0, inherited = 0, magnitude = 0;
  for (const Tracked& term : terms) {
    value += term.value;
    inherited += term.error;
    magnitude += term.magnitude();
  }
  return {value, inherited + gamma(static_cast<double>(terms.size())) * magnitude};
}

}  // namespace virgil::conformance

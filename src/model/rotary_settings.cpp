#include "virgil/model/rotary_settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <numbers>
#include <string>
#include <string_view>
#include <utility>

#include "virgil/base/error.h"
#include "virgil/base/excerpt.h"

namespace virgil {

namespace {

using Kind = RotaryScalingKind;

constexpr std::array<std::pair<Kind, std::string_view>, 5> kKinds = {{{Kind::kNone, "none"},
                                                                      {Kind::kLinear, "linear"},
                                                                      {Kind::kDynamic, "dynamic"},
                                                                      {Kind::kYarn, "yarn"},
                                                                      {Kind::kLlama3, "llama3"}}};
constexpr double kLargestNumber = 1e9;

/// A number of a scaling, where it belongs, and what it must be at least.
struct ScalingNumber {
  std::string_view name;
  double RotaryScaling::*member;
  double least;
  Kind only = Kind::kNone;  // Kind::kNone: of all kinds
};
constexpr std::array kNumbers = {
    ScalingNumber{"factor", &RotaryScaling::factor, 1},
    ScalingNumber{"low", &RotaryScaling::low_frequency, 0, Kind::kLlama3},
    ScalingNumber{"high", &RotaryScaling::high_frequency, 0, Kind::kLlama3},
    ScalingNumber{"beta_fast", &RotaryScaling::beta_fast, 0, Kind::kYarn},
    ScalingNumber{"beta_slow", &RotaryScaling::beta_slow, 0, Kind::kYarn},
    ScalingNumber{"attention", &RotaryScaling::attention_factor, 0, Kind::kYarn},
};
constexpr std::string_view kOriginal = "original";
constexpr std::string_view kWholePairs = "whole_pairs";

std::string_view name_of(Kind kind) {
  return std::ranges::find(kKinds, kind, [](const auto& entry) { return entry.first; })->second;
}

[[noreturn]] void refuse(std::string_view text, const std::string& why) {
  throw user_error(
      "rope_scaling is {}: {}; write none, or a kind (linear, dynamic, yarn or llama3) and its numbers, such as "
      "yarn:factor=4,original=4096",
      quoted_excerpt(text), why);
}

double parse_number(std::string_view text, std::string_view name, std::string_view value) {
  double number = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (error != std::errc() || end != value.data() + value.size() || !std::isfinite(number)) {
    refuse(text, fmt::format("{} is not a number", quoted_excerpt(name)));
  }
  return number;
}

void set_number(RotaryScaling& scaling, std::string_view text, std::string_view name, double value) {
  if (!(value >= 0 && value <= kLargestNumber)) refuse(text, fmt::format("{} is out of range", quoted_excerpt(name)));
  if (name == kOriginal && has_original(scaling.kind)) {
    scaling.original = static_cast<std::int64_t>(value);
    if (static_cast<double>(scaling.original) != value || scaling.original == 0)
      refuse(text, "original is a number of positions");
    return;
  }
  if (name == kWholePairs && scaling.kind == Kind::kYarn && (value == 0 || value == 1)) {
    scaling.whole_pairs = value == 1;
    return;
  }
  const auto found = std::ranges::find(kNumbers, name, &ScalingNumber::name);
  if (found == kNumbers.end() || (found->only != Kind::kNone && found->only != scaling.kind)) {
    refuse(text, fmt::format("{} has no {}", name_of(scaling.kind), quoted_excerpt(name)));
  }
  if (value < found->least) refuse(text, fmt::format("{} is less than {}", name, found->least));
  scaling.*(found->member) = value;
}

void check_numbers(const RotaryScaling& scaling, std::string_view text) {
  if (scaling.kind == Kind::kLlama3 && !(scaling.low_frequency > 0 && scaling.high_frequency > scaling.low_frequency)) {
    refuse(text, "low must be above 0, and high above low");
  }
  if (scaling.kind == Kind::kYarn && !(scaling.beta_slow > 0 && scaling.beta_fast >= scaling.beta_slow)) {
    refuse(text, "beta_slow must be above 0, and beta_fast not below it");
  }
}

/// Of P pairs, that of `turns` turns within `length` positions: theta^(-pair / P) length = 2 pi turns.
double pair_of_turns(double turns, double length, double theta, int pairs) {
  return pairs * std::log(length / (turns * 2 * std::numbers::pi)) / std::log(theta);
}

/// The share of a pair's frequency that is kept, from 0 (divided) to 1.
double kept_by_yarn(const RotaryScaling& scaling, double theta, double length, int pairs, int pair) {
  double first = pair_of_turns(scaling.beta_fast, length, theta, pairs);
  double last = pair_of_turns(scaling.beta_slow, length, theta, pairs);
  if (scaling.whole_pairs) {
    first = std::floor(first);
    last = std::ceil(last);
  }
  first = std::max(first, 0.0);
  last = std::min(last, 2.0 * pairs - 1);
  if (first == last) last += 0.001;  // as transformers does it: no division by zero
  return 1 - std::clamp((pair - first) / (last - first), 0.0, 1.0);
}

double kept_by_llama3(const RotaryScaling& scaling, double frequency, double length) {
  const double waves = length * frequency / (2 * std::numbers::pi);  // within the original context
  return std::clamp((waves - scaling.low_frequency) / (scaling.high_frequency - scaling.low_frequency), 0.0, 1.0);
}

}  // namespace

std::string to_string(const RotaryScaling& scaling) {
  std::string text(name_of(scaling.kind));
  if (scaling.kind == Kind::kNone) return text;
  const RotaryScaling usual{.kind = scaling.kind};
  text += fmt::format(":factor={}", scaling.factor);
  if (scaling.original != 0) text += fmt::format(",{}={}", kOriginal, scaling.original);
  for (const ScalingNumber& number : kNumbers) {
    if (number.only != scaling.kind || scaling.*number.member == usual.*number.member) continue;
    text += fmt::format(",{}={}", number.name, scaling.*number.member);
  }
  if (scaling.whole_pairs != usual.whole_pairs) text += fmt::format(",{}={:d}", kWholePairs, scaling.whole_pairs);
  return text;
}

RotaryScaling parse_rotary_scaling(std::string_view text) {
  const std::size_t colon = std::min(text.find(':'), text.size());
  const auto kind = std::ranges::find(kKinds, text.substr(0, colon), [](const auto& entry) { return entry.second; });
  if (kind == kKinds.end()) refuse(text, "no such kind");
  RotaryScaling scaling{.kind = kind->first};
  std::string_view rest = text.substr(std::min(colon + 1, text.size()));
  if (scaling.kind == Kind::kNone && colon != text.size()) refuse(text, "none has no numbers");
  if (scaling.kind != Kind::kNone && rest.empty()) refuse(text, "its numbers are missing");
  while (!rest.empty()) {
    const std::size_t comma = std::min(rest.find(','), rest.size());
    const std::string_view entry = rest.substr(0, comma);
    const std::size_t equals = entry.find('=');
    if (equals == entry.npos) refuse(text, fmt::format("{} is not NAME=NUMBER", quoted_excerpt(entry)));
    set_number(scaling, text, entry.substr(0, equals), parse_number(text, entry.substr(0, equals), entry.substr(equals + 1)));
    rest.remove_prefix(std::min(comma + 1, rest.size()));
  }
  check_numbers(scaling, text);
  return scaling;
}

RotaryAngles rotary_angles(const RotarySettings& settings, std::int64_t head_size, std::int64_t block_size) {
  const RotaryScaling& scaling = settings.scaling;
  const std::int64_t size = settings.size == 0 ? head_size : settings.size;
  VIRGIL_CHECK(size >= 2 && size % 2 == 0 && size <= head_size && size <= 2 * kMaxRotaryPairs, "{} elements of {} turn", size,
               head_size);
  const int pairs = static_cast<int>(size / 2);
  const auto original = static_cast<double>(scaling.original == 0 ? block_size : scaling.original);
  const double theta = settings.theta;
  RotaryAngles angles{.pairs = pairs, .pairing = settings.pairing};
  if (scaling.kind == Kind::kYarn) {
    const double usual = scaling.factor <= 1 ? 1 : 0.1 * std::log(scaling.factor) + 1;
    angles.scale = static_cast<float>(scaling.attention_factor == 0 ? usual : scaling.attention_factor);
  }
  for (int pair = 0; pair < pairs; ++pair) {
    const double frequency = std::pow(theta, -static_cast<double>(pair) / pairs);
    double kept = 1;  // the rest is divided by the factor
    if (scaling.kind == Kind::kLinear) kept = 0;
    if (scaling.kind == Kind::kYarn) kept = kept_by_yarn(scaling, theta, original, pairs, pair);
    if (scaling.kind == Kind::kLlama3) kept = kept_by_llama3(scaling, frequency, original);
    angles.frequency[pair] = static_cast<float>(frequency * (kept + (1 - kept) / scaling.factor));
  }
  return angles;
}

}  // namespace virgil

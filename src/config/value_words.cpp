#include "virgil/config/value_words.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <iterator>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>

namespace virgil {
namespace {

struct Synonym {
  std::string_view word;
  std::string_view known;
};

constexpr Synonym kDtypes[] = {
    {"bf16", "bfloat16"},         {"bfloat", "bfloat16"},
    {"bf16-mixed", "bfloat16"},   {"bf16-true", "bfloat16"},
    {"fp16", "float16"},          {"f16", "float16"},
    {"half", "float16"},          {"16-mixed", "float16"},
    {"fp32", "float32"},          {"f32", "float32"},
    {"float", "float32"},         {"single", "float32"},
    {"32-true", "float32"},       {"torch.bfloat16", "bfloat16"},
    {"torch.float16", "float16"}, {"torch.float32", "float32"},
};

constexpr Synonym kSchedules[] = {
    {"warmup_stable_decay", "wsd"},
    {"cosine_with_min_lr", "cosine"},
    {"constant_with_warmup", "constant"},
};

constexpr Synonym kRecompute[] = {{"full", "block"}};

std::string lower_case(std::string_view text) {
  std::string lower(text);
  std::ranges::transform(lower, lower.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return lower;
}

bool is_dtype(const ConfigKey& key) { return key.name == "dtype" || key.name.ends_with("_dtype"); }

std::span<const Synonym> synonyms(const ConfigKey& key) {
  if (is_dtype(key)) return kDtypes;
  if (key.name == "lr_schedule") return kSchedules;
  if (key.name == "recompute") return kRecompute;
  return {};
}

std::string device_word(const std::string& lower) {
  constexpr std::string_view kGpu = "gpu";
  if (lower.starts_with(kGpu)) return "cuda" + lower.substr(kGpu.size());
  return lower;
}

/// The digits of a number such as 1e4, when it is whole and exact; nothing for other words.
std::optional<std::string> digits_of_power(std::string_view word, double factor) {
  constexpr double kMostExact = 9007199254740992;  // 2^53
  double number = 0;
  const char* end = word.data() + word.size();
  const auto [stop, error] = std::from_chars(word.data(), end, number);
  if (error != std::errc() || stop != end) return std::nullopt;
  number *= factor;
  const bool is_whole = std::isfinite(number) && number >= 0 && number <= kMostExact && number == std::floor(number);
  return is_whole ? std::optional(std::to_string(static_cast<std::int64_t>(number))) : std::nullopt;
}

}  // namespace

std::optional<bool> parse_switch(std::string_view word) {
  const std::string lower = lower_case(word);
  constexpr std::string_view kOn[] = {"true", "yes", "on", "1"};
  constexpr std::string_view kOff[] = {"false", "no", "off", "0"};
  if (std::ranges::find(kOn, lower) != std::end(kOn)) return true;
  if (std::ranges::find(kOff, lower) != std::end(kOff)) return false;
  return std::nullopt;
}

std::string plain_whole_number(std::string_view word) {
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  // Anything but a number that has an exponent, a unit or separators is left to the one who knows the range.
  if (word.empty() || !is_digit(word.front())) return std::string(word);
  const char last = word.back();
  if (last == 'k' || last == 'K') return digits_of_power(word.substr(0, word.size() - 1), 1e3).value_or(std::string(word));
  if (last == 'M') return digits_of_power(word.substr(0, word.size() - 1), 1e6).value_or(std::string(word));
  if (word.find_first_of("eE") != word.npos) return digits_of_power(word, 1).value_or(std::string(word));
  if (!is_digit(last) || word.find("__") != word.npos) return std::string(word);
  std::string digits(word);
  std::erase(digits, '_');
  return std::ranges::all_of(digits, is_digit) ? digits : std::string(word);
}

std::string known_word(const ConfigKey& key, std::string_view word) {
  const std::string lower = lower_case(word);
  if (key.name == "device") return device_word(lower);
  // Frameworks call recomputation gradient checkpointing, a switch: true means whole blocks.
  if (key.name == "recompute") {
    if (const auto on = parse_switch(word)) return *on ? "block" : "none";
  }
  const std::span<const Synonym> known = synonyms(key);
  const auto synonym = std::ranges::find(known, lower, &Synonym::word);
  if (synonym != known.end()) return std::string(synonym->known);
  const bool is_choice = std::ranges::find(key.choices, lower) != key.choices.end();
  return is_choice ? lower : std::string(word);
}

std::string why_not(const ConfigKey& key, std::string_view word) {
  const std::string lower = lower_case(word);
  if (is_dtype(key)) {
    if (lower.find("fp8") != lower.npos || lower.find("float8") != lower.npos || lower.starts_with("int") ||
        lower.starts_with("nf4") || lower.starts_with("fp4")) {
      return "Virgil trains in 16 and 32 bits; calc_params shows what a model takes in INT8 and INT4";
    }
    if (lower == "float64" || lower == "double" || lower == "fp64") return "float32 is the widest";
    if (lower == "16" || lower == "amp" || lower == "mixed") return "16 bits are bfloat16, or float16 on GPUs";
  }
  if (key.name == "device") {
    if (lower == "mps" || lower == "metal") return "Apple's GPUs are not supported; cpu works";
    if (lower == "xla" || lower == "tpu" || lower == "xpu" || lower == "rocm" || lower == "hip" || lower == "npu") {
      return "of GPUs, NVIDIA's are supported (cuda)";
    }
    if (!lower.empty() && std::ranges::all_of(lower, [](char c) { return c >= '0' && c <= '9'; })) {
      return "GPU " + lower + " is cuda:" + lower;
    }
  }
  if (key.name == "lr_schedule") {
    if (lower == "polynomial" || lower == "inverse_sqrt" || lower == "onecycle" || lower == "cosine_with_restarts") {
      return "cosine and linear fall after a linear warm-up, wsd at the end";
    }
    if (lower == "none") return "constant keeps the rate";
  }
  return {};
}

}  // namespace virgil

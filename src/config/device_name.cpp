#include "virgil/config/device_name.h"

#include <charconv>
#include <system_error>

namespace virgil {

std::optional<int> cuda_index(std::string_view device, int gpu) {
  constexpr std::string_view kPrefix = "cuda:";
  if (device == "cuda") return gpu;
  if (!device.starts_with(kPrefix)) return std::nullopt;
  int index = 0;
  const char* end = device.data() + device.size();
  const auto [stop, error] = std::from_chars(device.data() + kPrefix.size(), end, index);
  const bool is_index = error == std::errc() && stop == end && index >= 0;
  return is_index ? std::optional(index) : std::nullopt;
}

std::string check_device(std::string_view value) {
  if (value == "auto" || value == "cpu" || cuda_index(value, 0)) return {};
  return "is not a device; choose auto, cpu, cuda or cuda:N with N = 0, 1, ...";
}

}  // namespace virgil

#include "virgil/model/step_shape.h"

#include <string_view>

#include "virgil/base/error.h"

namespace virgil {

std::string_view name_of(Recompute recompute) {
  switch (recompute) {
    case Recompute::kNone:
      return "none";
    case Recompute::kGelu:
      return "gelu";
    case Recompute::kNorm:
      return "norm";
    case Recompute::kBlock:
      return "block";
  }
  return "unknown";
}

Recompute parse_recompute(std::string_view name) {
  for (const Recompute recompute : kAllRecompute) {
    if (name_of(recompute) == name) return recompute;
  }
  throw user_error("recompute is \"{}\": choose none, gelu, norm or block", name);
}

}  // namespace virgil

#include "virgil/ops/call.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include "ops/operand_bytes.h"

namespace virgil {

std::string_view name_of(const Call& call) {
  return std::visit([](const auto& op) { return op.kName; }, call);
}

std::string_view family_of(const Call& call) {
  return std::visit([](const auto& op) { return op.kFamily; }, call);
}

std::string sizes_text(const Call& call) {
  return std::visit(
      [&]<typename Op>(const Op& op) {
        if constexpr (requires { op.sizes_text(); }) {
          return op.sizes_text();
        } else {
          ConstTensorView largest;
          for_each_operand(call, [&](std::string_view, const ConstTensorView& view, ops::Access) {
            if (!largest.present() || view.num_elements() > largest.num_elements()) largest = view;
          });
          return largest.shape().to_string();
        }
      },
      call);
}

ops::Cost cost_of(const Call& call) {
  return std::visit(
      []<typename Op>(const Op& op) {
        if constexpr (requires { op.cost(); }) {
          return op.cost();
        } else {
          return ops::Cost{0, ops::operand_bytes(op)};
        }
      },
      call);
}

void check(const Call& call) {
  std::visit([](const auto& op) { static_cast<void>(op.check()); }, call);
}

}  // namespace virgil

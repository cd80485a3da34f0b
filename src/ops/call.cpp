#include "virgil/ops/call.h"

#include <fmt/format.h>

#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include "ops/operand_bytes.h"

namespace virgil {

namespace {

/// It works on some columns of a matrix, and its operands may have more.
template <typename Op>
concept OnColumns = requires(const Op& op) {
  { op.check() } -> std::same_as<MatrixColumns>;
};

/// "(384, 384) of 1152": rows and columns, and of how many where there are more.
std::string columns_text(const MatrixColumns& columns) {
  const std::string shape = Shape{columns.rows, columns.columns}.to_string();
  return columns.columns == columns.row_stride ? shape : fmt::format("{} of {}", shape, columns.row_stride);
}

}  // namespace

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
        } else if constexpr (OnColumns<Op>) {
          return columns_text(op.check());
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
        } else if constexpr (OnColumns<Op>) {
          return ops::Cost{0, ops::operand_bytes(op, op.check().num_elements())};
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

#include "backend/cpu/widened_matmul.h"

#include <cstddef>

#include "backend/cpu/convert.h"
#include "virgil/base/shape.h"

namespace virgil::cpu {

namespace {

constexpr std::int64_t kAlignment = 64;

std::int64_t padded_float_bytes(std::int64_t rows, std::int64_t columns) {
  return round_up(checked_multiply(checked_multiply(rows, columns), static_cast<std::int64_t>(sizeof(float))), kAlignment);
}

}  // namespace

WidenedMatmul::WidenedMatmul(const MatmulShape& shape)
    : shape_(shape),
      wide_(shape),
      a_bytes_(padded_float_bytes(shape.m, shape.k)),
      b_bytes_(padded_float_bytes(shape.k, shape.n)),
      bias_bytes_(shape.has_bias ? padded_float_bytes(1, shape.n) : 0),
      out_bytes_(shape.out_dtype == DType::kFloat32 ? 0 : padded_float_bytes(shape.m, shape.n)) {
  wide_.dtype = DType::kFloat32;
  wide_.out_dtype = DType::kFloat32;
}

std::int64_t WidenedMatmul::workspace_bytes(const OneDnnMatmul& matmul) const {
  return a_bytes_ + b_bytes_ + bias_bytes_ + out_bytes_ + matmul.workspace_bytes(wide_);
}

void WidenedMatmul::run(const OneDnnMatmul& matmul, const MatmulOperands& operands, const CpuContext& context) const {
  std::byte* free = context.workspace.data();
  const auto take = [&](std::int64_t bytes) {
    auto* taken = reinterpret_cast<float*>(free);
    free += bytes;
    return taken;
  };
  const auto widen = [&](const void* from, std::int64_t count, std::int64_t bytes) {
    float* to = take(bytes);
    convert(to, static_cast<const BFloat16*>(from), count, context);
    return to;
  };
  const float* a = widen(operands.a, shape_.m * shape_.k, a_bytes_);
  const float* b = widen(operands.b, shape_.k * shape_.n, b_bytes_);
  const float* bias = shape_.has_bias ? widen(operands.bias, shape_.n, bias_bytes_) : nullptr;
  const bool rounds = shape_.out_dtype != DType::kFloat32;
  float* out = rounds ? take(out_bytes_) : static_cast<float*>(operands.out);
  const std::int64_t num_results = shape_.m * shape_.n;
  if (rounds && shape_.options.accumulate) convert(out, static_cast<const BFloat16*>(operands.out), num_results, context);
  const auto used_bytes = static_cast<std::size_t>(free - context.workspace.data());
  matmul.run(out, a, b, bias, wide_, context.workspace.subspan(used_bytes));
  if (rounds) convert(static_cast<BFloat16*>(operands.out), out, num_results, context);
}

}  // namespace virgil::cpu

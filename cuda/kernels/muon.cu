// The passes of Muon around its products, an element a thread and step: rows may be columns of a wider matrix, which packs
// would not fit. Floors, in bytes an element: momentum 16 (grad 4, momentum 8, direction 4); the sum of two 16-bit matrices 6;
// apply 12 with a 16-bit direction and working copy; the neurons' squares one read of the direction. The products around them
// read and write some twenty times as much.
// Multiply-adds are spelled out: the bits must not depend on what else is stored, so the compiler may not choose them.
#include "cuda/kernels/muon.h"

#include <cmath>
#include <cstdint>
#include <stdexcept>
#include <type_traits>

#include "cuda/device/pack.h"
#include "cuda/device/reduce.h"

namespace virgil::cuda {

namespace {

constexpr int kThreads = 256;

/// In place of the type of a working copy that there is not.
struct NoRounded {};

/// The step's scalars, combined in double and rounded once.
struct MuonFactors {
  double grad_scale;
  double max_norm;
  float momentum;
  float one_minus_momentum;
  float decay;      // 1 - learning_rate * weight_decay
  float step_size;  // learning_rate * update_scale
};

MuonFactors muon_factors(const MuonStep& step) {
  const double learning_rate = step.learning_rate;
  return {.grad_scale = step.grad_scale,
          .max_norm = step.max_norm,
          .momentum = step.momentum,
          .one_minus_momentum = static_cast<float>(1.0 - static_cast<double>(step.momentum)),
          .decay = static_cast<float>(1.0 - learning_rate * static_cast<double>(step.weight_decay)),
          .step_size = static_cast<float>(learning_rate * static_cast<double>(step.update_scale))};
}

/// Where element `i` of the columns lies in the wider matrix.
__device__ __forceinline__ std::int64_t place_of(std::int64_t i, const MatrixColumns& sizes) {
  return i / sizes.columns * sizes.row_stride + i % sizes.columns;
}

__global__ __launch_bounds__(kThreads) void momentum_kernel(MuonMomentumTensors t, MatrixColumns sizes, MuonFactors f) {
  struct Shared {
    float grad_factor;
  };
  auto& shared = static_smem<Shared>();
  const float norm = *t.norm;
  // Division in double is slow on consumer GPUs: once a block.
  if (threadIdx.x == 0) {
    const auto wide_norm = static_cast<double>(norm);
    const double clip = f.max_norm > 0 && wide_norm > f.max_norm ? f.max_norm / wide_norm : 1.0;
    shared.grad_factor = static_cast<float>(f.grad_scale * clip);
  }
  __syncthreads();
  const bool is_finite = fabsf(norm) < INFINITY;
  const float grad_factor = shared.grad_factor;
  const std::int64_t count = sizes.rows * sizes.columns;
  for (std::int64_t i = std::int64_t{blockIdx.x} * kThreads + threadIdx.x; i < count; i += std::int64_t{gridDim.x} * kThreads) {
    if (!is_finite) {
      t.direction[i] = 0;
      continue;
    }
    const std::int64_t at = place_of(i, sizes);
    const float g = f.one_minus_momentum * (t.grad[at] * grad_factor);
    const float m = fmaf(f.momentum, t.momentum[at], g);
    t.momentum[at] = m;
    t.direction[i] = fmaf(f.momentum, m, g);
  }
}

template <typename Out, typename X>
__global__ __launch_bounds__(kThreads) void scaled_sum_kernel(Out* out, const X* x, const Out* y, const float* divisor,
                                                              std::int64_t count, float a, float b) {
  const float by = divisor == nullptr ? 1.0F : fmaxf(*divisor, ops::kLeastDivisor);
  for (std::int64_t i = std::int64_t{blockIdx.x} * kThreads + threadIdx.x; i < count; i += std::int64_t{gridDim.x} * kThreads) {
    float sum = a * to_float(x[i]);
    if (y != nullptr) sum = fmaf(b, to_float(y[i]), sum);
    out[i] = from_float<Out>(sum / by);
  }
}

constexpr int kStripWarps = 16;  // of a block that sums columns

/// sums (columns) = sums of squares over rows: a block takes 32 columns, its warps take turns at the rows, and their sums are
/// added in order.
template <typename T>
__global__ __launch_bounds__(kStripWarps* kWarpSize) void square_columns_kernel(float* sums, const T* inp,
                                                                                MatrixColumns sizes) {
  struct Shared {
    float sums[kStripWarps][kWarpSize];
  };
  auto& shared = static_smem<Shared>();
  const std::int64_t column = std::int64_t{blockIdx.x} * kWarpSize + lane_id();
  float sum = 0;
  if (column < sizes.columns) {
#pragma unroll 4
    for (std::int64_t row = warp_id(); row < sizes.rows; row += kStripWarps) {
      const float x = to_float(inp[row * sizes.row_stride + column]);
      sum = fmaf(x, x, sum);
    }
  }
  shared.sums[warp_id()][lane_id()] = sum;
  __syncthreads();
  if (warp_id() != 0 || column >= sizes.columns) return;
#pragma unroll
  for (int w = 1; w < kStripWarps; ++w) sum += shared.sums[w][lane_id()];
  sums[column] = sum;
}

/// sums (rows) = sums of squares over columns, a warp each.
template <typename T>
__global__ __launch_bounds__(kThreads) void square_rows_kernel(float* sums, const T* inp, MatrixColumns sizes) {
  const std::int64_t row = std::int64_t{blockIdx.x} * (kThreads / kWarpSize) + warp_id();
  if (row >= sizes.rows) return;
  float sum = 0;
#pragma unroll 4
  for (std::int64_t column = lane_id(); column < sizes.columns; column += kWarpSize) {
    const float x = to_float(inp[row * sizes.row_stride + column]);
    sum = fmaf(x, x, sum);
  }
  sum = warp_sum(sum);
  if (lane_id() == 0) sums[row] = sum;
}

constexpr int kFactorThreads = 1024;

/// Turns the sums of squares into factors. There are few neurons: one block does it.
__global__ __launch_bounds__(kFactorThreads) void neuron_factors_kernel(NeuronMomentsTensors t, std::int64_t neurons,
                                                                        std::int64_t inputs, float beta2, float rest) {
  auto& storage = static_smem<BlockReduceStorage<double, kFactorThreads>>();
  const bool is_finite = fabsf(*t.norm) < INFINITY;
  double scaled_squares = 0;  // of all elements, over the inputs
  for (std::int64_t j = threadIdx.x; is_finite && j < neurons; j += kFactorThreads) {
    const float mean = t.factors[j] / static_cast<float>(inputs);
    const float v = fmaf(beta2, t.v[j], rest * mean);
    const float factor = 1.0F / (sqrtf(v) + ops::kNeuronEps);
    t.v[j] = v;
    t.factors[j] = factor;
    scaled_squares += static_cast<double>(factor) * static_cast<double>(factor) * static_cast<double>(mean);
  }
  scaled_squares = block_sum(scaled_squares, storage);
  const double to_one = scaled_squares > 0 ? sqrt(static_cast<double>(neurons) / scaled_squares) : 0.0;
  for (std::int64_t j = threadIdx.x; j < neurons; j += kFactorThreads) {
    t.factors[j] = is_finite ? static_cast<float>(to_one * static_cast<double>(t.factors[j])) : 0.0F;
  }
}

/// One factor for each column, or each row, of the direction; absent: one.
struct NeuronFactors {
  const float* values;
  NeuronAxis axis;

  __device__ __forceinline__ float at(std::int64_t i, std::int64_t columns) const {
    if (values == nullptr) return 1.0F;
    return values[axis == NeuronAxis::kColumns ? i % columns : i / columns];
  }
};

template <typename Direction, typename Working>
__global__ __launch_bounds__(kThreads) void apply_kernel(float* param, Working* working, const Direction* direction,
                                                         NeuronFactors factors, const float* norm, MatrixColumns sizes,
                                                         MuonFactors f) {
  if (!(fabsf(*norm) < INFINITY)) return;
  const std::int64_t count = sizes.rows * sizes.columns;
  for (std::int64_t i = std::int64_t{blockIdx.x} * kThreads + threadIdx.x; i < count; i += std::int64_t{gridDim.x} * kThreads) {
    const std::int64_t at = place_of(i, sizes);
    const float turned = factors.at(i, sizes.columns) * to_float(direction[i]);
    const float updated = fmaf(param[at], f.decay, -(f.step_size * turned));
    param[at] = updated;
    if constexpr (!std::is_same_v<Working, NoRounded>) working[at] = from_float<Working>(updated);
  }
}

template <typename Direction, typename Working>
void launch_apply(const LaunchContext& context, const MuonApplyTensors& t, const MatrixColumns& sizes, const MuonStep& step) {
  launch(context, grid_stride_blocks(context, sizes.num_elements(), kThreads), kThreads, 0, apply_kernel<Direction, Working>,
         t.param, static_cast<Working*>(t.working), static_cast<const Direction*>(t.direction),
         NeuronFactors{t.factors, t.axis}, t.norm, sizes, muon_factors(step));
}

}  // namespace

void muon_momentum(const LaunchContext& context, const MuonMomentumTensors& tensors, const MatrixColumns& sizes,
                   const MuonStep& step) {
  if (sizes.num_elements() == 0) return;
  launch(context, grid_stride_blocks(context, sizes.num_elements(), kThreads), kThreads, 0, momentum_kernel, tensors, sizes,
         muon_factors(step));
}

void scaled_sum(const LaunchContext& context, const ScaledSumTensors& tensors, std::int64_t count, float a, float b) {
  if (count == 0) return;
  const unsigned blocks = grid_stride_blocks(context, count, kThreads);
  with_device_type(tensors.dtype, [&](auto type) {
    using Out = decltype(type);
    const auto add = [&]<typename X>(const X* x) {
      launch(context, blocks, kThreads, 0, scaled_sum_kernel<Out, X>, static_cast<Out*>(tensors.out), x,
             static_cast<const Out*>(tensors.y), tensors.divisor, count, a, b);
    };
    if (tensors.x_dtype == DType::kFloat32) {
      add(static_cast<const float*>(tensors.x));
    } else {
      add(static_cast<const Out*>(tensors.x));
    }
  });
}

void neuron_moments(const LaunchContext& context, const NeuronMomentsTensors& tensors, const MatrixColumns& sizes,
                    const MuonStep& step) {
  const bool by_column = tensors.axis == NeuronAxis::kColumns;
  const std::int64_t neurons = by_column ? sizes.columns : sizes.rows;
  if (sizes.num_elements() == 0) return;
  with_device_type(tensors.direction_dtype, [&](auto type) {
    using T = decltype(type);
    const auto* direction = static_cast<const T*>(tensors.direction);
    if (by_column) {
      launch(context, blocks_for(neurons, kWarpSize), kStripWarps * kWarpSize, 0, square_columns_kernel<T>, tensors.factors,
             direction, sizes);
    } else {
      launch(context, blocks_for(neurons, kThreads / kWarpSize), kThreads, 0, square_rows_kernel<T>, tensors.factors, direction,
             sizes);
    }
  });
  const auto rest = static_cast<float>(1.0 - static_cast<double>(step.beta2));
  launch(context, 1, kFactorThreads, 0, neuron_factors_kernel, tensors, neurons, sizes.num_elements() / neurons, step.beta2,
         rest);
}

void muon_apply(const LaunchContext& context, const MuonApplyTensors& tensors, const MatrixColumns& sizes,
                const MuonStep& step) {
  if (sizes.num_elements() == 0) return;
  with_device_type(tensors.direction_dtype, [&](auto type) {
    using Direction = decltype(type);
    if (tensors.working == nullptr) {
      launch_apply<Direction, NoRounded>(context, tensors, sizes, step);
    } else if (tensors.working_dtype == DType::kBFloat16) {
      launch_apply<Direction, __nv_bfloat16>(context, tensors, sizes, step);
    } else if (tensors.working_dtype == DType::kFloat16) {
      launch_apply<Direction, __half>(context, tensors, sizes, step);
    } else {
      throw std::logic_error("muon: a working copy is bfloat16 or float16");
    }
  });
}

}  // namespace virgil::cuda

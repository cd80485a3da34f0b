// Rotary positions, forward and back.
//
// A thread has the same elements of several heads of a row: their angles are the same, so that sines and cosines are computed
// once for kHeadsPerThread heads. A unit is two packs of a head: those of Width pairs, or two that are copied.
//
// Floor, in bytes an element of n bytes: 2n.
#include "cuda/kernels/rotary.h"

#include <algorithm>
#include <cstdint>

#include "cuda/device/pack.h"

namespace virgil::cuda {

namespace {

constexpr int kThreads = 256;
constexpr int kHeadsPerThread = 4;

template <typename T>
struct Operands {
  T* out;
  const T* inp;
  std::int64_t rows;
  std::int64_t length;
  std::int64_t first_position;
  int turned_heads;
  int heads;    // of a row
  int visited;  // of them: in place, what does not turn is where it belongs
  int head_size;
  int head_groups;  // of kHeadsPerThread heads, the last one of fewer
  int pair_units;   // of a head: units of pairs come first
  int units;
  float direction;
  RotaryAngles angles;
};

struct SineCosine {
  float sine;
  float cosine;
};

/// To within 2 ulp of 1, for |x| up to 6 million.
///
/// r = x - n pi / 2 with n = round(2 x / pi), pi / 2 in three parts (Cody, Waite 1980): the first product and difference are
/// exact. Polynomials of least error on |r| <= pi / 4 (Moshier, Cephes). sincosf would keep a table in local memory for large
/// x.
__device__ __forceinline__ SineCosine sine_cosine(float x) {
  const float n = rintf(x * 0.636619772F);
  float r = fmaf(-n, 1.57079637F, x);
  r = fmaf(-n, -4.37113883e-8F, r);
  r = fmaf(-n, -1.71512451e-15F, r);
  const float r2 = r * r;
  float s = fmaf(r2, -1.9515295891e-4F, 8.3321608736e-3F);
  s = fmaf(s, r2, -1.6666654611e-1F);
  s = fmaf(s * r2, r, r);
  float c = fmaf(r2, 2.443315711809948e-5F, -1.388731625493765e-3F);
  c = fmaf(c, r2, 4.166664568298827e-2F);
  c = fmaf(c, r2 * r2, fmaf(r2, -0.5F, 1.0F));
  const int quadrant = static_cast<int>(n);
  const float sine = (quadrant & 1) != 0 ? c : s;
  const float cosine = (quadrant & 1) != 0 ? s : c;
  return {(quadrant & 2) != 0 ? -sine : sine, ((quadrant + 1) & 2) != 0 ? -cosine : cosine};
}

/// Of a head, where the two packs of a unit begin.
struct UnitPlaces {
  int first;
  int second;
};

template <RotaryPairing Pairing, int Width, typename T>
__device__ __forceinline__ UnitPlaces places_of(const Operands<T>& op, int unit) {
  if (unit >= op.pair_units) {  // copied
    const int first = 2 * op.angles.pairs + (unit - op.pair_units) * 2 * Width;
    return {first, first + Width};
  }
  if constexpr (Pairing == RotaryPairing::kHalves) return {unit * Width, op.angles.pairs + unit * Width};
  return {unit * 2 * Width, unit * 2 * Width + Width};
}

/// Turns the Width pairs that lie in the packs a and b.
template <RotaryPairing Pairing, typename T, int Width>
__device__ __forceinline__ void turn(Pack<T, Width>& a, Pack<T, Width>& b, const SineCosine (&by)[Width]) {
#pragma unroll
  for (int j = 0; j < Width; ++j) {
    constexpr bool kHalves = Pairing == RotaryPairing::kHalves;
    T& x = kHalves ? a[j] : 2 * j < Width ? a[2 * j % Width] : b[2 * j % Width];
    T& y = kHalves || Width == 1 ? b[j] : 2 * j < Width ? a[(2 * j + 1) % Width] : b[(2 * j + 1) % Width];
    const float x_before = to_float(x), y_before = to_float(y);
    x = from_float<T>(fmaf(-y_before, by[j].sine, x_before * by[j].cosine));
    y = from_float<T>(fmaf(x_before, by[j].sine, y_before * by[j].cosine));
  }
}

template <RotaryPairing Pairing, typename T, int Width>
__global__ __launch_bounds__(kThreads) void rotary_kernel(Operands<T> op) {
  const std::int64_t thread = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  const int unit = static_cast<int>(thread % op.units);
  const std::int64_t group = thread / op.units;
  const std::int64_t row = group / op.head_groups;
  if (row >= op.rows) return;
  const int first_head = static_cast<int>(group % op.head_groups) * kHeadsPerThread;
  const bool turns = unit < op.pair_units;

  SineCosine by[Width];
  if (turns) {
    const auto position = static_cast<float>(op.first_position + row % op.length);
#pragma unroll
    for (int j = 0; j < Width; ++j) {
      const SineCosine found = sine_cosine(__fmul_rn(position, op.angles.frequency[unit * Width + j]));
      by[j] = {found.sine * (op.angles.scale * op.direction), found.cosine * op.angles.scale};
    }
  }
  const UnitPlaces places = places_of<Pairing, Width>(op, unit);
#pragma unroll
  for (int k = 0; k < kHeadsPerThread; ++k) {
    const int head = first_head + k;
    if (head >= op.visited) return;
    const std::int64_t at = (row * op.heads + head) * op.head_size;
    Pack<T, Width> a = load_pack_streaming<T, Width>(op.inp + at + places.first);
    Pack<T, Width> b = load_pack_streaming<T, Width>(op.inp + at + places.second);
    if (turns && head < op.turned_heads) turn<Pairing>(a, b, by);
    store_pack(op.out + at + places.first, a);
    store_pack(op.out + at + places.second, b);
  }
}

template <RotaryPairing Pairing, typename T, int Width>
void launch_rotary(const LaunchContext& context, Operands<T> op) {
  op.pair_units = op.angles.pairs / Width;
  op.units = op.head_size / (2 * Width);
  const std::int64_t threads = op.rows * op.head_groups * op.units;
  launch(context, blocks_for(threads, kThreads), kThreads, 0, rotary_kernel<Pairing, T, Width>, op);
}

/// Packs need whole units of pairs; one by one the head's size has to be even, as attention's is.
template <RotaryPairing Pairing, typename T>
void launch_rotary(const LaunchContext& context, const Operands<T>& op) {
  constexpr int kSize = Pack<T>::kSize;
  const bool whole_units = op.angles.pairs % kSize == 0 && op.head_size % (2 * kSize) == 0;
  if (whole_units && packs_fit<T>(op.head_size, op.out, op.inp)) {
    launch_rotary<Pairing, T, kSize>(context, op);
  } else {
    launch_rotary<Pairing, T, 1>(context, op);
  }
}

}  // namespace

void rotary(const LaunchContext& context, DType dtype, const RotaryOperands& operands, const RotaryAngles& angles) {
  if (operands.rows == 0) return;
  with_device_type(dtype, [&](auto element) {
    using T = decltype(element);
    const std::int64_t visited = operands.out == operands.inp ? operands.turned_heads : operands.heads;
    const Operands<T> op{.out = static_cast<T*>(operands.out),
                         .inp = static_cast<const T*>(operands.inp),
                         .rows = operands.rows,
                         .length = operands.length,
                         .first_position = operands.first_position,
                         .turned_heads = static_cast<int>(operands.turned_heads),
                         .heads = static_cast<int>(operands.heads),
                         .visited = static_cast<int>(visited),
                         .head_size = static_cast<int>(operands.head_size),
                         .head_groups = static_cast<int>((visited + kHeadsPerThread - 1) / kHeadsPerThread),
                         .pair_units = 0,
                         .units = 0,
                         .direction = operands.back ? -1.0F : 1.0F,
                         .angles = angles};
    if (angles.pairing == RotaryPairing::kHalves) {
      launch_rotary<RotaryPairing::kHalves>(context, op);
    } else {
      launch_rotary<RotaryPairing::kNeighbours>(context, op);
    }
  });
}

}  // namespace virgil::cuda

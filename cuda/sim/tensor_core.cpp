#include "cuda/sim/tensor_core.h"

#include <cstring>

#include "virgil/base/bfloat16.h"

namespace virgil::simt {

namespace {

constexpr std::uint32_t kAllLanes = 0xFFFFFFFFU;
constexpr int kNumTiles = 4;
constexpr int kTileRows = 8;
constexpr int kRowBytes = 16;

struct MatrixLane {
  void* row = nullptr;
  std::uint32_t* words = nullptr;
};

MatrixLane& matrix_lane(void* data) { return *static_cast<MatrixLane*>(data); }

void check_row(const void* row, int lane) {
  if (reinterpret_cast<std::uintptr_t>(row) % kRowBytes != 0) fail("ldmatrix: the row of lane %d is not 16-byte aligned", lane);
  if (!is_shared(row, kRowBytes)) fail("ldmatrix: the row of lane %d is not in shared memory", lane);
}

template <bool Transpose>
void load_tiles(void* const* lanes, std::uint32_t /*mask*/) {
  for (int tile = 0; tile < kNumTiles; ++tile) {
    std::uint16_t elements[kTileRows][kTileRows];
    for (int r = 0; r < kTileRows; ++r) {
      const int lane = tile * kTileRows + r;
      const void* row = matrix_lane(lanes[lane]).row;
      check_row(row, lane);
      note(row, kRowBytes, Access::kRead, lane);
      std::memcpy(elements[r], row, kRowBytes);
    }
    for (int lane = 0; lane < kWarpSize; ++lane) {
      const int r = lane / 4, c = 2 * (lane % 4);
      const std::uint16_t low = Transpose ? elements[c][r] : elements[r][c];
      const std::uint16_t high = Transpose ? elements[c + 1][r] : elements[r][c + 1];
      matrix_lane(lanes[lane]).words[tile] = pair_bits(low, high);
    }
  }
}

struct MmaLane {
  float* d = nullptr;
  const std::uint32_t* a = nullptr;
  std::uint32_t b[2] = {};
};

template <typename T>
float operand(std::uint32_t word, int half) {
  T value;
  value.bits = static_cast<std::uint16_t>(word >> (16 * half));
  return static_cast<float>(value);
}

/// d (16, 8) += a (16, 16) * b (16, 8), rows and columns spread over the lanes as PTX says.
void multiply(void* const* lanes, const float (&a)[16][16], const float (&b)[16][8]) {
  for (int lane = 0; lane < kWarpSize; ++lane) {
    float* d = static_cast<MmaLane*>(lanes[lane])->d;
    for (int i = 0; i < 4; ++i) {
      const int m = lane / 4 + 8 * (i / 2), n = 2 * (lane % 4) + i % 2;
      float sum = 0;
      for (int k = 0; k < 16; ++k) sum += a[m][k] * b[k][n];
      d[i] += sum;
    }
  }
}

template <typename T>
void perform_mma_16816(void* const* lanes, std::uint32_t /*mask*/) {
  float a[16][16], b[16][8];
  for (int lane = 0; lane < kWarpSize; ++lane) {
    const auto& operands = *static_cast<const MmaLane*>(lanes[lane]);
    const int g = lane / 4, q = lane % 4;
    for (int half = 0; half < 2; ++half) {
      for (int i = 0; i < 4; ++i) a[g + 8 * (i % 2)][2 * q + half + 8 * (i / 2)] = operand<T>(operands.a[i], half);
      for (int i = 0; i < 2; ++i) b[2 * q + half + 8 * i][g] = operand<T>(operands.b[i], half);
    }
  }
  multiply(lanes, a, b);
}

}  // namespace

void ldmatrix(std::uint32_t* out, bool transpose, const void* row, Site site) {
  MatrixLane lane{const_cast<void*>(row), out};
  collective(kAllLanes, &lane, transpose ? load_tiles<true> : load_tiles<false>,
             transpose ? "ldmatrix.x4.trans" : "ldmatrix.x4", site);
}

void mma_16816(float* d, const std::uint32_t* a, std::uint32_t b0, std::uint32_t b1, OperandType type, Site site) {
  MmaLane lane{d, a, {b0, b1}};
  if (type == OperandType::kBFloat16) {
    collective(kAllLanes, &lane, perform_mma_16816<BFloat16>, "mma.m16n8k16.bf16", site);
  } else {
    collective(kAllLanes, &lane, perform_mma_16816<Float16>, "mma.m16n8k16.f16", site);
  }
}

}  // namespace virgil::simt

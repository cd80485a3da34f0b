#include "virgil/base/storage_type.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>

#include "virgil/base/error.h"

namespace virgil {
namespace {

// Sizes of llama.cpp's ggml-common.h: block_q8_0 has 32 values in 34 bytes, block_q4_K 256 in 144. Their unit is two bytes
// wide here only because both are multiples of two.
constexpr StorageType kQ8{"Q8_0", DType::kFloat16, 32, 17};
constexpr StorageType kQ4K{"Q4_K", DType::kFloat16, 256, 72};
constexpr StorageType kScales{"scales", DType::kFloat32, 64, 1};

TEST(StorageType, ADtypeIsOneNumberAValue) {
  constexpr StorageType kFloats = DType::kFloat32;
  constexpr StorageType kHalves = DType::kBFloat16;
  EXPECT_TRUE(kFloats.is_plain());
  EXPECT_EQ(kFloats.bytes_for(7), 28);
  EXPECT_EQ(kHalves.bytes_for(7), 14);
  EXPECT_EQ(kHalves.units_for(7), 7);
  EXPECT_EQ(name_of(kHalves), "bfloat16");
  EXPECT_EQ(kFloats, StorageType());
  EXPECT_NE(kFloats, kHalves);
}

TEST(StorageType, BlocksCountWhole) {
  EXPECT_EQ(kQ8.block_bytes(), 34);
  EXPECT_EQ(kQ4K.block_bytes(), 144);
  EXPECT_EQ(kQ8.bytes_for(0), 0);
  EXPECT_EQ(kQ8.bytes_for(1), 34);
  EXPECT_EQ(kQ8.bytes_for(32), 34);
  EXPECT_EQ(kQ8.bytes_for(33), 68);
  EXPECT_EQ(kQ4K.bytes_for(512), 288);
  EXPECT_EQ(name_of(kQ8), "Q8_0");
}

TEST(StorageType, ABlockMayBeLessThanANumberAValue) {
  EXPECT_EQ(kScales.bytes_for(128), 8);
  EXPECT_EQ(kScales.bytes_for(129), 12);
  EXPECT_FALSE(kScales.is_plain());
}

TEST(StorageType, RefusesWhatOverflows) {
  constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
  EXPECT_THROW((void)StorageType(DType::kFloat32).bytes_for(kMost / 4 + 1), UserError);
  EXPECT_EQ(StorageType(DType::kFloat32).bytes_for(kMost / 4), kMost / 4 * 4);
  EXPECT_THROW((void)kQ8.bytes_for(kMost), UserError);
  EXPECT_EQ(kQ4K.units_for(kMost / 256 * 256), kMost / 256 * 72);
  EXPECT_THROW((void)kQ8.units_for(-1), InternalError);
}

}  // namespace
}  // namespace virgil

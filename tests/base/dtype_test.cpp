#include "virgil/base/dtype.h"

#include <gtest/gtest.h>

namespace virgil {
namespace {

TEST(DType, SizesAreThoseOfTheElementTypes) {
  EXPECT_EQ(size_of(DType::kFloat32), static_cast<std::int64_t>(sizeof(float)));
  EXPECT_EQ(size_of(DType::kBFloat16), static_cast<std::int64_t>(sizeof(BFloat16)));
  EXPECT_EQ(size_of(DType::kFloat16), static_cast<std::int64_t>(sizeof(Float16)));
  EXPECT_EQ(size_of(DType::kInt32), static_cast<std::int64_t>(sizeof(std::int32_t)));
}

TEST(DType, NamesAreThoseOfTheConfig) {
  EXPECT_EQ(name_of(DType::kFloat32), "float32");
  EXPECT_EQ(name_of(DType::kBFloat16), "bfloat16");
  EXPECT_EQ(name_of(DType::kFloat16), "float16");
  EXPECT_EQ(name_of(DType::kInt32), "int32");
}

TEST(DType, IsKnownForEveryElementType) {
  EXPECT_EQ(DTypeOf<float>::value, DType::kFloat32);
  EXPECT_EQ(DTypeOf<BFloat16>::value, DType::kBFloat16);
  EXPECT_EQ(DTypeOf<Float16>::value, DType::kFloat16);
  EXPECT_EQ(DTypeOf<std::int32_t>::value, DType::kInt32);
}

}  // namespace
}  // namespace virgil

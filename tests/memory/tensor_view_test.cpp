#include "virgil/memory/tensor_view.h"

#include <gtest/gtest.h>

#include <array>
#include <limits>
#include <type_traits>

namespace virgil {
namespace {

class View : public testing::Test {
 protected:
  std::array<float, 24> values_{};
  TensorView view_{values_.data(), DType::kFloat32, {2, 3, 4}};
};

TEST_F(View, IsAbsentByDefault) {
  EXPECT_FALSE(TensorView{}.present());
  EXPECT_TRUE(view_.present());
}

TEST_F(View, CountsElementsAndBytes) {
  EXPECT_EQ(view_.num_elements(), 24);
  EXPECT_EQ(view_.size_bytes(), 96);
  EXPECT_EQ(TensorView(values_.data(), DType::kBFloat16, {48}).size_bytes(), 96);
}

TEST_F(View, ReadsOnlyAsItsOwnType) {
  EXPECT_EQ(view_.as<float>(), values_.data());
  EXPECT_THROW((void)view_.as<std::int32_t>(), InternalError);
  EXPECT_THROW((void)view_.as<BFloat16>(), InternalError);
}

TEST_F(View, KeepsConstnessInTheType) {
  const ConstTensorView constant = view_;
  EXPECT_TRUE((std::is_same_v<decltype(constant.as<float>()), const float*>));
  EXPECT_TRUE((std::is_same_v<decltype(view_.as<float>()), float*>));
  EXPECT_FALSE((std::is_constructible_v<TensorView, ConstTensorView>));
  EXPECT_EQ(constant.shape(), view_.shape());
}

TEST_F(View, ReshapesToAsManyElements) {
  const TensorView flat = view_.reshape({6, 4});
  EXPECT_EQ(flat.data(), view_.data());
  EXPECT_EQ(flat.shape(), (Shape{6, 4}));
  EXPECT_THROW((void)view_.reshape({5, 5}), InternalError);
}

TEST_F(View, SlicesTheFlattenedTensor) {
  const TensorView slice = view_.slice(8, {4, 4});
  EXPECT_EQ(slice.as<float>(), values_.data() + 8);
  EXPECT_EQ(slice.shape(), (Shape{4, 4}));
  EXPECT_NO_THROW((void)view_.slice(24, {0}));
}

TEST_F(View, RefusesSlicesBeyondItsEnds) {
  EXPECT_THROW((void)view_.slice(9, {4, 4}), InternalError);
  EXPECT_THROW((void)view_.slice(-1, {1}), InternalError);
  EXPECT_THROW((void)view_.slice(25, {0}), InternalError);
}

}  // namespace
}  // namespace virgil

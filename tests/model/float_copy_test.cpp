#include "virgil/model/float_copy.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <memory>
#include <vector>

#include "virgil/base/bfloat16.h"
#include "virgil/base/error.h"
#include "virgil/memory/buffer.h"

namespace virgil {
namespace {

class FloatCopy : public testing::Test {
 protected:
  static constexpr std::int64_t kCount = (std::int64_t{1} << 18) + 5;  // more than is converted at a time

  FloatCopy() : backend_(make_cpu_backend({.num_threads = 1})), buffer_(backend_->memory(), kCount * 4, {}) {
    for (std::int64_t i = 0; i < kCount; ++i) values_.push_back(std::sin(static_cast<float>(i)));
  }
  [[nodiscard]] TensorView tensor(DType dtype, std::int64_t count = kCount) { return {buffer_.data(), dtype, {count}}; }
  [[nodiscard]] std::vector<float> there_and_back(DType dtype) {
    copy_floats_to_device(*backend_, tensor(dtype), values_);
    std::vector<float> result(values_.size());
    copy_floats_to_host(*backend_, result, tensor(dtype));
    return result;
  }

  std::unique_ptr<Backend> backend_;
  Buffer buffer_;
  std::vector<float> values_;
};

TEST_F(FloatCopy, KeepsFloat32) { EXPECT_EQ(there_and_back(DType::kFloat32), values_); }

TEST_F(FloatCopy, RoundsTo16BitsToNearest) {
  std::vector<float> bfloat16 = values_;
  for (float& value : bfloat16) value = static_cast<float>(BFloat16(value));
  EXPECT_EQ(there_and_back(DType::kBFloat16), bfloat16);
  std::vector<float> float16 = values_;
  for (float& value : float16) value = static_cast<float>(Float16(value));
  EXPECT_EQ(there_and_back(DType::kFloat16), float16);
}

TEST_F(FloatCopy, RefusesAnotherNumberOfElements) {
  EXPECT_THROW(copy_floats_to_device(*backend_, tensor(DType::kBFloat16, 3), values_), InternalError);
  EXPECT_THROW(copy_floats_to_host(*backend_, values_, tensor(DType::kBFloat16, 3)), InternalError);
}

}  // namespace
}  // namespace virgil

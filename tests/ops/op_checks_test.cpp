#include "virgil/ops/expectations.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <functional>
#include <string>

#include "virgil/base/error.h"
#include "virgil/ops/call.h"

namespace virgil {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

/// Checks never look at elements: all views share one.
class OpChecks : public ::testing::Test {
 protected:
  [[nodiscard]] TensorView view(const Shape& shape, DType dtype = DType::kFloat32) { return {storage_.data(), dtype, shape}; }
  static std::string message_of(const std::function<void()>& check) {
    try {
      check();
    } catch (const InternalError& error) {
      return error.what();
    }
    return "nothing thrown";
  }

 private:
  std::array<float, 1> storage_{};
};

TEST_F(OpChecks, ExpectNamesOpOperandAndBothShapes) {
  EXPECT_THAT(message_of([&] { ops::expect("norm_forward", "weight", view({7}), {8}, DType::kFloat32); }),
              AllOf(HasSubstr("norm_forward"), HasSubstr("weight"), HasSubstr("(7)"), HasSubstr("(8)")));
  EXPECT_THAT(message_of([&] { ops::expect("op", "x", view({8}, DType::kInt32), {8}, DType::kFloat32); }),
              AllOf(HasSubstr("int32"), HasSubstr("float32")));
  EXPECT_THAT(message_of([&] { ops::expect("op", "x", {}, {8}, DType::kFloat32); }), HasSubstr("x is absent"));
}

TEST_F(OpChecks, ExpectOptionalAcceptsAnAbsentOperand) {
  EXPECT_NO_THROW(ops::expect_optional("op", "bias", {}, {8}, DType::kFloat32));
  EXPECT_THROW(ops::expect_optional("op", "bias", view({7}), {8}, DType::kFloat32), InternalError);
}

TEST_F(OpChecks, ExpectSupportedNamesWhatIs) {
  EXPECT_THAT(message_of([] { ops::expect_supported("op", DType::kBFloat16, {DType::kFloat32}); }),
              AllOf(HasSubstr("float32"), HasSubstr("bfloat16")));
}

TEST_F(OpChecks, RefusesDropoutOutsideItsRange) {
  const auto check = [&](float p) {
    (void)ops::DropoutBackward{view({1, 2, 8}), view({1, 2, 8}), {.p = p, .stream = {}, .first_sequence = 0}}.check();
  };
  EXPECT_NO_THROW(check(0.1F));
  for (const float p : {-0.1F, 0.0F, 1.0F}) EXPECT_THROW(check(p), InternalError) << p;
}

TEST_F(OpChecks, MatmulFindsItsSizes) {
  // (2, 3) rows of 4 inputs, 5 outputs.
  const auto forward = ops::Matmul{view({2, 3, 5}), view({2, 3, 4}), view({4, 5}), view({5}), {}}.check();
  EXPECT_EQ(forward, (MatmulShape{6, 5, 4, DType::kFloat32, DType::kFloat32, true, {}}));
  const MatmulOptions dinp_options{.transpose_b = true};
  const auto dinp = ops::Matmul{view({2, 3, 4}), view({2, 3, 5}), view({4, 5}), {}, dinp_options}.check();
  EXPECT_EQ(dinp, (MatmulShape{6, 4, 5, DType::kFloat32, DType::kFloat32, false, dinp_options}));
  const MatmulOptions dweight_options{.transpose_a = true, .accumulate = true};
  const auto dweight = ops::Matmul{view({4, 5}), view({2, 3, 4}), view({2, 3, 5}), {}, dweight_options}.check();
  EXPECT_EQ(dweight, (MatmulShape{4, 5, 6, DType::kFloat32, DType::kFloat32, false, dweight_options}));
  const auto half =
      ops::Matmul{view({4, 5}), view({2, 3, 4}, DType::kBFloat16), view({2, 3, 5}, DType::kBFloat16), {}, dweight_options}
          .check();
  EXPECT_EQ(half, (MatmulShape{4, 5, 6, DType::kBFloat16, DType::kFloat32, false, dweight_options}));
}

TEST_F(OpChecks, MatmulRefusesWhatDoesNotAgree) {
  const auto check = [](const TensorView& out, const TensorView& a, const TensorView& b, const TensorView& bias,
                        const MatmulOptions& options) {
    (void)ops::Matmul{out, a, b, bias, options}.check();
  };
  EXPECT_THROW(check(view({6, 5}), view({6, 4}), view({3, 5}), {}, {}), InternalError);
  EXPECT_THROW(check(view({6, 4}), view({6, 4}), view({4, 5}), {}, {}), InternalError);
  EXPECT_THROW(check(view({6, 5}), view({6, 4}), view({4, 5}), view({4}), {}), InternalError);
  const MatmulOptions adding{.accumulate = true};
  EXPECT_THROW(check(view({6, 5}), view({6, 4}), view({4, 5}), view({5}), adding), InternalError);
  EXPECT_THROW(check(view({6, 5}), view({6, 4}), view({4, 5}, DType::kBFloat16), {}, {}), InternalError);
  EXPECT_THROW(check(view({6, 5}, DType::kBFloat16), view({6, 4}), view({4, 5}), {}, {}), InternalError);
  EXPECT_NO_THROW(check(view({6, 5}), view({6, 4}, DType::kBFloat16), view({4, 5}, DType::kBFloat16), {}, {}));
}

TEST_F(OpChecks, AttentionFindsTheHeadSize) {
  const auto shape = ops::AttentionForward{view({2, 3, 40}), view({2, 5, 3}), view({2, 3, 3 * 40}), 5}.check();
  EXPECT_EQ(shape.batch, 2);
  EXPECT_EQ(shape.length, 3);
  EXPECT_EQ(shape.num_heads, 5);
  EXPECT_EQ(shape.head_size, 8);
}

TEST_F(OpChecks, AttentionRefusesHeadsItCannotSplit) {
  const auto check = [&](std::int64_t channels, std::int64_t heads) {
    (void)ops::AttentionForward{view({2, 3, channels}), view({2, heads, 3}), view({2, 3, 3 * channels}), heads}.check();
  };
  EXPECT_NO_THROW(check(40, 5));
  EXPECT_THROW(check(40, 3), InternalError);
  EXPECT_THROW(check(40, 0), InternalError);
  EXPECT_THROW(check(12, 1), InternalError);   // not a multiple of 8
  EXPECT_THROW(check(136, 1), InternalError);  // above 128
}

TEST_F(OpChecks, EmbeddingNeedsPositionsForEveryToken) {
  const auto check = [&](std::int64_t first_position) {
    (void)ops::EmbeddingForward{view({2, 3, 8}), view({2, 3}, DType::kInt32), view({11, 8}), view({5, 8}), first_position, {}}
        .check();
  };
  EXPECT_NO_THROW(check(2));
  EXPECT_THROW(check(3), InternalError);
  EXPECT_THROW(check(-1), InternalError);
}

TEST_F(OpChecks, CrossEntropyRefusesAVocabularyWiderThanTheLogits) {
  const auto check = [&](std::int64_t vocab_size) {
    (void)ops::CrossEntropyForward{view({6}), view({6, 16}), view({2, 3}, DType::kInt32), vocab_size}.check();
  };
  EXPECT_NO_THROW(check(16));
  EXPECT_THROW(check(17), InternalError);
  EXPECT_THROW(check(0), InternalError);
}

TEST_F(OpChecks, AdamwNeedsEqualSizesAndAPositiveStep) {
  const auto check = [&](const Shape& m_shape, std::int64_t t) {
    (void)ops::AdamWUpdate{view({24}), {}, view(m_shape), view({24}), view({3, 8}), view({1}), {.t = t}}.check();
  };
  EXPECT_NO_THROW(check({24}, 1));
  EXPECT_THROW(check({23}, 1), InternalError);
  EXPECT_THROW(check({24}, 0), InternalError);
}

TEST_F(OpChecks, AdamwNeedsMomentsOfOneTypeAndWorkingWeightsIn16Bits) {
  const auto check = [&](DType working, DType m, DType v, std::int64_t first_index = 0) {
    (void)ops::AdamWUpdate{view({24}), view({24}, working),         view({24}, m), view({24}, v), view({24}),
                           view({1}),  {.first_index = first_index}}
        .check();
  };
  EXPECT_NO_THROW(check(DType::kBFloat16, DType::kBFloat16, DType::kBFloat16, 8));
  EXPECT_NO_THROW(check(DType::kBFloat16, DType::kFloat32, DType::kFloat32));
  EXPECT_NO_THROW(check(DType::kFloat16, DType::kFloat32, DType::kFloat32));
  EXPECT_THROW(check(DType::kFloat32, DType::kFloat32, DType::kFloat32), InternalError);
  EXPECT_THROW(check(DType::kBFloat16, DType::kBFloat16, DType::kFloat32), InternalError);
  EXPECT_THROW(check(DType::kBFloat16, DType::kBFloat16, DType::kBFloat16, 2), InternalError);
}

TEST_F(OpChecks, AdamwUpdatesFloat32OrBFloat16WithoutWorkingWeights) {
  const auto check = [&](DType param, const TensorView& working) {
    (void)ops::AdamWUpdate{view({24}, param), working, view({24}), view({24}), view({24}), view({1}), {}}.check();
  };
  EXPECT_NO_THROW(check(DType::kFloat32, {}));
  EXPECT_NO_THROW(check(DType::kBFloat16, {}));
  EXPECT_THROW(check(DType::kFloat16, {}), InternalError);
  EXPECT_THROW(check(DType::kBFloat16, view({24}, DType::kBFloat16)), InternalError);
}

TEST_F(OpChecks, GradientsOfParametersAreFloat32) {
  const auto check = [&](DType dbias) { (void)ops::BiasBackward{view({8}, dbias), view({3, 8}, DType::kBFloat16)}.check(); };
  EXPECT_NO_THROW(check(DType::kFloat32));
  EXPECT_THROW(check(DType::kBFloat16), InternalError);
}

}  // namespace
}  // namespace virgil

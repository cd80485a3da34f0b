#include "virgil/ops/muon.h"

#include <gtest/gtest.h>

#include <array>
#include <cstddef>

#include "virgil/ops/call.h"

namespace virgil {
namespace {

/// Two rows of the middle three of nine columns, as q, k and v lie side by side.
class MuonColumns : public testing::Test {
 protected:
  alignas(64) std::array<std::byte, 4096> memory_{};
  TensorView whole_{memory_.data(), DType::kFloat32, {2, 9}};
  TensorView whole_too_{memory_.data() + 1024, DType::kFloat32, {2, 9}};
  TensorView part_{memory_.data() + 2048, DType::kFloat32, {2, 3}};
  TensorView norm_{memory_.data() + 3072, DType::kFloat32, {1}};
};

TEST_F(MuonColumns, CostOnlyWhatTheyHold) {
  const ops::MuonMomentum momentum{
      .direction = part_, .momentum = whole_, .grad = whole_too_, .norm = norm_, .first_column = 3};
  EXPECT_EQ(cost_of(momentum).flops, 0);
  EXPECT_EQ(cost_of(momentum).bytes, 6 * (4 + 8 + 4) + 4) << "written, updated, read; and the norm";
  const ops::MuonApply apply{
      .param = whole_, .working = {}, .direction = part_, .factors = {}, .norm = norm_, .first_column = 3};
  EXPECT_EQ(cost_of(apply).bytes, 6 * (8 + 4) + 4);
}

TEST_F(MuonColumns, NameTheMatrixAndWhatItLiesIn) {
  const ops::MuonApply apply{
      .param = whole_, .working = {}, .direction = part_, .factors = {}, .norm = norm_, .first_column = 3};
  EXPECT_EQ(sizes_text(apply), "(2, 3) of 9");
  const ops::MuonApply lone{.param = part_, .working = {}, .direction = part_, .factors = {}, .norm = norm_};
  EXPECT_EQ(sizes_text(lone), "(2, 3)");
}

}  // namespace
}  // namespace virgil

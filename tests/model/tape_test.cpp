#include "virgil/model/tape.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "virgil/base/error.h"

namespace virgil {
namespace {

using ::testing::ElementsAre;

/// "b = gelu_forward(a)".
std::string text_of(const Tape& tape, const Call& call) {
  std::string outputs;
  std::string inputs;
  for_each_operand(call, [&](std::string_view /*name*/, const ConstTensorView& view, ops::Access access) {
    std::string& list = access == ops::Access::kRead ? inputs : outputs;
    list += (list.empty() ? "" : ", ") + tape.tensors()[static_cast<std::size_t>(view.tensor())].name;
  });
  return outputs + " = " + std::string(name_of(call)) + "(" + inputs + ")";
}

/// x -> a = gelu(x) -> b = gelu(a) -> c = gelu(b), of which a and b may be dropped.
class Chain {
 public:
  explicit Chain(Recompute recompute) : tape(recompute) {
    x = named("x", {});
    a = named("a", Recompute::kBlock);
    b = named("b", Recompute::kGelu);
    c = named("c", {});
    tape.add(ops::GeluForward{a, x});
    tape.add(ops::GeluForward{b, a});
    tape.add(ops::GeluForward{c, b});
    tape.begin_backward();
  }
  TensorView named(const std::string& name, std::optional<Recompute> dropped_from) {
    return tape.tensor({.name = name, .shape = {2, 8}, .dropped_from = dropped_from});
  }
  /// The calls after the forward pass.
  [[nodiscard]] std::vector<std::string> backward() const {
    std::vector<std::string> texts;
    for (std::size_t i = 3; i < tape.calls().size(); ++i) texts.push_back(text_of(tape, tape.calls()[i]));
    return texts;
  }

  Tape tape;
  TensorView x, a, b, c;
};

TEST(Tape, ReadsWhatIsStored) {
  Chain chain(Recompute::kNone);
  EXPECT_EQ(chain.tape.read(chain.b).tensor(), chain.b.tensor());
  EXPECT_THAT(chain.backward(), ElementsAre());
}

TEST(Tape, MakesAgainWhatIsNotFromWhatIs) {
  Chain chain(Recompute::kGelu);
  const ConstTensorView b = chain.tape.read(chain.b);
  EXPECT_NE(b.tensor(), chain.b.tensor());
  EXPECT_EQ(chain.tape.read(chain.b).tensor(), b.tensor()) << "once is enough";
  EXPECT_THAT(chain.backward(), ElementsAre("b (recomputed) = gelu_forward(a)"));
  EXPECT_TRUE(chain.tape.is_recomputation(3));
  EXPECT_FALSE(chain.tape.is_recomputation(2));
}

TEST(Tape, MakesAgainAllThatLeadsThere) {
  Chain chain(Recompute::kBlock);
  (void)chain.tape.read(chain.b);
  EXPECT_THAT(chain.backward(),
              ElementsAre("a (recomputed) = gelu_forward(x)", "b (recomputed) = gelu_forward(a (recomputed))"));
}

TEST(Tape, ReadsASliceOfWhatIsMadeAgain) {
  Chain chain(Recompute::kGelu);
  const ConstTensorView row = chain.tape.read(ConstTensorView(chain.b).slice(8, {8}));
  EXPECT_EQ(row.shape(), (Shape{8}));
  EXPECT_EQ(row.offset_bytes(), 8 * 4);
}

TEST(Tape, TakesTheAlternativeWhereItsOperandsAreStored) {
  for (const auto& [level, expected] : {std::pair{Recompute::kGelu, "b (recomputed) = gelu_forward(s)"},
                                        {Recompute::kBlock, "b (recomputed) = gelu_forward(x)"}}) {
    Tape tape(level);
    const auto named = [&](const std::string& name, std::optional<Recompute> dropped_from) {
      return tape.tensor({.name = name, .shape = {2, 8}, .dropped_from = dropped_from});
    };
    const TensorView x = named("x", {}), s = named("s", Recompute::kBlock), b = named("b", Recompute::kGelu);
    tape.add(ops::GeluForward{b, x});
    tape.add_alternative(ops::GeluForward{b, s});
    tape.begin_backward();
    (void)tape.read(b);
    EXPECT_EQ(text_of(tape, tape.calls().back()), expected);
  }
}

TEST(Tape, KnowsWhenTensorsLive) {
  Chain chain(Recompute::kNone);
  const std::vector<Life> lives = chain.tape.lives();
  EXPECT_EQ(lives[0].first, 0);
  EXPECT_EQ(lives[0].last, 0);
  EXPECT_EQ(lives[1].first, 0);
  EXPECT_EQ(lives[1].last, 1);
  EXPECT_TRUE(lives[1].meets(lives[2]));
  EXPECT_FALSE(lives[0].meets(lives[2]));
}

TEST(Tape, RefusesACallWhoseOperandsDoNotAgree) {
  Tape tape;
  const TensorView x = tape.tensor({.name = "x", .shape = {2, 8}});
  const TensorView y = tape.tensor({.name = "y", .shape = {2, 7}});
  EXPECT_THROW(tape.add(ops::GeluForward{y, x}), InternalError);
}

TEST(Tape, DoesNotRepeatACallThatChangesWhatIsThere) {
  Tape tape(Recompute::kGelu);
  const TensorView sum = tape.tensor({.name = "sum", .shape = {8}, .dropped_from = Recompute::kGelu});
  const TensorView rows = tape.tensor({.name = "rows", .shape = {2, 8}});
  tape.add(ops::BiasBackward{sum, rows});
  tape.begin_backward();
  EXPECT_THROW((void)tape.read(sum), InternalError);
}

TEST(Tape, ItsTensorsHaveNoData) {
  Tape tape;
  const TensorView x = tape.tensor({.name = "x", .shape = {2, 8}});
  EXPECT_TRUE(x.present());
  EXPECT_THROW((void)x.data(), InternalError);
  EXPECT_THROW((void)x.as<float>(), InternalError);
}

}  // namespace
}  // namespace virgil

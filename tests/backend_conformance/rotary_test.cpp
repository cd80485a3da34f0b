#include <cmath>
#include <cstdint>
#include <vector>

#include "backend_conformance/harness.h"
#include "backend_conformance/reference_rotary.h"
#include "virgil/base/error.h"

namespace virgil::conformance {
namespace {

RotaryAngles angles_of(int pairs, RotaryPairing pairing, float scale = 1) {
  RotaryAngles angles{.pairs = pairs, .pairing = pairing, .scale = scale};
  for (int j = 0; j < pairs; ++j) angles.frequency[j] = std::pow(10000.0F, -static_cast<float>(j) / static_cast<float>(pairs));
  return angles;
}

struct RotaryCase {
  std::int64_t batch;
  std::int64_t length;
  std::int64_t num_heads;
  std::int64_t num_kv_heads;
  std::int64_t head_size;
  int pairs;

  [[nodiscard]] std::int64_t heads() const { return num_heads + 2 * num_kv_heads; }
  [[nodiscard]] RotarySizes sizes() const { return {batch, length, num_heads + num_kv_heads, heads(), head_size}; }
  [[nodiscard]] Shape shape() const { return {batch, length, heads() * head_size}; }
};

// Grouped heads, heads that turn in part, sizes that fill no pack.
constexpr RotaryCase kCases[] = {{2, 9, 2, 2, 64, 32}, {1, 5, 6, 2, 8, 4},  {3, 4, 5, 1, 24, 12}, {1, 3, 1, 1, 128, 64},
                                 {2, 7, 4, 2, 40, 10}, {1, 2, 3, 3, 16, 1}, {1, 33, 9, 3, 48, 16}};

class Rotary : public Conformance {
 protected:
  void check_forward(const RotaryCase& c, const RotaryAngles& angles, std::int64_t first_position, bool in_place) {
    const auto inp = normal_values(c.shape().num_elements(), 1);
    check({{"out", reference::rotary(to_double(inp), c.sizes(), angles, first_position)}}, [&](OpRun& run) {
      const TensorView out = in_place ? run.in_out("out", c.shape(), inp) : run.output("out", c.shape());
      run.backend().run(ops::RotaryForward{.out = out,
                                           .inp = in_place ? ConstTensorView(out) : run.input(c.shape(), inp),
                                           .num_heads = c.num_heads,
                                           .num_kv_heads = c.num_kv_heads,
                                           .first_position = first_position,
                                           .angles = angles});
    });
  }

  void check_backward(const RotaryCase& c, const RotaryAngles& angles, bool in_place) {
    const auto dout = normal_values(c.shape().num_elements(), 1);
    check({{"dinp", reference::rotary(to_double(dout), c.sizes(), angles, 0, true)}}, [&](OpRun& run) {
      const TensorView dinp = in_place ? run.in_out("dinp", c.shape(), dout) : run.output("dinp", c.shape());
      run.backend().run(ops::RotaryBackward{.dinp = dinp,
                                            .dout = in_place ? ConstTensorView(dinp) : run.input(c.shape(), dout),
                                            .num_heads = c.num_heads,
                                            .num_kv_heads = c.num_kv_heads,
                                            .angles = angles});
    });
  }
};
VIRGIL_CONFORMANCE_SUITE(Rotary);

constexpr RotaryPairing kPairings[] = {RotaryPairing::kHalves, RotaryPairing::kNeighbours};

TEST_P(Rotary, ForwardMatchesReference) {
  for (const RotaryPairing pairing : kPairings) {
    for (const RotaryCase& c : kCases) check_forward(c, angles_of(c.pairs, pairing), 0, false);
  }
}

TEST_P(Rotary, TurnsByPositionsFarBeyondAnyTrainedLength) {
  for (const std::int64_t first : {5, 1000, 131000, 4000000}) {
    check_forward(kCases[0], angles_of(kCases[0].pairs, RotaryPairing::kHalves), first, false);
    check_forward(kCases[2], angles_of(kCases[2].pairs, RotaryPairing::kNeighbours, 1.25F), first, false);
  }
}

TEST_P(Rotary, MayOverwriteItsInput) {
  for (const RotaryPairing pairing : kPairings) {
    for (const RotaryCase& c : kCases) {
      check_forward(c, angles_of(c.pairs, pairing), 3, true);
      check_backward(c, angles_of(c.pairs, pairing), true);
    }
  }
}

TEST_P(Rotary, BackwardMatchesReference) {
  for (const RotaryPairing pairing : kPairings) {
    for (const RotaryCase& c : kCases) check_backward(c, angles_of(c.pairs, pairing, 0.75F), false);
  }
}

TEST_P(Rotary, RefusesMorePairsThanAHeadHolds) {
  OpRun run(backend(), dtype());
  const auto inp = normal_values(48);
  const auto turn = [&](int pairs, std::int64_t num_heads) {
    RotaryAngles angles;
    angles.pairs = pairs;
    backend().run(ops::RotaryForward{
        .out = run.output("out", {1, 1, 48}), .inp = run.input({1, 1, 48}, inp), .num_heads = num_heads, .angles = angles});
  };
  EXPECT_NO_THROW(turn(8, 1));
  EXPECT_THROW(turn(9, 1), InternalError);
  EXPECT_THROW(turn(0, 1), InternalError);
  EXPECT_THROW(turn(8, 5), InternalError);
}

/// The way back is the transpose of the way there: <dout, turn(x)> = <turn back(dout), x>.
TEST(RotaryReference, BackIsTheTranspose) {
  const RotaryCase c = kCases[4];
  const RotaryAngles angles = angles_of(c.pairs, RotaryPairing::kNeighbours, 1.5F);
  const auto inp = to_double(normal_values(c.shape().num_elements(), 1));
  const auto dout = to_double(normal_values(c.shape().num_elements(), 2));
  const auto out = reference::rotary(inp, c.sizes(), angles, 0), dinp = reference::rotary(dout, c.sizes(), angles, 0, true);
  double there = 0, back = 0;
  for (std::size_t i = 0; i < inp.size(); ++i) {
    there += dout[i] * out[i].value;
    back += dinp[i].value * inp[i];
  }
  EXPECT_NEAR(there, back, 1e-12 * std::abs(there));
}

}  // namespace
}  // namespace virgil::conformance

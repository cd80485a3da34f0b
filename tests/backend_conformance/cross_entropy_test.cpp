#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "backend_conformance/harness.h"
#include "backend_conformance/reference_basic.h"

namespace virgil::conformance {
namespace {

struct Sizes {
  std::int64_t rows;
  std::int64_t vocab_size;
  std::int64_t columns;
};

constexpr Sizes kSizes[] = {{1, 1, 1},       {3, 5, 8},       {257, 65, 72},  {4, 24, 24},
                            {2, 1027, 1040}, {2, 2500, 2512}, {2, 9001, 9008}};

class CrossEntropy : public Conformance {
 protected:
  void check_sizes(const Sizes& sizes, float logit_stddev) {
    constexpr float kScale = 0.125F;
    const auto [N, V, Vp] = sizes;
    auto logits = normal_values(N * Vp, 1, logit_stddev);
    // Padding must not matter, however large.
    for (std::int64_t i = 0; i < N * Vp; ++i) {
      if (i % Vp >= V) logits[static_cast<std::size_t>(i)] = huge();
    }
    auto targets = random_tokens(N, static_cast<std::int32_t>(V));
    if (N > 1) targets[1] = -1;
    const auto expected = reference::cross_entropy(to_double(logits), targets, V, kScale);
    check({{"losses", expected.losses}}, [&](OpRun& run) {
      run.backend().run(ops::CrossEntropyForward{run.output("losses", {N}, DType::kFloat32), run.input({N, Vp}, logits),
                                                 run.input({N}, targets), V});
    });
    check({{"losses", expected.losses}, {"logits", expected.dlogits}}, [&](OpRun& run) {
      run.backend().run(ops::CrossEntropyForwardBackward{run.output("losses", {N}, DType::kFloat32),
                                                         run.in_out("logits", {N, Vp}, logits), run.input({N}, targets), V,
                                                         kScale});
    });
  }
};
VIRGIL_CONFORMANCE_SUITE(CrossEntropy);

TEST_P(CrossEntropy, MatchesReference) {
  for (const Sizes& sizes : kSizes) check_sizes(sizes, 1);
}

TEST_P(CrossEntropy, MatchesReferenceForPeakedLogits) {
  for (const Sizes& sizes : kSizes) check_sizes(sizes, 40);
}

TEST_P(CrossEntropy, GivesTheSameLossesWithAndWithoutGradient) {
  const auto logits = normal_values(7 * 100, 2);
  const auto targets = random_tokens(7, 97);
  const auto forward = results_of([&](OpRun& run) {
    run.backend().run(ops::CrossEntropyForward{run.output("losses", {7}, DType::kFloat32), run.input({7, 100}, logits),
                                               run.input({7}, targets), 97});
  });
  const auto both = results_of([&](OpRun& run) {
    run.backend().run(ops::CrossEntropyForwardBackward{
        run.output("losses", {7}, DType::kFloat32), run.in_out("logits", {7, 100}, logits), run.input({7}, targets), 97, 1.0F});
  });
  expect_same_bits("losses", forward.at("losses"), both.at("losses"));
}

TEST_P(CrossEntropy, OfEqualLogitsIsTheLogOfTheVocabulary) {
  constexpr std::int64_t kVocab = 65;
  check({{"losses", {rounded(std::log(static_cast<double>(kVocab)), 0, kLibraryUlps)}}}, [&](OpRun& run) {
    run.backend().run(ops::CrossEntropyForward{run.output("losses", {1}, DType::kFloat32),
                                               run.input({1, 72}, std::vector<float>(72, 3.5F)),
                                               run.input({1}, std::vector<std::int32_t>{64}), kVocab});
  });
}

TEST_P(CrossEntropy, IsNotFiniteForNanOrInfiniteLogits) {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    auto logits = normal_values(40, 3);
    logits[17] = bad;
    const auto results = results_of([&](OpRun& run) {
      run.backend().run(ops::CrossEntropyForward{run.in_out("losses", {1}, {0.0F}, DType::kFloat32), run.input({1, 40}, logits),
                                                 run.input({1}, std::vector<std::int32_t>{2}), 40});
    });
    EXPECT_FALSE(std::isfinite(results.at("losses")[0])) << bad;
  }
}

class CrossEntropyIndices : public Conformance {};
VIRGIL_INDEX_SUITE(CrossEntropyIndices);
TEST_P(CrossEntropyIndices, RefusesTargetsOutsideTheVocabulary) {
  OpRun run(backend(), dtype());
  EXPECT_THROW(
      backend().run(ops::CrossEntropyForward{run.output("losses", {1}, DType::kFloat32), run.input({1, 8}, normal_values(8)),
                                             run.input({1}, std::vector<std::int32_t>{5}), 5}),
      InternalError);
}

}  // namespace
}  // namespace virgil::conformance

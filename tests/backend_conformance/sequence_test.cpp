// A sequence of ops that is run again and again has the bits of its ops called one by one, wherever it stands in the random
// numbers and whatever its inputs hold by then.
#include <gmock/gmock.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "backend_conformance/harness.h"

namespace virgil::conformance {
namespace {

constexpr std::int64_t kB = 2, kT = 9, kHeads = 2, kHeadSize = 16, kC = kHeads * kHeadSize, kVocab = 11;

/// What one pass reads and writes: every op that draws dropout, and matrix products, fills and sums besides.
class Pass {
 public:
  using Values = std::vector<float> (*)(std::int64_t count, std::uint64_t seed);

  Pass(OpRun& run, const std::string& prefix, Values values)
      : backend_(run.backend()),
        tokens_(run.input({kB, kT}, random_tokens(kB * kT, kVocab))),
        wte_(run.input({kVocab, kC}, values(kVocab * kC, 1))),
        wpe_(run.input({kT, kC}, values(kT * kC, 2))),
        weight_(run.input({kC}, values(kC, 3))),
        product_weight_(run.input({kC, 3 * kC}, values(3 * kC * kC, 4))),
        branch_(run.in_out(prefix + "branch", {kB, kT, kC}, values(kB * kT * kC, 5))) {
    const auto output = [&](const char* name, const Shape& shape) {
      return results_.emplace_back(run.output(prefix + name, shape));
    };
    const auto single = [&](const char* name, const Shape& shape) {
      return results_.emplace_back(run.output(prefix + name, shape, DType::kFloat32));
    };
    embedded_ = output("embedded", {kB, kT, kC});
    residual_ = output("residual", {kB, kT, kC});
    norm_ = output("norm", {kB, kT, kC});
    mean_ = single("mean", {kB * kT});
    rstd_ = single("rstd", {kB * kT});
    qkv_ = output("qkv", {kB, kT, 3 * kC});
    attention_ = output("attention", {kB, kT, kC});
    lse_ = single("lse", {kB, kHeads, kT});
    dqkv_ = output("dqkv", {kB, kT, 3 * kC});
    dinp_ = output("dinp", {kB, kT, kC});
    dwte_ = single("dwte", {kVocab, kC});
    dwpe_ = single("dwpe", {kT, kC});
    sum_ = single("sum", {1});
  }

  /// All at one place, but for a site that stands three sequences further on.
  void ask(const RandomPlace& place) {
    const auto dropout = [&](RandomPurpose purpose, std::uint32_t site, std::int64_t ahead = 0) {
      return Dropout{.p = 0.3F,
                     .stream = {.seed = 0x123456789ABCDEFULL, .purpose = purpose, .site = site, .step = place.step},
                     .first_sequence = place.first_sequence + ahead};
    };
    const Dropout of_embedding = dropout(RandomPurpose::kEmbeddingDropout, 0);
    const Dropout of_attention = dropout(RandomPurpose::kAttentionDropout, 1);
    backend_.run(ops::EmbeddingForward{embedded_, tokens_, wte_, wpe_, 0, of_embedding});
    backend_.run(ops::ResidualNormForward{
        residual_, norm_, mean_, rstd_, embedded_, branch_, weight_, {}, dropout(RandomPurpose::kResidualDropout, 2, 3)});
    backend_.run(ops::Matmul{qkv_, norm_, product_weight_, {}, {}});
    backend_.run(ops::AttentionForward{attention_, lse_, qkv_, kHeads, of_attention});
    backend_.run(ops::AttentionBackward{dqkv_, residual_, attention_, qkv_, lse_, kHeads, of_attention});
    backend_.run(ops::DropoutBackward{dinp_, attention_, dropout(RandomPurpose::kResidualDropout, 3)});
    backend_.run(ops::SetZero{dwte_});
    backend_.run(ops::SetZero{dwpe_});
    backend_.run(ops::EmbeddingBackward{dwte_, dwpe_, dinp_, tokens_, of_embedding});
    backend_.run(ops::ReduceSum{sum_, dqkv_});
    backend_.run(ops::Copy{branch_, attention_});  // the next pass depends on this one
  }

  [[nodiscard]] std::vector<std::vector<std::byte>> results() const {
    std::vector<std::vector<std::byte>> all;
    for (const TensorView& result : results_) {
      backend_.copy_to_host(all.emplace_back(static_cast<std::size_t>(result.size_bytes())), result);
    }
    return all;
  }

  [[nodiscard]] static std::int64_t workspace_bytes(const Backend& backend, DType dtype) {
    const BackendTraits& traits = backend.traits();
    const AttentionShape attention{kB, kT, kHeads, kHeadSize, dtype};
    return std::max({traits.attention_forward_workspace_bytes(attention), traits.attention_backward_workspace_bytes(attention),
                     traits.matmul_workspace_bytes({kB * kT, 3 * kC, kC, dtype, dtype, false, {}}),
                     traits.embedding_backward_workspace_bytes(kB * kT, kC, kVocab),
                     traits.reduction_workspace_bytes(kB * kT * 3 * kC)});
  }

 private:
  Backend& backend_;
  ConstTensorView tokens_, wte_, wpe_, weight_, product_weight_;
  TensorView branch_, embedded_, residual_, norm_, mean_, rstd_, qkv_, attention_, lse_, dqkv_, dinp_, dwte_, dwpe_, sum_;
  std::vector<TensorView> results_;
};

class Sequence : public Conformance {
 protected:
  static std::vector<float> values(std::int64_t count, std::uint64_t seed) { return normal_values(count, seed); }
};
VIRGIL_CONFORMANCE_SUITE(Sequence);

TEST_P(Sequence, HasTheBitsOfItsOpsAtEveryPlace) {
  OpRun run(backend(), dtype());
  run.workspace(Pass::workspace_bytes(backend(), dtype()));
  Pass repeated(run, "repeated ", values), called(run, "called ", values);
  const std::unique_ptr<OpSequence> sequence = backend().make_sequence();
  // The second place is that of a recording, where there is one: what follows lies before and after it.
  constexpr std::array<RandomPlace, 6> kPlaces = {
      {{0, 0}, {3, 4}, {3, 8}, {4, 0}, {0, 0}, {0xFFFFFFFFU, std::int64_t{1} << 33}}};
  std::vector<std::vector<std::byte>> before;
  for (const RandomPlace& place : kPlaces) {
    sequence->run(place, [&] { repeated.ask(place); });
    called.ask(place);
    const auto results = repeated.results();
    EXPECT_EQ(results, called.results()) << "step " << place.step << ", sequence " << place.first_sequence;
    EXPECT_NE(results, before);
    before = results;
  }
  (void)run.finish();
}

TEST_P(Sequence, RunsBesideOthersAndWithoutWaiting) {
  OpRun run(backend(), dtype());
  run.workspace(Pass::workspace_bytes(backend(), dtype()));
  Pass a(run, "a ", values), b(run, "b ", values);
  Pass called_a(run, "called a ", values), called_b(run, "called b ", values);
  const auto sequence_a = backend().make_sequence(), sequence_b = backend().make_sequence();
  for (std::uint32_t step = 0; step < 5; ++step) {
    sequence_a->run({step, 1}, [&] { a.ask({step, 1}); });
    sequence_b->run({step + 7, 2}, [&] { b.ask({step + 7, 2}); });
  }
  for (std::uint32_t step = 0; step < 5; ++step) {
    called_a.ask({step, 1});
    called_b.ask({step + 7, 2});
  }
  EXPECT_EQ(a.results(), called_a.results());
  EXPECT_EQ(b.results(), called_b.results());
  (void)run.finish();
}

}  // namespace
}  // namespace virgil::conformance

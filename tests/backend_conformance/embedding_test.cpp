#include <cstddef>
#include <cstdint>
#include <vector>

#include "backend_conformance/harness.h"
#include "backend_conformance/reference_basic.h"

namespace virgil::conformance {
namespace {

using reference::SequenceShape;

class Embedding : public Conformance {
 protected:
  static constexpr std::int64_t kVocabRows = 11;

  void check_forward(const SequenceShape& shape, std::int64_t first_position, const Dropout& dropout) {
    const auto [B, T, C] = shape;
    const std::int64_t block = first_position + T + 2;
    const auto tokens = random_tokens(B * T, kVocabRows);
    const auto wte = normal_values(kVocabRows * C, 1), wpe = normal_values(block * C, 2);
    check({{"out", reference::embedding_forward(tokens, to_double(wte), to_double(wpe), shape, first_position, dropout)}},
          [&](OpRun& run) {
            run.backend().run(ops::EmbeddingForward{run.output("out", {B, T, C}), run.input({B, T}, tokens),
                                                    run.input({kVocabRows, C}, wte), run.input({block, C}, wpe), first_position,
                                                    dropout});
          });
  }

  void check_backward(const SequenceShape& shape, const Dropout& dropout) {
    check_backward(shape, dropout, kVocabRows, random_tokens(shape.rows(), kVocabRows));
  }
  void check_backward(const SequenceShape& shape, const Dropout& dropout, std::int64_t vocab_rows,
                      const std::vector<std::int32_t>& tokens) {
    const auto [B, T, C] = shape;
    const std::int64_t block = T + 2;
    const auto dout = normal_values(B * T * C, 3);
    const auto dwte = normal_values(vocab_rows * C, 4), dwpe = normal_values(block * C, 5);
    auto expected = reference::embedding_backward(to_double(dwte), to_double(dwpe), to_double(dout), tokens, shape, dropout);
    check({{"dwte", expected.dwte}, {"dwpe", expected.dwpe}}, [&](OpRun& run) {
      run.workspace(run.backend().traits().embedding_backward_workspace_bytes(B * T, C, vocab_rows));
      run.backend().run(ops::EmbeddingBackward{run.in_out("dwte", {vocab_rows, C}, dwte, DType::kFloat32),
                                               run.in_out("dwpe", {block, C}, dwpe, DType::kFloat32),
                                               run.input({B, T, C}, dout), run.input({B, T}, tokens), dropout});
    });
  }
};
VIRGIL_CONFORMANCE_SUITE(Embedding);

const SequenceShape kEmbeddingShapes[] = {{1, 1, 8}, {2, 3, 24}, {1, 257, 40}, {3, 5, 7}, {2, 2, 1035}};

TEST_P(Embedding, ForwardMatchesReference) {
  for (const SequenceShape& shape : kEmbeddingShapes) check_forward(shape, 0, Dropout{});
  check_forward({2, 3, 24}, 4, Dropout{});
}

// Of a model whose positions are rotary.
TEST_P(Embedding, TakesTokensAlone) {
  const auto [B, T, C] = SequenceShape{2, 5, 24};
  const Dropout dropout = test_dropout(0.25F);
  const auto tokens = random_tokens(B * T, kVocabRows);
  const auto wte = normal_values(kVocabRows * C, 1), dwte = normal_values(kVocabRows * C, 4),
             dout = normal_values(B * T * C, 3);
  const std::vector<double> no_positions(static_cast<std::size_t>(T * C), 0.0);
  check({{"out", reference::embedding_forward(tokens, to_double(wte), no_positions, {B, T, C}, 0, dropout)}}, [&](OpRun& run) {
    run.backend().run(ops::EmbeddingForward{
        run.output("out", {B, T, C}), run.input({B, T}, tokens), run.input({kVocabRows, C}, wte), {}, 3, dropout});
  });
  const auto expected =
      reference::embedding_backward(to_double(dwte), no_positions, to_double(dout), tokens, {B, T, C}, dropout);
  check({{"dwte", expected.dwte}}, [&](OpRun& run) {
    run.workspace(run.backend().traits().embedding_backward_workspace_bytes(B * T, C, kVocabRows));
    run.backend().run(ops::EmbeddingBackward{run.in_out("dwte", {kVocabRows, C}, dwte, DType::kFloat32),
                                             {},
                                             run.input({B, T, C}, dout),
                                             run.input({B, T}, tokens),
                                             dropout});
  });
}

TEST_P(Embedding, ForwardDropsWhatTheStreamSays) {
  for (const SequenceShape& shape : kEmbeddingShapes) check_forward(shape, 0, test_dropout(0.25F));
}

TEST_P(Embedding, BackwardAccumulatesTheReference) {
  for (const SequenceShape& shape : kEmbeddingShapes) check_backward(shape, Dropout{});
}

TEST_P(Embedding, BackwardDropsWhatTheForwardDropped) {
  for (const SequenceShape& shape : kEmbeddingShapes) check_backward(shape, test_dropout(0.25F));
}

TEST_P(Embedding, BackwardAddsManyRowsOfOneToken) {
  for (const SequenceShape& shape : {SequenceShape{1, 63, 8}, {3, 100, 24}, {1, 301, 7}}) {
    check_backward(shape, test_dropout(0.25F), kVocabRows,
                   std::vector<std::int32_t>(static_cast<std::size_t>(shape.rows()), 10));
  }
}

TEST_P(Embedding, BackwardSortsManyTokens) {
  // Tokens of more than a byte, more rows than a GPU's block has threads, and every third row the same.
  constexpr std::int64_t kManyRows = 700;
  auto tokens = random_tokens(5 * 500, kManyRows);
  for (std::size_t i = 0; i < tokens.size(); i += 3) tokens[i] = 256;
  check_backward({5, 500, 8}, Dropout{}, kManyRows, tokens);
}

class EmbeddingIndices : public Conformance {};
VIRGIL_INDEX_SUITE(EmbeddingIndices);
TEST_P(EmbeddingIndices, RefusesTokensOutsideTheTable) {
  for (const std::int32_t token : {-1, 4}) {
    OpRun run(backend(), dtype());
    EXPECT_THROW(backend().run(ops::EmbeddingForward{run.output("out", {1, 1, 8}),
                                                     run.input({1, 1}, std::vector<std::int32_t>{token}),
                                                     run.input({4, 8}, normal_values(32)),
                                                     run.input({1, 8}, normal_values(8)),
                                                     0,
                                                     {}}),
                 InternalError);
    EXPECT_THROW(backend().run(ops::EmbeddingBackward{run.output("dwte", {4, 8}, DType::kFloat32),
                                                      run.output("dwpe", {1, 8}, DType::kFloat32),
                                                      run.input({1, 1, 8}, normal_values(8)),
                                                      run.input({1, 1}, std::vector<std::int32_t>{token}),
                                                      {}}),
                 InternalError);
  }
}

}  // namespace
}  // namespace virgil::conformance

#include "virgil/plan/step_work.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>

#include "virgil/model/step_tape.h"
#include "virgil/plan/training_plan.h"

namespace virgil {
namespace {

TrainingShape shape_with(Recompute recompute) {
  return {
      .model = {.num_layers = 5, .num_heads = 4, .embedding_dim = 64, .block_size = 96, .vocab_size = 1000, .dropout = 0.1F},
      .batch_size = 3,
      .recompute = recompute,
      .logits_chunk = 50};  // of 288 rows: six chunks of 48
}

Tape whole_tape(const TrainingShape& shape, std::int64_t logits_rows, LogitsChunks chunks) {
  const Architecture model = trainable(shape.model);
  const ParameterLayout parameters(model);
  return record_step(model, *plan_request(shape).step, true, parameters, GradientLayout(parameters, false), logits_rows,
                     chunks);
}

double work_of(const Tape& tape) { return calls_work(tape, 0, tape.calls().size(), DType::kFloat32); }

TEST(StepWork, CountsOperationsAndWhatIsMoved) {
  Tape tape;
  const TensorView x = tape.tensor({.name = "x", .dtype = DType::kBFloat16, .shape = {3, 8}});
  const TensorView w = tape.tensor({.name = "w", .dtype = DType::kBFloat16, .shape = {8, 5}});
  const TensorView y = tape.tensor({.name = "y", .dtype = DType::kFloat32, .shape = {3, 5}});
  tape.add(ops::Matmul{.out = y, .a = x, .b = w, .bias = {}});
  // A float32 is as two numbers of a step in bfloat16.
  EXPECT_DOUBLE_EQ(work_of(tape), 3 * 8 * 5 + kMultiplyAddsPerNumberMoved * ((24 + 40) / 2.0 + 15));
  EXPECT_DOUBLE_EQ(calls_work(tape, 0, 1, DType::kBFloat16), 3 * 8 * 5 + kMultiplyAddsPerNumberMoved * (24 + 40 + 2 * 15));
}

// Two layers and one chunk of each size are recorded; the sum is that of all calls.
TEST(StepWork, IsThatOfAllCalls) {
  for (const Recompute recompute : kAllRecompute) {
    for (const bool tied : {false, true}) {
      TrainingShape shape = shape_with(recompute);
      shape.model.tie_weights = tied;
      const Tape all =
          whole_tape(shape, choose_logits_rows(trainable(shape.model), *plan_request(shape).step, ScratchlessTraits()),
                     LogitsChunks::kAll);
      EXPECT_NEAR(step_work(shape, ScratchlessTraits()), work_of(all) / (3 * 96), 1e-9 * work_of(all)) << name_of(recompute);
    }
  }
}

TEST(StepWork, CountsOneChunkOfEachSizeAsOftenAsItOccurs) {
  const TrainingShape shape = shape_with(Recompute::kNone);
  for (const std::int64_t rows : {1, 7, 96, 100, 287, 288}) {  // whole chunks and a rest, and either alone
    const Tape few = whole_tape(shape, rows, LogitsChunks::kOneOfEachSize);
    const Tape all = whole_tape(shape, rows, LogitsChunks::kAll);
    EXPECT_NEAR(work_of(few), work_of(all), 1e-9 * work_of(all)) << rows;
    std::int64_t calls = 0;
    for (std::size_t i = 0; i < few.calls().size(); ++i) calls += few.repeats(i);
    EXPECT_EQ(static_cast<std::size_t>(calls), all.calls().size()) << rows;
  }
}

// 12 layers of width 768 at 1,024 tokens, vocabulary 50,304: a forward pass multiplies 12 * 7,077,888 parameters of the blocks
// and 38,633,472 of the head, and attention adds 12 * 768 * 1,025 over the causal half; the backward pass takes 2 and 2.5 times
// as much. Blocks run again without their last product of 2,359,296. What calls move adds the rest.
TEST(StepWork, IsMostlyProducts) {
  TrainingShape shape{
      .model = {.num_layers = 12, .num_heads = 12, .embedding_dim = 768, .block_size = 1024, .vocab_size = 50257},
      .batch_size = 12};
  const double products = 3 * (12 * 7077888.0 + 38633472.0) + 3.5 * 12 * 768 * 1025;
  const double none = step_work(shape, ScratchlessTraits());
  EXPECT_GT(none, products);
  EXPECT_LT(none, 1.25 * products);
  shape.recompute = Recompute::kBlock;
  const double again = 12 * (7077888.0 - 2359296.0 + 768 * 1025);
  EXPECT_GT(step_work(shape, ScratchlessTraits()) - none, again);
  EXPECT_LT(step_work(shape, ScratchlessTraits()) - none, 1.25 * again);
}

}  // namespace
}  // namespace virgil

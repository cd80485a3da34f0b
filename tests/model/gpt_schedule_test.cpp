// What the plan's tape says is what Gpt runs, to the op: Gpt runs on a backend that only records, with every activation at
// bytes of its own, which gives each tensor's true life.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "support/random_model.h"
#include "support/recording_backend.h"
#include "virgil/model/gpt.h"

namespace virgil {
namespace {

using test_support::RandomModel;
using test_support::RecordedOp;
using test_support::RecordingBackend;

class Observed {
 public:
  Observed(const Architecture& sizes, StepShape step)
      : plan_(with_tensors_apart(sizes, step)), memory_(plan_, backend_.memory()) {
    Gpt gpt(backend_, plan_, memory_);
    if (step.training) {
      (void)gpt.accumulate_gradients(1, {});
    } else {
      (void)gpt.evaluate();
    }
    lives_.resize(plan_.activations().activations().size());
    for (std::size_t i = 0; i < backend_.ops().size(); ++i) note(backend_.ops()[i], static_cast<std::int64_t>(i));
  }

  [[nodiscard]] const std::vector<Life>& lives() const { return lives_; }

 private:
  [[nodiscard]] MemoryPlan with_tensors_apart(const Architecture& sizes, StepShape step) const {
    step.share_arena = false;
    return {trainable(sizes), {.step = step}, backend_.traits()};
  }

  void note(const RecordedOp& op, std::int64_t time) {
    for (const ConstTensorView& view : op.inputs) {
      const std::size_t tensor = find(view);
      if (tensor == lives_.size()) continue;
      EXPECT_TRUE(lives_[tensor].first >= 0 && lives_[tensor].first < time)
          << plan_.activations().activations()[tensor].name << " is read before it is written";
      touch(tensor, time);
    }
    for (const ConstTensorView& view : op.outputs) {
      if (const std::size_t tensor = find(view); tensor < lives_.size()) touch(tensor, time);
    }
  }
  void touch(std::size_t tensor, std::int64_t time) {
    if (lives_[tensor].first < 0) lives_[tensor].first = time;
    lives_[tensor].last = time;
  }

  /// The activation in which a view lies; lives_.size() when it is none.
  [[nodiscard]] std::size_t find(const ConstTensorView& view) const {
    const std::span<std::byte> arena = memory_.bytes(PlanSlot::kActivations);
    const std::int64_t offset = static_cast<const std::byte*>(view.data()) - arena.data();
    if (offset < 0 || offset >= static_cast<std::int64_t>(arena.size())) return lives_.size();
    const auto specs = plan_.activations().activations();
    for (std::size_t i = 0; i < specs.size(); ++i) {
      if (offset < specs[i].offset_bytes || offset >= specs[i].offset_bytes + specs[i].size_bytes) continue;
      EXPECT_LE(offset + view.size_bytes(), specs[i].offset_bytes + specs[i].size_bytes) << specs[i].name;
      return i;
    }
    ADD_FAILURE() << "byte " << offset << " of the arena is no activation's";
    return lives_.size();
  }

  RecordingBackend backend_;
  MemoryPlan plan_;
  PlannedMemory memory_;
  std::vector<Life> lives_;  // in ops, by index of the layout
};

/// `visit(a, b)` for every pair of tensors, as indices.
template <typename Visit>
void for_each_pair(std::size_t count, Visit&& visit) {
  for (std::size_t a = 0; a < count; ++a) {
    for (std::size_t b = a + 1; b < count; ++b) visit(a, b);
  }
}

class GptSchedule : public testing::TestWithParam<int> {};

TEST_P(GptSchedule, IsTheOneTheLayoutPlansBy) {
  for (int i = 0; i < 25; ++i) {
    const RandomModel model(static_cast<std::uint64_t>(GetParam() * 1000 + i));
    SCOPED_TRACE(fmt::format("seed {}, recompute {}", GetParam() * 1000 + i, name_of(model.step.recompute)));
    const Observed observed(model.sizes, model.step);
    const MemoryPlan plan(trainable(model.sizes), {.step = model.step}, RecordingBackend().traits());
    const ArenaLayout& shared = plan.activations();
    const auto specs = shared.activations();
    ASSERT_EQ(specs.size(), observed.lives().size());
    for (std::size_t t = 0; t < specs.size(); ++t) EXPECT_GE(observed.lives()[t].last, 0) << specs[t].name << " is never used";
    for_each_pair(specs.size(), [&](std::size_t a, std::size_t b) {
      const bool meet = observed.lives()[a].meets(observed.lives()[b]);
      const bool planned = specs[a].life.meets(specs[b].life);
      EXPECT_EQ(planned, meet) << specs[a].name << " and " << specs[b].name << " live together " << (meet ? "in" : "not in")
                               << " Gpt";
      const bool overlap = specs[a].offset_bytes < specs[b].offset_bytes + specs[b].size_bytes &&
                           specs[b].offset_bytes < specs[a].offset_bytes + specs[a].size_bytes;
      EXPECT_FALSE(meet && overlap) << specs[a].name << " and " << specs[b].name << " share bytes";
    });
    if (HasFailure()) return;
  }
}

// Evaluation runs in training's arena: its calls are the forward pass's, over the same tensors.
TEST_P(GptSchedule, OfEvaluationHasTheTensorsOfTraining) {
  for (int i = 0; i < 25; ++i) {
    RandomModel model(static_cast<std::uint64_t>(GetParam() * 1000 + i));
    model.step.training = true;
    const MemoryPlan plan(trainable(model.sizes), {.step = model.step}, RecordingBackend().traits());
    const PlacedTape training = plan.training();
    const PlacedTape evaluation = plan.evaluation();
    const std::vector<Life> lives = training.tape.lives();
    const std::vector<Life> shorter = evaluation.tape.lives();
    ASSERT_LE(shorter.size(), lives.size());
    for (std::size_t t = 0; t < shorter.size(); ++t) {
      const TapeTensor& tensor = evaluation.tape.tensors()[t];
      ASSERT_EQ(tensor.name, training.tape.tensors()[t].name);
      if (tensor.slot != PlanSlot::kActivations) continue;
      EXPECT_EQ(shorter[t].first, lives[t].first) << tensor.name;
      EXPECT_LE(shorter[t].last, lives[t].last) << tensor.name;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, GptSchedule, testing::Range(0, 8));

}  // namespace
}  // namespace virgil

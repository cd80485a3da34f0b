// Loss of a model on a held-out text.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "virgil/base/progress.h"
#include "virgil/data/token_sequence.h"
#include "virgil/model/gpt.h"
#include "virgil/train/metrics.h"
#include "virgil/train/ranks.h"

namespace virgil {

struct EvaluationOptions {
  std::int64_t batch_size = 0;   // B, windows at once
  std::int64_t length = 0;       // T, tokens of a window
  std::int64_t stride = 0;       // tokens from one window's start to the next, 1 to length
  std::int64_t max_batches = 0;  // evaluate so many batches, spread evenly; 0: all
  std::int64_t max_windows = 0;  // of a text with more evaluate so many, a random sample that is always the same; 0: all
  /// How to have more to evaluate on, for the error of a text without a prediction.
  std::string remedy = "give a longer one";
};

/// What one part of a text has of its losses.
struct PartLoss {
  double loss_sum = 0;
  std::int64_t num_tokens = 0;  // predicted
};

/// What an evaluation of one process tells besides the loss of the whole text.
struct EvaluationDetail {
  std::vector<std::size_t> part_ends;        // given: the parts' ends in the text, ascending, the last one its end
  std::vector<PartLoss> parts;               // of each
  std::int64_t first_non_finite_batch = -1;  // after which it ended, as nothing that follows would change the result
};

/// Predicts every token of a text but the first exactly once, in windows of `length` tokens that start `stride` apart. A window
/// predicts what no window before it did, so with a stride below `length` every prediction but the first window's sees at least
/// length - stride tokens of context. Targets beyond the text are ignored. A sample of the windows depends on their number
/// alone, so that losses of one text compare, whatever the batch size. Holds views that must outlive it.
class Evaluator {
 public:
  /// `text_bytes` is what the tokens stand for, for bits per byte. Throws UserError when there are fewer than two tokens or the
  /// stride is out of range.
  Evaluator(TokenSequence tokens, std::int64_t text_bytes, const EvaluationOptions& options);

  /// Runs over a plan with a step of this batch_size and length; ranks take turns with the batches, and all get the same bits,
  /// whatever their number. Destroys the loaded batch and the activations. Throws Stopped, on all ranks, where a stop was
  /// requested on any. With `detail` a loss that is not finite ends it, and is the result.
  [[nodiscard]] EvalMetrics run(Gpt& gpt, std::int64_t step, const Ranks& ranks = {}, ProgressMonitor* progress = nullptr,
                                EvaluationDetail* detail = nullptr) const;
  [[nodiscard]] std::int64_t num_batches() const { return num_batches_; }
  /// Windows that an evaluation covers, of those that the text has.
  [[nodiscard]] std::int64_t num_windows() const;
  [[nodiscard]] std::int64_t total_windows() const { return total_windows_; }
  /// Predictions in the whole text.
  [[nodiscard]] std::int64_t num_predictions() const { return static_cast<std::int64_t>(tokens_.size()) - 1; }
  /// Perplexity and bits per byte of a loss on this text.
  [[nodiscard]] EvalMetrics describe(std::int64_t step, double loss) const;
  /// The token that stands at a position of a batch's row, counted from the start of the text; it may lie behind its end.
  [[nodiscard]] std::int64_t token_at(std::int64_t batch, std::int64_t row, std::int64_t position) const {
    return window_of(batch, row) * options_.stride + position;
  }
  /// Fills inputs and targets, each (B, T), of a batch below the total of ceil(windows / B), and returns how many targets are
  /// not ignored.
  std::int64_t fill(std::int64_t batch, std::span<std::int32_t> inputs, std::span<std::int32_t> targets) const;

 private:
  [[nodiscard]] std::int64_t candidates() const;
  /// The window in a row of a batch; total_windows_ where there is none.
  [[nodiscard]] std::int64_t window_of(std::int64_t batch, std::int64_t row) const;
  /// Calls visit(place in the batch, token that is predicted) for every target of a batch that is not ignored.
  template <typename Visit>
  void for_each_target(std::int64_t batch, Visit&& visit) const;
  void add_to_parts(std::int64_t batch, Gpt& gpt, EvaluationDetail& detail) const;

  TokenSequence tokens_;
  EvaluationOptions options_;
  double bytes_per_token_;
  std::int64_t total_windows_;
  std::vector<std::int64_t> sample_;  // the windows evaluated, in order; empty: all of them
  std::int64_t total_batches_;        // of these
  std::int64_t num_batches_;
};

}  // namespace virgil

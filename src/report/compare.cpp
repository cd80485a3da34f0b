// calc_params --compare and show_configs --diff.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "virgil/base/format.h"
#include "virgil/plan/communication.h"
#include "virgil/plan/estimates.h"
#include "virgil/plan/parameter_count.h"
#include "virgil/report/model_report.h"

namespace virgil {

namespace {

/// Two columns and what lies between them.
class Columns {
 public:
  Columns(const std::string& a, const std::string& b) : width_(std::max<std::size_t>({18, a.size() + 2, b.size() + 2})) {
    text_ = fmt::format("{:<24}{:>{}}{:>{}}{:>20}\n", "", a, width_, b, width_, "difference");
  }

  void numbers(std::string_view name, std::int64_t a, std::int64_t b) {
    const std::string percent =
        a == 0 || a == b ? "" : fmt::format(" ({:+.1f} %)", 100 * (static_cast<double>(b) / static_cast<double>(a) - 1));
    row(name, format_count(a), format_count(b),
        a == b ? "" : fmt::format("{}{}{}", b > a ? "+" : "", format_count(b - a), percent));
  }
  void bytes(std::string_view name, std::int64_t a, std::int64_t b) {
    row(name, format_bytes(a), format_bytes(b),
        a == b ? "" : fmt::format("{}{}", b > a ? '+' : '-', format_bytes(std::abs(b - a))));
  }
  void words(std::string_view name, const std::string& a, const std::string& b) { row(name, a, b, a == b ? "" : "differs"); }

  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  void row(std::string_view name, const std::string& a, const std::string& b, const std::string& difference) {
    text_ += fmt::format("{:<24}{:>{}}{:>{}}  {:>18}\n", name, a, width_, b, width_, difference);
  }

  std::size_t width_;
  std::string text_;
};

std::string yes_or_no(bool value) { return value ? "yes" : "no"; }

std::int64_t tokens_per_step(const TrainingShape& shape) {
  return checked_multiply(shape.sequences_per_step(), shape.model.block_size);
}

}  // namespace

std::string compare_models(const Subject& a, const PlannedSubject& plan_a, const Subject& b, const PlannedSubject& plan_b) {
  const Architecture& x = a.spec;
  const Architecture& y = b.spec;
  Columns columns(x.name, y.name);
  columns.numbers("layers", x.num_layers, y.num_layers);
  columns.numbers("width", x.embedding_dim, y.embedding_dim);
  columns.numbers("heads", x.num_heads, y.num_heads);
  columns.numbers("key and value heads", x.num_kv_heads, y.num_kv_heads);
  columns.numbers("head size", x.head_size, y.head_size);
  columns.numbers("feed-forward width", x.d_ff, y.d_ff);
  columns.numbers("context", x.block_size, y.block_size);
  columns.numbers("vocabulary rows", x.padded_vocab_size(), y.padded_vocab_size());
  columns.words("positions", std::string(name_of(x.position)), std::string(name_of(y.position)));
  columns.words("norms", std::string(name_of(x.norm)), std::string(name_of(y.norm)));
  columns.words("feed-forward", std::string(name_of(x.mlp)), std::string(name_of(y.mlp)));
  columns.words("biases", yes_or_no(x.biases.mlp), yes_or_no(y.biases.mlp));
  columns.words("LM head shared", yes_or_no(x.tie_weights), yes_or_no(y.tie_weights));

  const ParameterBreakdown p = count_parameters(x);
  const ParameterBreakdown q = count_parameters(y);
  columns.numbers("token embedding", p.token_embedding, q.token_embedding);
  columns.numbers("position embedding", p.position_embedding, q.position_embedding);
  columns.numbers("attention, a layer", p.attention, q.attention);
  columns.numbers("feed-forward, a layer", p.mlp, q.mlp);
  columns.numbers("layer norms, a layer", p.layer_norms, q.layer_norms);
  columns.numbers("all layers", p.all_layers, q.all_layers);
  columns.numbers("LM head", p.head, q.head);
  columns.numbers("TOTAL PARAMETERS", p.total, q.total);
  columns.bytes("weights, FP32", weight_bytes(p.total, 32), weight_bytes(q.total, 32));
  columns.bytes("KV cache, FP16", estimate_inference(x, 16, x.block_size, 1).kv_cache,
                estimate_inference(y, 16, y.block_size, 1).kv_cache);
  columns.numbers("training FLOP a token", std::llround(count_flops(x).training()), std::llround(count_flops(y).training()));

  if (!plan_a.plan || !plan_b.plan) {
    return columns.text() + fmt::format("no training plan to compare: {}\n", plan_a.plan ? plan_b.why_not : plan_a.why_not);
  }
  columns.numbers("batch", plan_a.shape.batch_size, plan_b.shape.batch_size);
  columns.words("recompute", std::string(name_of(plan_a.shape.recompute)), std::string(name_of(plan_b.shape.recompute)));
  for (const MemoryCategory category : kAllMemoryCategories) {
    const std::int64_t bytes_a = plan_a.plan->by_category()[category];
    const std::int64_t bytes_b = plan_b.plan->by_category()[category];
    if (bytes_a != 0 || bytes_b != 0) columns.bytes(fmt::format("training {}", name_of(category)), bytes_a, bytes_b);
  }
  columns.bytes("training total", plan_a.plan->total_bytes(), plan_b.plan->total_bytes());
  if (a.processes == 1) return columns.text();
  columns.numbers("ZeRO stage", plan_a.shape.parallel.zero_stage, plan_b.shape.parallel.zero_stage);
  columns.numbers("tokens a step, of all", tokens_per_step(plan_a.shape), tokens_per_step(plan_b.shape));
  const CommunicationVolume sent_a = communication_volume(plan_a.shape);
  const CommunicationVolume sent_b = communication_volume(plan_b.shape);
  columns.bytes("gradients sent a step", sent_a.gradient_bytes, sent_b.gradient_bytes);
  columns.bytes("weights sent a step", sent_a.weight_bytes, sent_b.weight_bytes);
  return columns.text() + fmt::format("training, and what is sent: of each of {} processes\n", format_count(a.processes));
}

}  // namespace virgil

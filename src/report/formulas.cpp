// calc_params --show_formula.
#include <fmt/format.h>

#include "virgil/plan/estimates.h"
#include "virgil/plan/tensor_table.h"
#include "virgil/report/model_report.h"
#include "virgil/train/console_metrics.h"

namespace virgil {

namespace {

std::string describe_symbols(const ArchitectureSpec& spec) {
  const auto symbol = [](std::string_view name, std::string_view meaning, std::int64_t value) {
    return fmt::format("  {:<4}= {:>12}  {}\n", name, format_count(value), meaning);
  };
  std::string text = "Symbols\n";
  text += symbol("L", "layers", spec.num_layers);
  text += symbol("C", "embedding width (n_embd)", spec.embedding_dim);
  text += symbol("V", spec.vocab_multiple > 1 ? "vocabulary, padded" : "vocabulary", spec.padded_vocab_size());
  text += symbol("T", "context (block_size)", spec.block_size);
  text += symbol("F", "feed-forward width (d_ff)", spec.d_ff);
  text += symbol("Q", "query heads x head size", spec.query_width());
  text += symbol("K", "key heads x head size; values have as much", spec.key_value_width());
  return text + symbol("QKV", "Q + 2 K, one matrix in GPT-2", spec.query_width() + 2 * spec.key_value_width());
}

std::string describe_row(const TensorRow& row, const ArchitectureSpec& spec) {
  std::string symbolic;
  std::string numbers;
  for (const Symbol symbol : row.symbols) {
    symbolic += fmt::format("{}{}", symbolic.empty() ? "" : " x ", name_of(symbol));
    numbers += fmt::format("{}{}", numbers.empty() ? "" : " x ", format_count(value_of(symbol, spec)));
  }
  return fmt::format("  {:<40}{:<10}= {:<22}= {:>15}{}\n", (row.per_layer ? "  " : "") + row.name, symbolic, numbers,
                     format_count(count_elements(row, spec)), row.tied ? "  (also the LM head)" : "");
}

std::string describe_count(const ArchitectureSpec& spec) {
  const ParameterBreakdown b = count_parameters(spec);
  std::string text = "Parameters\n";
  bool in_layer = false;
  for (const TensorRow& row : tensor_rows(spec)) {
    if (row.per_layer && !in_layer) text += "  in each layer:\n";
    if (!row.per_layer && in_layer) {
      text += fmt::format("  {:<40}{:<10}= {:<22}= {:>15}\n", "all layers", "L x layer",
                          fmt::format("{} x {}", spec.num_layers, format_count(b.per_layer)), format_count(b.all_layers));
    }
    in_layer = row.per_layer;
    text += describe_row(row, spec);
  }
  return text + fmt::format("  {:<40}{:<10}  {:<22}= {:>15}\n", "TOTAL", "", "", format_count(b.total));
}

std::string describe_approximation(const ArchitectureSpec& spec) {
  const auto L = static_cast<double>(spec.num_layers);
  const auto C = static_cast<double>(spec.embedding_dim);
  const auto V = static_cast<double>(spec.padded_vocab_size());
  const auto total = static_cast<double>(count_parameters(spec).total);
  const auto line = [&](std::string_view formula, double value, std::string_view note) {
    return fmt::format("  {:<24}= {:>18}  {:+.2f} %  {}\n", formula, format_count(static_cast<std::int64_t>(value)),
                       100 * (value / total - 1), note);
  };
  std::string text = "The usual approximation, and how far it is off\n";
  text += line("12 L C^2 + 2 V C", 12 * L * C * C + 2 * V * C,
               spec.tie_weights ? "counts the shared matrix of embedding and head twice" : "embedding and head");
  text += line("12 L C^2 +   V C", 12 * L * C * C + V * C,
               spec.tie_weights ? "counts it once; positions, norms and biases are missing" : "leaves the head out");
  return text +
         "  12 C^2 is 4 C^2 of attention (query, key, value, output) and 8 C^2 of an MLP 4 C wide; other widths differ.\n";
}

std::string describe_context(const Subject& subject, const PlannedSubject& planned) {
  const ArchitectureSpec& spec = subject.spec;
  const ParameterBreakdown b = count_parameters(spec);
  std::string text = "What the context changes\n";
  if (b.position_embedding == 0) {
    text += "  Parameters: nothing, rotary positions have none.\n";
  } else {
    text += fmt::format("  Parameters: only T x C = {}, {:.2f} % of the total; twice the context adds as many again.\n",
                        format_count(b.position_embedding),
                        100 * static_cast<double>(b.position_embedding) / static_cast<double>(b.total));
  }
  if (!planned.plan) return text;
  text += fmt::format("  Activations of training, batch {}, recompute {}: linear in T, as no T x T matrix is ever stored.\n",
                      planned.shape.batch_size, name_of(planned.shape.recompute));
  text += fmt::format("  {:>10}{:>18}{:>18}{:>34}\n", "T", "planned", "per token", "with attention matrices stored");
  for (const std::int64_t context : {spec.block_size / 4, spec.block_size, spec.block_size * 4}) {
    if (context < 1) continue;
    TrainingShape shape = planned.shape;
    shape.model.block_size = context;
    const std::int64_t planned_bytes = plan_training(shape, ScratchlessTraits()).by_category()[MemoryCategory::kActivations];
    ArchitectureSpec longer = spec;
    longer.block_size = context;
    const std::int64_t matrices = attention_matrix_bytes(longer, shape.batch_size, 8 * static_cast<int>(size_of(shape.dtype)));
    text += fmt::format("  {:>10}{:>18}{:>18}{:>34}\n", format_count(context), format_bytes(planned_bytes),
                        format_bytes(planned_bytes / (shape.batch_size * context)), format_bytes(planned_bytes + matrices));
  }
  return text;
}

}  // namespace

std::string describe_formulas(const Subject& subject, const PlannedSubject& planned) {
  return fmt::format("{}\n{}\n{}\n{}", describe_symbols(subject.spec), describe_count(subject.spec),
                     describe_approximation(subject.spec), describe_context(subject, planned));
}

}  // namespace virgil

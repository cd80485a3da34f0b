// calc_params --show_formula.
#include <fmt/format.h>

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "virgil/base/format.h"
#include "virgil/model/parameter_table.h"
#include "virgil/plan/estimates.h"
#include "virgil/plan/parameter_count.h"
#include "virgil/report/model_report.h"
#include "virgil/report/plan_json.h"

namespace virgil {

namespace {

std::string describe_symbols(const Architecture& spec) {
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
  text += symbol("QKV", "Q + 2 K, one matrix in GPT-2", spec.qkv_width());
  if (spec.conv_taps > 0) text += symbol("N", "conv_taps x C", value_of(Symbol::kConv, spec));
  return text;
}

/// "V x C" and "50,304 x 768".
struct Product {
  std::string symbols;
  std::string numbers;
};
Product product_of(const ParameterRow& row, const Architecture& spec) {
  Product product;
  for (const Symbol symbol : row.symbols) {
    const char* times = product.symbols.empty() ? "" : " x ";
    product.symbols += fmt::format("{}{}", times, name_of(symbol));
    product.numbers += fmt::format("{}{}", times, format_count(value_of(symbol, spec)));
  }
  return product;
}

std::string describe_row(const ParameterRow& row, const Architecture& spec) {
  const auto [symbols, numbers] = product_of(row, spec);
  return fmt::format("  {:<40}{:<10}= {:<22}= {:>15}{}\n", (row.per_layer ? "  " : "") + row.name, symbols, numbers,
                     format_count(count_elements(row, spec)), row.tied ? "  (also the LM head)" : "");
}

std::string describe_count(const Architecture& spec) {
  const ParameterBreakdown b = count_parameters(spec);
  std::string text = "Parameters\n";
  bool in_layer = false;
  for (const ParameterRow& row : parameter_rows(spec)) {
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

/// A rule of thumb and what it gives.
struct Approximation {
  std::string_view formula;
  std::int64_t count = 0;
  double error_percent = 0;  // beside the exact total
  std::string_view note;
};
std::vector<Approximation> approximations(const Architecture& spec) {
  const auto L = static_cast<double>(spec.num_layers);
  const auto C = static_cast<double>(spec.embedding_dim);
  const auto V = static_cast<double>(spec.padded_vocab_size());
  const auto total = static_cast<double>(count_parameters(spec).total);
  const auto make = [&](std::string_view formula, double value, std::string_view note) {
    return Approximation{formula, static_cast<std::int64_t>(value), 100 * (value / total - 1), note};
  };
  return {make("12 L C^2 + 2 V C", 12 * L * C * C + 2 * V * C,
               spec.tie_weights ? "counts the shared matrix of embedding and head twice" : "embedding and head"),
          make("12 L C^2 +   V C", 12 * L * C * C + V * C,
               spec.tie_weights ? "counts it once; positions, norms and biases are missing" : "leaves the head out")};
}

std::string describe_approximation(const Architecture& spec) {
  std::string text = "The usual approximation, and how far it is off\n";
  for (const Approximation& a : approximations(spec)) {
    text += fmt::format("  {:<24}= {:>18}  {:+.2f} %  {}\n", a.formula, format_count(a.count), a.error_percent, a.note);
  }
  return text +
         "  12 C^2 is 4 C^2 of attention (query, key, value, output) and 8 C^2 of an MLP 4 C wide; other widths differ.\n";
}

/// Activations of training at some context.
struct ContextRow {
  std::int64_t context = 0;
  std::int64_t activation_bytes = 0;
  std::int64_t with_matrices_bytes = 0;  // if the T x T matrices were stored
};
std::vector<ContextRow> context_rows(const Architecture& spec, const PlannedSubject& planned) {
  std::vector<ContextRow> rows;
  for (const std::int64_t context : {spec.block_size / 4, spec.block_size, spec.block_size * 4}) {
    if (context < 1) continue;
    TrainingShape shape = planned.shape;
    shape.model.block_size = context;
    const std::int64_t bytes = plan_training(shape, ScratchlessTraits()).by_category()[MemoryCategory::kActivations];
    Architecture longer = spec;
    longer.block_size = context;
    const std::int64_t matrices = attention_matrix_bytes(longer, shape.batch_size, 8 * static_cast<int>(size_of(shape.dtype)));
    rows.push_back({context, bytes, bytes + matrices});
  }
  return rows;
}

std::string describe_context(const Subject& subject, const PlannedSubject& planned) {
  const Architecture& spec = subject.spec;
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
  for (const ContextRow& row : context_rows(spec, planned)) {
    text += fmt::format("  {:>10}{:>18}{:>18}{:>34}\n", format_count(row.context), format_bytes(row.activation_bytes),
                        format_bytes(row.activation_bytes / (planned.shape.batch_size * row.context)),
                        format_bytes(row.with_matrices_bytes));
  }
  return text;
}

}  // namespace

std::string describe_formulas(const Subject& subject, const PlannedSubject& planned) {
  return fmt::format("{}\n{}\n{}\n{}", describe_symbols(subject.spec), describe_count(subject.spec),
                     describe_approximation(subject.spec), describe_context(subject, planned));
}

nlohmann::ordered_json formulas_json(const Subject& subject, const PlannedSubject& planned) {
  using Json = nlohmann::ordered_json;
  const Architecture& spec = subject.spec;
  Json json = {{"rows", Json::array()}, {"approximations", Json::array()}, {"contexts", Json::array()}};
  for (const ParameterRow& row : parameter_rows(spec)) {
    const auto [symbols, numbers] = product_of(row, spec);
    json["rows"].push_back({{"name", row.name},
                            {"per_layer", row.per_layer},
                            {"formula", symbols},
                            {"numbers", numbers},
                            {"parameters", count_elements(row, spec)}});
  }
  for (const Approximation& a : approximations(spec)) {
    json["approximations"].push_back({{"formula", a.formula}, {"parameters", a.count}, {"error_percent", a.error_percent}});
  }
  if (!planned.plan) return json;
  for (const ContextRow& row : context_rows(spec, planned)) {
    json["contexts"].push_back({{"block_size", row.context},
                                {"activation_bytes", row.activation_bytes},
                                {"with_attention_matrices_bytes", row.with_matrices_bytes}});
  }
  return json;
}

}  // namespace virgil

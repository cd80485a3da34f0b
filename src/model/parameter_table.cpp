#include "virgil/model/parameter_table.h"

#include <fmt/format.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "virgil/base/error.h"

namespace virgil {

namespace {

using enum Symbol;

Shape shape_of(const ParameterRow& row, const Architecture& model) {
  if (row.symbols.size() == 1) return {value_of(row.symbols[0], model)};
  return {value_of(row.symbols[0], model), value_of(row.symbols[1], model)};
}

ParameterSpec make_spec(const ParameterRow& row, const Architecture& model, const std::string& prefix, int layer) {
  const Shape shape = shape_of(row, model);
  const bool padded = row.symbols.front() == kV;
  std::vector<std::int64_t> matrices;
  if (row.symbols.size() == 2 && row.symbols.back() == kQkv) {
    matrices = {model.query_width(), model.key_value_width(), model.key_value_width()};
  }
  return {.name = prefix + row.name,
          .shape = shape,
          .stored_shape = padded ? Shape{model.vocab_size, shape[1]} : shape,
          .init = row.init,
          .init_std = row.init_std,
          .part = row.group,
          .tied = row.tied,
          .joined = row.joined,
          .layer = layer,
          .matrices = std::move(matrices),
          .order = model.family->weight_order};
}

}  // namespace

std::string_view name_of(Symbol symbol) {
  constexpr std::string_view kNames[] = {"V", "T", "C", "F", "Q", "K", "QKV", "N"};
  return kNames[static_cast<std::size_t>(symbol)];
}

std::int64_t value_of(Symbol symbol, const Architecture& model) {
  switch (symbol) {
    case kV:
      return model.padded_vocab_size();
    case kT:
      return model.block_size;
    case kC:
      return model.embedding_dim;
    case kF:
      return model.d_ff;
    case kQ:
      return checked_multiply(model.num_heads, model.head_size);
    case kKv:
      return checked_multiply(model.num_kv_heads, model.head_size);
    case kQkv:
      return checked_add(value_of(kQ, model), checked_multiply(2, value_of(kKv, model)));
    case kConv:
      return checked_multiply(model.conv_taps, model.embedding_dim);
  }
  throw InternalError("unknown symbol");
}

ParameterTable::ParameterTable(const Architecture& model) : model_(model) {
  VIRGIL_CHECK(model.family->holds(model), "no {} holds these kinds of modules", model.family->model_type);
  VIRGIL_CHECK(model.head_size > 0 && model.num_kv_heads > 0 && model.d_ff > 0, "{} heads of {}, {} wide", model.num_kv_heads,
               model.head_size, model.d_ff);
}

float ParameterTable::residual_std() const { return usual_std() / std::sqrt(2.0F * static_cast<float>(model_.num_layers)); }

void ParameterTable::add_matrix(TensorGroup group, std::string name, Symbol rows, Symbol columns, float init_std) {
  rows_.push_back({.group = group,
                   .name = std::move(name),
                   .symbols = {rows, columns},
                   .init = InitKind::kNormal,
                   .init_std = init_std,
                   .per_layer = per_layer_});
}

void ParameterTable::add_vector(TensorGroup group, std::string name, Symbol elements, InitKind init) {
  rows_.push_back({.group = group, .name = std::move(name), .symbols = {elements}, .init = init, .per_layer = per_layer_});
}

std::string module_path(std::string_view parent, std::string_view module) { return fmt::format("{}.{}", parent, module); }

std::string layer_prefix(const Architecture& model, std::int64_t layer) {
  return fmt::format("{}.{}.", model.family->modules.layers, layer);
}

std::int64_t count_elements(const ParameterRow& row, const Architecture& model) { return shape_of(row, model).num_elements(); }

std::vector<ParameterSpec> list_parameters(const Architecture& model) {
  const std::vector<ParameterRow> rows = parameter_rows(model);
  std::vector<ParameterSpec> specs;
  bool layers_written = false;
  for (const ParameterRow& row : rows) {
    if (!row.per_layer) {
      specs.push_back(make_spec(row, model, "", -1));
    } else if (!layers_written) {
      layers_written = true;
      for (std::int64_t layer = 0; layer < model.num_layers; ++layer) {
        const std::string prefix = layer_prefix(model, layer);
        for (const ParameterRow& of_layer : rows) {
          if (of_layer.per_layer) specs.push_back(make_spec(of_layer, model, prefix, static_cast<int>(layer)));
        }
      }
    }
  }
  return specs;
}

}  // namespace virgil

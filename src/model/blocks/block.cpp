#include "model/blocks/block.h"

#include <fmt/format.h>

#include <cstdint>

namespace virgil {

void Block::declare(ParameterTable& table) {
  const ModuleNames& names = table.names();
  Norm::declare(table, TensorGroup::kLayerNorms, names.first_norm);
  Attention::declare(table);
  Norm::declare(table, TensorGroup::kLayerNorms, names.second_norm);
  Mlp::declare(table);
}

Block::Block(Recorder& recorder, std::int64_t layer)
    : name_(fmt::format("{}.{}", recorder.names().layers, layer)),
      norm1_(recorder, module_path(name_, recorder.names().first_norm)),
      attention_(recorder, module_path(name_, recorder.names().attention), layer),
      norm2_(recorder, module_path(name_, recorder.names().second_norm)),
      mlp_(recorder, module_path(name_, recorder.names().mlp)),
      attention_dropout_(recorder.dropout(RandomPurpose::kResidualDropout, 2 * layer)),
      mlp_dropout_(recorder.dropout(RandomPurpose::kResidualDropout, 2 * layer + 1)) {}

void Block::forward(Recorder& recorder, ResidualStream& stream, const LayerCache* cache) {
  const TensorView x = norm1_.forward(recorder, stream, Recompute::kNorm, Recompute::kBlock);
  stream.branch = cache == nullptr ? attention_.forward(recorder, x) : attention_.decode(recorder, x, *cache);
  stream.dropout = attention_dropout_;
  stream.joined_name = attention_.name() + " + residual";
  stream.joined_dropped_from = Recompute::kBlock;

  const TensorView y = norm2_.forward(recorder, stream, Recompute::kNorm, Recompute::kBlock);
  stream.branch = cache == nullptr ? mlp_.forward(recorder, y) : mlp_.decode(recorder, y, cache->mlp_inputs);
  stream.dropout = mlp_dropout_;
  stream.joined_name = mlp_.name() + " + residual";  // the next block's input: stored at every level
}

void Block::backward(Recorder& recorder, const StreamGradient& dstream) const {
  norm2_.backward(recorder, dstream, mlp_.backward(recorder, norm2_.out(), dstream, mlp_dropout_));
  const ConstTensorView dbranch = dstream.of_branch(recorder, attention_.branch_name(), attention_dropout_);
  norm1_.backward(recorder, dstream, attention_.backward(recorder, norm1_.out(), dbranch));
}

}  // namespace virgil

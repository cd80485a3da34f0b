#include "model/blocks/block.h"

#include <fmt/format.h>

#include <cstdint>

namespace virgil {

Block::Block(Recorder& recorder, std::int64_t layer)
    : name_(fmt::format("transformer.h.{}", layer)),
      norm1_(recorder, name_ + ".ln_1"),
      attention_(recorder, name_ + ".attn", layer),
      norm2_(recorder, name_ + ".ln_2"),
      mlp_(recorder, name_ + ".mlp"),
      attention_dropout_(recorder.dropout(RandomPurpose::kResidualDropout, 2 * layer)),
      mlp_dropout_(recorder.dropout(RandomPurpose::kResidualDropout, 2 * layer + 1)) {}

void Block::forward(Recorder& recorder, ResidualStream& stream, const KeyValueCache* cache) {
  const TensorView x = norm1_.forward(recorder, stream, Recompute::kNorm, Recompute::kBlock);
  stream.branch = cache == nullptr ? attention_.forward(recorder, x) : attention_.decode(recorder, x, *cache);
  stream.dropout = attention_dropout_;
  stream.joined_name = name_ + ".attn + residual";
  stream.joined_dropped_from = Recompute::kBlock;

  stream.branch = mlp_.forward(recorder, norm2_.forward(recorder, stream, Recompute::kNorm, Recompute::kBlock));
  stream.dropout = mlp_dropout_;
  stream.joined_name = name_ + ".mlp + residual";  // the next block's input: stored at every level
}

void Block::backward(Recorder& recorder, const StreamGradient& dstream) const {
  norm2_.backward(recorder, dstream, mlp_.backward(recorder, norm2_.out(), dstream, mlp_dropout_));
  const ConstTensorView dbranch = dstream.of_branch(recorder, attention_.branch_name(), attention_dropout_);
  norm1_.backward(recorder, dstream, attention_.backward(recorder, norm1_.out(), dbranch));
}

}  // namespace virgil

// A GPT-2 block: x + attention(ln_1(x)), then x + mlp(ln_2(x)).
#pragma once

#include <cstdint>
#include <string>

#include "model/blocks/attention.h"
#include "model/blocks/mlp.h"
#include "model/blocks/residual_norm.h"

namespace virgil {

class Block {
 public:
  /// Of one layer.
  static void declare(ParameterTable& table);
  Block(Recorder& recorder, std::int64_t layer);

  /// Adds both branches to the stream; the second joins where the next norm reads it. With a cache for new rows alone.
  void forward(Recorder& recorder, ResidualStream& stream, const LayerCache* cache = nullptr);
  /// Adds to d(stream), from the block's output to its input.
  void backward(Recorder& recorder, const StreamGradient& dstream) const;

 private:
  std::string name_;
  Norm norm1_;
  Attention attention_;
  Norm norm2_;
  Mlp mlp_;
  Dropout attention_dropout_;  // with which the branches join
  Dropout mlp_dropout_;
};

}  // namespace virgil

#include "virgil/model/step_tape.h"

#include <cstdint>
#include <string>
#include <vector>

#include "model/blocks/block.h"
#include "model/blocks/classifier.h"
#include "model/blocks/embedding.h"
#include "model/blocks/recorder.h"
#include "model/blocks/residual_norm.h"
#include "virgil/ops/copies.h"

namespace virgil {

Tape record_step(const Architecture& model, const StepShape& step, bool training, const ParameterLayout& parameters,
                 const GradientLayout& gradients, std::int64_t logits_rows, LogitsChunks chunks) {
  constexpr std::int64_t kCallsOfBlock = 32;  // about, with what is made again
  Tape tape(step.recompute, static_cast<std::size_t>((model.num_layers + 1) * kCallsOfBlock));
  Recorder recorder(tape, model, {step.batch_size, step.length, step.dtype, training}, parameters, gradients);
  const TensorView tokens = recorder.whole_slot("inputs", PlanSlot::kInputs, DType::kInt32, {step.batch_size, step.length});
  const Embedding embedding(recorder);
  std::vector<Block> blocks;
  for (std::int64_t layer = 0; layer < model.num_layers; ++layer) blocks.emplace_back(recorder, layer);
  Norm last_norm(recorder, std::string(recorder.names().last_norm));
  const Classifier classifier(
      recorder, model.tie_weights ? embedding.tokens() : recorder.parameter(module_path(recorder.names().head, "weight")),
      step.objective, logits_rows, chunks);

  ResidualStream stream = embedding.forward(recorder, tokens);
  for (Block& block : blocks) block.forward(recorder, stream);
  const TensorView norm = last_norm.forward(recorder, stream, {}, {});
  if (!training) {
    classifier.evaluate(recorder, norm);
    return tape;
  }
  const TensorView dnorm = classifier.train(recorder, norm);

  tape.begin_backward();
  const StreamGradient dstream{recorder.activation("residual.grad", model.embedding_dim)};
  tape.add(ops::SetZero{dstream.sum});
  last_norm.backward(recorder, dstream, dnorm);
  for (auto block = blocks.rbegin(); block != blocks.rend(); ++block) block->backward(recorder, dstream);
  embedding.backward(recorder, tokens, dstream);
  return tape;
}

}  // namespace virgil

// The parts of a model, in the order in which a reader meets their parameters.
#include <vector>

#include "model/blocks/block.h"
#include "model/blocks/classifier.h"
#include "model/blocks/embedding.h"
#include "model/blocks/residual_norm.h"
#include "virgil/model/parameter_table.h"

namespace virgil {

std::vector<ParameterRow> parameter_rows(const Architecture& model) {
  ParameterTable table(model);
  Embedding::declare(table);
  table.begin_layer();
  Block::declare(table);
  table.end_layer();
  Norm::declare(table, TensorGroup::kFinalNorm, table.names().last_norm);
  Classifier::declare(table);
  return table.take_rows();
}

}  // namespace virgil

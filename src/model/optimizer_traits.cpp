#include "virgil/model/optimizer_traits.h"

#include "virgil/base/error.h"

namespace virgil {

std::string_view name_of(OptimizerKind kind) {
  switch (kind) {
    case OptimizerKind::kAdamW:
      return "adamw";
    case OptimizerKind::kMuon:
      return "muon";
    case OptimizerKind::kNorMuon:
      return "normuon";
  }
  throw InternalError("no such optimizer");
}

OptimizerKind parse_optimizer(std::string_view name) {
  for (const OptimizerKind kind : kAllOptimizers) {
    if (name == name_of(kind)) return kind;
  }
  throw InternalError("no optimizer has that name");
}

bool updates_matrices_only(OptimizerKind kind) { return kind != OptimizerKind::kAdamW; }

OptimizerTraits traits_of(OptimizerKind kind, const StorageType& storage) {
  switch (kind) {
    case OptimizerKind::kAdamW:
      return {.kind = kind, .shard_rule = ShardRule::kElements, .states = {{"m", storage}, {"v", storage}}};
    case OptimizerKind::kMuon:
      return {.kind = kind, .shard_rule = ShardRule::kWholeTensors, .states = {{"momentum", DType::kFloat32}}};
    case OptimizerKind::kNorMuon:
      return {.kind = kind,
              .shard_rule = ShardRule::kWholeTensors,
              .states = {{"momentum", DType::kFloat32}, {"v", DType::kFloat32, StatePer::kNeuron}}};
  }
  throw InternalError("no such optimizer");
}

}  // namespace virgil

#include "virgil/model/optimizer_traits.h"

#include "virgil/base/error.h"

namespace virgil {

std::string_view name_of(OptimizerKind kind) {
  switch (kind) {
    case OptimizerKind::kAdamW:
      return "adamw";
  }
  throw InternalError("no such optimizer");
}

OptimizerTraits traits_of(OptimizerKind kind, const StorageType& storage) {
  switch (kind) {
    case OptimizerKind::kAdamW:
      return {.kind = kind, .shard_rule = ShardRule::kElements, .states = {{"m", storage}, {"v", storage}}};
  }
  throw InternalError("no such optimizer");
}

}  // namespace virgil

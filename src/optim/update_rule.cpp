#include "virgil/optim/update_rule.h"

#include "optim/adamw_rule.h"
#include "virgil/base/error.h"

namespace virgil {

std::unique_ptr<UpdateRule> make_update_rule(OptimizerKind kind, const OptimizerOptions& options) {
  switch (kind) {
    case OptimizerKind::kAdamW:
      return std::make_unique<AdamWRule>(options.adamw);
  }
  throw InternalError("no such optimizer");
}

}  // namespace virgil

#include "virgil/optim/update_rule.h"

#include "optim/adamw_rule.h"
#include "optim/muon_rule.h"
#include "virgil/base/error.h"

namespace virgil {

std::unique_ptr<UpdateRule> make_update_rule(OptimizerKind kind, const OptimizerOptions& options, const MemoryPlan& plan,
                                             const PlannedMemory& memory, std::int64_t alignment_bytes) {
  switch (kind) {
    case OptimizerKind::kAdamW:
      return std::make_unique<AdamWRule>(options.adamw);
    case OptimizerKind::kMuon:
    case OptimizerKind::kNorMuon:
      return std::make_unique<MuonRule>(kind, options.muon, plan, memory, alignment_bytes);
  }
  throw InternalError("no such optimizer");
}

}  // namespace virgil

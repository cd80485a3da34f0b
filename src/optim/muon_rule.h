// Muon (Jordan et al. 2024).
#pragma once

#include <cstdint>

#include "virgil/model/memory_plan.h"
#include "virgil/model/muon_tape.h"
#include "virgil/optim/update_rule.h"

namespace virgil {

/// Runs record_muon's calls. Its scratch is the plan's arena, which is idle between steps.
class MuonRule final : public UpdateRule {
 public:
  MuonRule(const MuonOptions& options, const MemoryPlan& plan, const PlannedMemory& memory, std::int64_t alignment_bytes)
      : options_(options), memory_(memory), dtype_(plan.dtype()), alignment_bytes_(alignment_bytes) {}

  void enqueue(Backend& backend, const UpdatePiece& piece, const UpdateStep& step) const override;

 private:
  MuonOptions options_;
  const PlannedMemory& memory_;
  DType dtype_;  // of the products
  std::int64_t alignment_bytes_;
};

}  // namespace virgil

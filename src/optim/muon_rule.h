// Muon (Jordan et al. 2024) and NorMuon (Li et al. 2025).
#pragma once

#include <cstdint>
#include <vector>

#include "virgil/model/memory_plan.h"
#include "virgil/model/muon_tape.h"
#include "virgil/optim/update_rule.h"

namespace virgil {

/// Runs record_muon's calls, recorded once for each different matrix. Its scratch is the plan's arena, which is idle between
/// steps.
class MuonRule final : public UpdateRule {
 public:
  MuonRule(OptimizerKind kind, const MuonOptions& options, const MemoryPlan& plan, const PlannedMemory& memory,
           std::int64_t alignment_bytes);

  void enqueue(Backend& backend, const UpdatePiece& piece, const UpdateStep& step) const override;

 private:
  /// The calls for one kind of matrix, with scratch in the plan's memory; what lies outside is still the tape's.
  struct Recorded {
    MuonMatrix matrix;
    MuonTape muon;
    std::vector<Call> calls;
  };
  [[nodiscard]] const Recorded& recorded(const ParameterSpec& spec) const;

  OptimizerKind kind_;
  MuonOptions options_;
  std::vector<Recorded> recorded_;
};

}  // namespace virgil

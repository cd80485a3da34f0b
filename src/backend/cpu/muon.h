// The passes of Muon (Jordan et al. 2024) and NorMuon (Li et al. 2025) on the CPU.
#pragma once

#include "backend/cpu/cpu_context.h"
#include "virgil/ops/muon.h"

namespace virgil::cpu {

void run(const ops::MuonMomentum& op, const CpuContext& context);
void run(const ops::ScaledSum& op, const CpuContext& context);
void run(const ops::NeuronMoments& op, const CpuContext& context);
void run(const ops::MuonApply& op, const CpuContext& context);

}  // namespace virgil::cpu

// AdamW (Loshchilov, Hutter 2019) as an update rule.
#pragma once

#include "virgil/optim/update_rule.h"

namespace virgil {

class AdamWRule final : public UpdateRule {
 public:
  explicit AdamWRule(const AdamWOptions& options) : options_(options) {}
  void enqueue(Backend& backend, const UpdatePiece& piece, const UpdateStep& step) const override;

 private:
  AdamWOptions options_;
};

}  // namespace virgil

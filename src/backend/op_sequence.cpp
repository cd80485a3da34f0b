#include "virgil/backend/backend.h"

#include <functional>
#include <memory>

namespace virgil {

namespace {

class CalledEachTime final : public OpSequence {
 public:
  void run(const RandomPlace& /*place*/, const std::function<void()>& ops) override { ops(); }
};

}  // namespace

std::unique_ptr<OpSequence> Backend::make_sequence() { return std::make_unique<CalledEachTime>(); }

}  // namespace virgil

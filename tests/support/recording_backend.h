// A backend that computes nothing and notes what each op would read and write, for tests of the model's schedule.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/address_resource.h"
#include "support/fake_traits.h"
#include "virgil/backend/backend.h"

namespace virgil::test_support {

/// One op: where its operands lie. An output that is added to, or updated in place, is also an input.
struct RecordedOp {
  std::vector<ConstTensorView> outputs;
  std::vector<ConstTensorView> inputs;
};

class RecordingBackend : public Backend {
 public:
  [[nodiscard]] const std::vector<RecordedOp>& ops() const { return ops_; }
  void clear() { ops_.clear(); }

  [[nodiscard]] std::string description() const override { return "records, computes nothing"; }
  [[nodiscard]] const BackendTraits& traits() const override { return traits_; }
  [[nodiscard]] MemoryResource& memory() override { return memory_; }
  [[nodiscard]] std::int64_t available_bytes() const override { return std::int64_t{1} << 50; }
  [[nodiscard]] std::span<const DType> dtypes() const override { return kDTypes; }
  void bind_workspace(std::span<std::byte>) override {}
  void synchronize() override {}

  void copy_from_host(TensorView dst, std::span<const std::byte>) override { ops_.push_back({{dst}, {}}); }
  void copy_to_host(std::span<std::byte>, ConstTensorView src) override { ops_.push_back({{}, {src}}); }
  void run(const Call& call) override {
    RecordedOp op;
    for_each_operand(call, [&](std::string_view /*name*/, const ConstTensorView& view, ops::Access access) {
      if (access != ops::Access::kRead) op.outputs.push_back(view);
      if (access != ops::Access::kWrite) op.inputs.push_back(view);
    });
    ops_.push_back(std::move(op));
  }

 private:
  static constexpr std::array kDTypes = {DType::kFloat32, DType::kBFloat16, DType::kFloat16};

  FakeTraits traits_;
  AddressResource memory_;
  std::vector<RecordedOp> ops_;
};

}  // namespace virgil::test_support

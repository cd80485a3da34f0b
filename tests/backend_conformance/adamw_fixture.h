// What the tests of AdamW share.
#pragma once

#include <cstdint>
#include <vector>

#include "backend_conformance/harness.h"
#include "backend_conformance/reference_basic.h"

namespace virgil::conformance {

class AdamWConformance : public Conformance {
 protected:
  struct State {
    explicit State(std::int64_t count)
        : param(conformance::normal_values(count, 1)),
          m(representable(conformance::normal_values(count, 2, 0.1F))),
          v(conformance::normal_values(count, 3, 0.01F)),
          grad(conformance::normal_values(count, 4)) {
      for (float& element : v) element *= element;
      v = representable(v);
    }
    std::vector<float> param, m, v, grad;
  };

  /// In a bfloat16 case there are working weights beside float32 parameters; parameters and moments are of the types given.
  static void update(OpRun& run, const State& state, float norm, const AdamWStep& step, DType moments = DType::kFloat32,
                     DType param = DType::kFloat32) {
    constexpr DType kFloat = DType::kFloat32;
    const Shape shape{std::ssize(state.param)};
    const bool has_working = dtype() == DType::kBFloat16 && param == kFloat;
    const TensorView working = has_working ? run.output("working", shape) : TensorView{};
    run.backend().run(ops::AdamWUpdate{run.in_out("param", shape, state.param, param), working,
                                       run.in_out("m", shape, state.m, moments), run.in_out("v", shape, state.v, moments),
                                       run.input(shape, state.grad, kFloat), run.input({1}, std::vector<float>{norm}, kFloat),
                                       step});
  }

  static reference::AdamWResult expected_of(const State& state, float norm, const AdamWStep& step) {
    return reference::adamw_update(to_double(state.param), to_double(state.m), to_double(state.v), to_double(state.grad), norm,
                                   step);
  }

  void check_step(std::int64_t count, float norm, const AdamWStep& step) {
    const State state(count);
    const auto expected = expected_of(state, norm, step);
    check({{"param", expected.param}, {"m", expected.m}, {"v", expected.v}},
          [&](OpRun& run) { update(run, state, norm, step); });
  }
};

}  // namespace virgil::conformance

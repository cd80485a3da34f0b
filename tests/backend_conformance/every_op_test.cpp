// What holds for every op there is: the tests go through all alternatives of Call.
#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "backend_conformance/example_calls.h"
#include "backend_conformance/harness.h"
#include "virgil/base/error.h"

namespace virgil::conformance {
namespace {

bool is_optional(const Call& call, const std::string& operand) {
  const bool of_norm_backward = std::holds_alternative<ops::NormBackward>(call);
  const bool of_sum = std::holds_alternative<ops::ScaledSum>(call);
  const bool of_apply = std::holds_alternative<ops::MuonApply>(call);
  return operand == "bias" || operand == "wpe" || operand == "dwpe" || operand == "working" ||
         (of_apply && operand == "factors") || (operand == "dbias" && of_norm_backward) ||
         (of_sum && (operand == "y" || operand == "divisor"));
}

using MakeCall = Call (*)(OpRun&);

template <std::size_t kIndex>
Call make_example(OpRun& run) {
  std::variant_alternative_t<kIndex, Call> op;
  ExampleCalls(run).make(op);
  return op;
}

template <std::size_t... kIndices>
std::vector<MakeCall> examples_of(std::index_sequence<kIndices...>) {
  return {&make_example<kIndices>...};
}

/// A function for each op.
std::vector<MakeCall> examples() { return examples_of(std::make_index_sequence<std::variant_size_v<Call>>()); }

class EveryOp : public Conformance {};
VIRGIL_CONFORMANCE_SUITE(EveryOp);

TEST_P(EveryOp, RunsInTheScratchThatIsToldForIt) {
  for (const MakeCall make : examples()) {
    const Results results = results_of([&](OpRun& run) {
      const Call call = make(run);
      SCOPED_TRACE(name_of(call));
      run.workspace(run.backend().traits().workspace_bytes(call));
      run.backend().run(call);
    });
    EXPECT_FALSE(results.empty());
  }
}

TEST_P(EveryOp, WritesAllOfItsResultsAndTheSameBitsAgain) {
  for (const MakeCall make : examples()) {
    std::string name;
    const auto run_once = [&](OpRun& run) {
      const Call call = make(run);
      name = name_of(call);
      run.workspace(run.backend().traits().workspace_bytes(call));
      run.backend().run(call);
    };
    const Results first = results_of(run_once);
    const Results second = results_of(run_once);
    for (const auto& [result, values] : first) {
      expect_same_bits(name + ": " + result, values, second.at(result));
      for (const float value : values) ASSERT_TRUE(std::isfinite(value)) << name << ": " << result;
    }
  }
}

TEST_P(EveryOp, RefusesACallWithoutAnOperandThatItNeeds) {
  for (const MakeCall make : examples()) {
    OpRun run(backend(), dtype());
    const Call whole = make(run);
    ASSERT_NO_THROW(virgil::check(whole)) << name_of(whole);
    std::vector<std::string> names;
    for_each_operand(whole, [&](std::string_view name, const ConstTensorView&, ops::Access) { names.emplace_back(name); });
    for (const std::string& missing : names) {
      if (is_optional(whole, missing)) continue;
      Call call = whole;
      for_each_operand(call, [&](std::string_view name, auto& view, ops::Access) {
        if (name == missing) view = {};
      });
      EXPECT_THROW(run.backend().run(call), InternalError) << name_of(whole) << " without " << missing;
    }
    static_cast<void>(run.finish());
  }
}

TEST_P(EveryOp, TellsWhatItCosts) {
  for (const MakeCall make : examples()) {
    OpRun run(backend(), dtype());
    const Call call = make(run);
    const ops::Cost cost = cost_of(call);
    EXPECT_GT(cost.bytes, 0) << name_of(call);
    EXPECT_GE(cost.flops, 0) << name_of(call);
    EXPECT_NE(sizes_text(call), "") << name_of(call);
    static_cast<void>(run.finish());
  }
}

}  // namespace
}  // namespace virgil::conformance

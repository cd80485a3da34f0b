// What calc_params plans for GPUs that train together: on a played device, whose plan is a real one's.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "virgil/base/logging.h"
#include "virgil/command/calc_params.h"

namespace virgil {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::string plan_text(std::int64_t processes, const std::string& wire, const std::string& device,
                      const std::vector<std::string>& more) {
  std::vector<std::string> arguments = {"--n_layer", "2", "--n_head", "2", "--n_embd", "64", "--block_size", "64"};
  arguments.insert(arguments.end(), {"--vocab_size", "500", "--threads", "1", "--device", device});
  arguments.insert(arguments.end(), {"--processes", std::to_string(processes), "--grad_reduce_dtype", wire});
  arguments.insert(arguments.end(), more.begin(), more.end());
  std::istringstream in;
  std::ostringstream out;
  NullLogger log;
  EXPECT_EQ(run_calc_params(arguments, in, out, log), 0);
  return out.str();
}

nlohmann::json plan_of(std::int64_t processes, const std::string& wire, const std::string& device = "cuda") {
  return nlohmann::json::parse(plan_text(processes, wire, device, {"--json"})).at("plan");
}

std::int64_t staging_of(const nlohmann::json& plan) { return plan.at("communication").at("staging_bytes"); }
std::int64_t workspace_of(const nlohmann::json& plan) { return plan.at("by_category").at("workspace"); }

// docs/distributed.md: 4 bytes for each of R pieces of max(16 Ki, 4 Mi / R) elements, and nothing where NCCL itself sums.
TEST(PlanOfGpus, HasTheStagingOfNcclsRoundedSums) {
  for (const std::int64_t processes : {2, 3, 8, 256, 257, 1024, 65536}) {
    const std::int64_t expected = 4 * processes * std::max<std::int64_t>(16 << 10, (4 << 20) / processes);
    const nlohmann::json rounded = plan_of(processes, "bfloat16");
    const nlohmann::json exact = plan_of(processes, "float32");
    EXPECT_EQ(staging_of(rounded), expected) << processes;
    EXPECT_EQ(staging_of(exact), 0) << processes;
    // The plan rounds every allocation up to the device's alignment.
    const std::int64_t more = workspace_of(rounded) - workspace_of(exact);
    EXPECT_GE(more, expected) << processes;
    EXPECT_LT(more, expected + 256) << processes;
    EXPECT_EQ(rounded.at("total_bytes").get<std::int64_t>() - exact.at("total_bytes").get<std::int64_t>(), more) << processes;
  }
  EXPECT_EQ(staging_of(plan_of(8, "bfloat16")), 16 << 20);
  EXPECT_FALSE(plan_of(1, "bfloat16").contains("communication"));
}

TEST(PlanOfGpus, SaysItsStaging) {
  EXPECT_THAT(plan_text(8, "bfloat16", "cuda", {}), HasSubstr("staging                           16.0 MiB"));
  EXPECT_THAT(plan_text(8, "float32", "cuda", {}), Not(HasSubstr("staging")));
}

TEST(PlanOfGpus, OnProcessorsMpiPacksFloat32Too) {
  EXPECT_EQ(staging_of(plan_of(8, "float32", "cpu")), 16 << 20);
  EXPECT_EQ(staging_of(plan_of(8, "bfloat16", "cpu")), 16 << 20);
}

}  // namespace
}  // namespace virgil

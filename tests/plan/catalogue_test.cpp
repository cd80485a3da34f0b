#include "virgil/plan/catalogue.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "support/user_error.h"
#include "virgil/plan/parameter_count.h"

namespace virgil {
namespace {

using test_support::user_error_of;

struct PublishedCount {
  const char* name;
  std::int64_t num_parameters;
};

// What PyTorch counts for the same architectures.
constexpr PublishedCount kPublishedCounts[] = {
#include "plan/published_counts.inc"
};

TEST(Catalogue, TotalsArePyTorchs) {
  ASSERT_EQ(std::size(kPublishedCounts), published_models().size()) << "run tests/reference/count_reference.py";
  for (const PublishedCount& published : kPublishedCounts) {
    const PublishedModel* model = find_model(published.name);
    ASSERT_NE(model, nullptr) << published.name;
    const ParameterBreakdown breakdown = count_parameters(model->spec);
    EXPECT_EQ(breakdown.total, published.num_parameters) << published.name;
    EXPECT_EQ(breakdown.stored_total, published.num_parameters) << published.name;
  }
}

TEST(Catalogue, NamesAreUniqueAndFound) {
  std::set<const PublishedModel*> found;
  for (const PublishedModel& model : published_models()) {
    EXPECT_EQ(find_model(model.spec.name), &model) << model.spec.name;
    for (const std::string& alias : model.aliases) EXPECT_EQ(find_model(alias), &model) << alias;
    EXPECT_FALSE(model.source.empty()) << model.spec.name;
  }
  for (const GpuModel& gpu : known_gpus()) {
    EXPECT_EQ(find_gpu(gpu.name), &gpu) << gpu.name;
    for (const std::string& alias : gpu.aliases) EXPECT_EQ(find_gpu(alias), &gpu) << alias;
    EXPECT_FALSE(gpu.source.empty()) << gpu.name;
    EXPECT_GE(gpu.memory_bytes, std::int64_t{4} << 30) << gpu.name;
  }
}

// Sources print rates with sparsity first; they are twice the dense ones. Dense rates stand in fixed ratios to float32: 2 for
// GeForce cards, 4 for workstation and server cards of the same chips, about 15 for those of the data centre's own.
TEST(Catalogue, TensorRatesAreDense) {
  for (const GpuModel& gpu : known_gpus()) {
    EXPECT_GT(gpu.bandwidth_gb_per_s, 100) << gpu.name;
    if (gpu.bfloat16_tflops == 0) continue;
    const double ratio = gpu.bfloat16_tflops / gpu.float32_tflops;
    const bool geforce = gpu.name.starts_with("RTX ") && gpu.name != "RTX 6000 Ada" && gpu.name != "RTX A6000";
    const bool data_centre = gpu.name.starts_with("A100") || gpu.name.starts_with("H");
    EXPECT_NEAR(ratio, geforce ? 2 : data_centre ? 15.4 : 4, geforce ? 0.02 : data_centre ? 0.7 : 0.05) << gpu.name;
  }
}

TEST(Catalogue, TypesFollowTheComputeCapability) {
  constexpr int kTuring = 75;
  for (const GpuModel& gpu : known_gpus()) {
    EXPECT_GE(gpu.compute_capability, 60) << gpu.name;
    EXPECT_LE(gpu.compute_capability, 120) << gpu.name;
    EXPECT_EQ(gpu.bfloat16_tflops > 0, gpu.compute_capability >= 80) << gpu.name;
    if (gpu.compute_capability < kTuring) continue;
    EXPECT_GE(gpu.float16_tflops, std::max(gpu.float32_tflops, gpu.bfloat16_tflops)) << gpu.name;
  }
  EXPECT_EQ(find_gpu("T4")->compute_capability, 75);
  EXPECT_EQ(find_gpu("RTX 5090")->compute_capability, 120);
  EXPECT_EQ(find_gpu("H200")->memory_bytes, std::int64_t{143771} << 20) << "as nvidia-smi has it";
}

TEST(Catalogue, NamesForgiveCaseAndSeparators) {
  EXPECT_EQ(find_gpu("rtx4090"), find_gpu("RTX 4090"));
  EXPECT_NE(find_gpu("rtx-4090"), nullptr);
  EXPECT_EQ(find_model("GPT2_XL"), find_model("gpt2-xl"));
  EXPECT_EQ(find_model("gpt5"), nullptr);
  EXPECT_EQ(find_gpu(""), nullptr);
}

TEST(Catalogue, DamagedFilesAreErrors) {
  EXPECT_NE(user_error_of([] { (void)parse_models("{", "m.json"); }).find("m.json: not valid JSON"), std::string::npos);
  EXPECT_NE(user_error_of([] { (void)parse_models("{}", "m.json"); }).find("\"models\" is missing"), std::string::npos);
  EXPECT_NE(user_error_of([] { (void)parse_models(R"({"models": [3]})", "m.json"); }).find("models[0]"), std::string::npos);
  EXPECT_NE(user_error_of([] {
              (void)parse_models(R"({"models": [{"family": "rnn"}]})", "m.json");
            }).find("gpt2, virgil, llama, mistral and qwen2"),
            std::string::npos);
  EXPECT_NE(user_error_of([] { (void)parse_gpus(R"({"gpus": [{"memory_mib": -1}]})", "g.json"); }).find("memory_mib is -1"),
            std::string::npos);
  EXPECT_NE(user_error_of([] {
              (void)parse_gpus(R"({"gpus": [{"memory_mib": 1, "compute_capability": 0.5}]})", "g.json");
            }).find("compute_capability is 0.5"),
            std::string::npos);
}

}  // namespace
}  // namespace virgil

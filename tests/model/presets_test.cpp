// Every preset in configs/ has the number of parameters that the documentation promises.
#include <gtest/gtest.h>

#include <cstdint>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "support/repository.h"
#include "virgil/model/parameter_layout.h"

namespace virgil {
namespace {

struct Preset {
  const char* file;
  std::int64_t num_parameters;
};

constexpr std::int64_t kGpt2Vocabulary = 50257;
constexpr std::int64_t kCharVocabulary = 128;  // the most that tiny.json's padded total stands for: 65 to 128 characters

class PresetTotals : public testing::TestWithParam<Preset> {};

TEST_P(PresetTotals, AreExact) {
  std::ifstream file(test_support::repository_path("configs/") + GetParam().file);
  ASSERT_TRUE(file) << GetParam().file;
  const nlohmann::json json = nlohmann::json::parse(file);
  const bool gpt2 = json.at("tokenizer") == "gpt2";
  const std::int64_t conv_taps = json.value("conv_taps", 0);
  const Architecture config = trainable({.family = conv_taps == 0 ? &kGpt2Family : &kVirgilFamily,
                                         .num_layers = json.at("n_layer"),
                                         .num_heads = json.at("n_head"),
                                         .embedding_dim = json.at("n_embd"),
                                         .block_size = json.at("block_size"),
                                         .vocab_size = gpt2 ? kGpt2Vocabulary : kCharVocabulary,
                                         .conv_taps = conv_taps,
                                         .biases = Biases::everywhere(json.value("bias", false)),
                                         .tie_weights = json.value("tie_weights", true)});
  EXPECT_EQ(ParameterLayout(config).num_parameters(), GetParam().num_parameters);
}

INSTANTIATE_TEST_SUITE_P(Configs, PresetTotals,
                         testing::Values(Preset{"tiny.json", 10769280}, Preset{"tiny_fast.json", 10783104},
                                         Preset{"small.json", 41926080}, Preset{"150M.json", 152101632},
                                         Preset{"150M_1024.json", 152691456}, Preset{"200M.json", 199472000},
                                         Preset{"200M_1024.json", 200160128}, Preset{"250M.json", 253133824},
                                         Preset{"250M_1024.json", 253920256}, Preset{"350M_1024.json", 354599936},
                                         Preset{"500M_1024.json", 537621760}),
                         [](const auto& info) {
                           const std::string file = info.param.file;
                           return file.substr(0, file.find('.'));
                         });

}  // namespace
}  // namespace virgil

#include "virgil/command/calc_params.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "command/calc_params_support.h"
#include "support/repository.h"
#include "support/temporary_directory.h"
#include "support/user_error.h"
#include "virgil/base/file_system.h"
#include "virgil/base/logging.h"

namespace virgil {
namespace {

using test_support::calc;
using test_support::error_of;
using test_support::json_of;
using test_support::kSmall;
using test_support::preset;
using test_support::Result;
using test_support::small_with;
using test_support::user_error_of;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(CalcParams, PrintsTheShapePeopleKnow) {
  const Result result = calc({"--config", preset("150M_1024")});
  EXPECT_EQ(result.code, 0);
  for (const char* part : {"Architecture", "Parameter Breakdown", "38,633,472", "786,432", "2,359,296", "4,718,592", "1,536",
                           "7,079,424", "113,270,784", "TOTAL PARAMETERS: 152,691,456", "0.57 GiB", "0.61 GB", "FP16", "INT8",
                           "INT4", "KV cache", "Training memory", "Compute-optimal"}) {
    EXPECT_THAT(result.text, HasSubstr(part));
  }
  EXPECT_EQ(calc({"--config_file", preset("150M_1024")}).text, result.text);
}

TEST(CalcParams, JsonHasTheStableNames) {
  const nlohmann::json json = json_of({"--config", preset("150M_1024")});
  EXPECT_EQ(json.at("total_parameters"), 152691456);
  EXPECT_EQ(json.at("stored_parameters"), 152655360);
  EXPECT_EQ(json.at("parameters").at("per_layer").at("attention"), 2359296);
  EXPECT_EQ(json.at("parameters").at("lm_head_shared"), true);
  std::int64_t sum = 0;
  for (const auto& [name, bytes] : json.at("plan").at("by_category").items()) sum += bytes.get<std::int64_t>();
  EXPECT_EQ(json.at("plan").at("total_bytes"), sum);
  EXPECT_FALSE(json.contains("tensors"));
}

TEST(CalcParams, CountsGpt2WithFlagsAndByName) {
  EXPECT_EQ(json_of({"--model", "gpt2"}).at("total_parameters"), 124439808);
  const nlohmann::json flags = json_of({"--n_layer", "12", "--n_head", "12", "--n_embd", "768", "--block_size", "1024",
                                        "--vocab_size", "50257", "--bias", "--pad_vocab", "1", "--batch_size", "1"});
  EXPECT_EQ(flags.at("total_parameters"), 124439808);
  EXPECT_EQ(
      json_of({"--n_layer", "12", "--n_head", "12", "--n_embd", "768", "--bias", "--batch_size", "1"}).at("stored_parameters"),
      124439808);
}

TEST(CalcParams, ModelsVirgilDoesNotTrainAreCountedWithoutAPlan) {
  const nlohmann::json json = json_of({"--model", "gpt2", "--norm", "rmsnorm"});
  EXPECT_EQ(json.at("total_parameters"), 124439808 - (2 * 12 + 1) * 768) << "no biases in norms";
  EXPECT_TRUE(json.at("plan").is_null());
  EXPECT_THAT(json.at("no_plan").get<std::string>(), HasSubstr("learned positions"));
  EXPECT_THAT(calc({"--model", "gpt2", "--norm", "rmsnorm"}).text, HasSubstr("no plan"));
  EXPECT_THAT(error_of({"--model", "gpt2", "--norm", "rmsnorm", "--matrix", "--fits", "80GB"}), HasSubstr("learned positions"));
}

TEST(CalcParams, PlansPublishedModelsOfEachFamily) {
  const nlohmann::json json = json_of({"--model", "llama3-70b", "--batch_size", "1", "--dtype", "bfloat16"});
  EXPECT_EQ(json.at("total_parameters"), 70553706496);
  EXPECT_EQ(json.at("plan").at("by_category").at("weights"), 2 * 70553706496);
  EXPECT_THAT(calc({"--model", "mistral-7b"}).text,
              AllOf(HasSubstr("8 key and value heads"), HasSubstr("the plan that train")));
}

TEST(CalcParams, ModelsVirgilDoesNotTrainAreAnsweredForGenerating) {
  // Llama's modules with layernorms, which no family has.
  const std::vector<std::string> model = {"--model", "llama2-7b", "--norm", "layernorm", "--fits", "24GB"};
  const Result result = calc(model);
  EXPECT_EQ(result.code, 1) << "it cannot be trained";
  EXPECT_THAT(result.text, AllOf(HasSubstr("can neither train nor run"), HasSubstr("layernorm"), HasSubstr("float32"),
                                 HasSubstr("int4"), HasSubstr("(24GB)"), Not(HasSubstr("tight"))));
  const nlohmann::json fits = json_of(model).at("fits");
  EXPECT_EQ(fits.at("verdict"), "no");
  EXPECT_THAT(fits.at("why").get<std::string>(), HasSubstr("layernorm"));
  // 6.74e9 parameters and 2 GiB of cache in 16 bits.
  const std::vector<std::pair<std::string, std::string>> expected = {
      {"float32", "no"}, {"bfloat16", "yes"}, {"int8", "yes"}, {"int4", "yes"}};
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(fits.at("inference").at(i).at("weights"), expected[i].first);
    EXPECT_EQ(fits.at("inference").at(i).at("verdict"), expected[i].second) << expected[i].first;
  }
  const std::int64_t int4 = fits.at("inference").at(3).at("total_bytes");
  EXPECT_NEAR(static_cast<double>(int4), 6738415616.0 / 2 + (std::int64_t{2} << 30), 2e6) << "and some activations";
  EXPECT_THAT(calc({"--model", "llama3-70b", "--norm", "layernorm", "--gpu", "H100"}).text, HasSubstr("(H100)"));
}

TEST(CalcParams, FlagsMakeOtherArchitectures) {
  const nlohmann::json json = json_of(
      small_with({"--position", "rotary", "--norm", "rmsnorm", "--mlp", "swiglu", "--n_kv_head", "1", "--d_ff", "100"}));
  // q 64x64, k and v 64x32, o 64x64; three matrices of 64x100; two norms; 512 rows; a final norm.
  EXPECT_EQ(json.at("total_parameters"), 512 * 64 + 2 * (4096 + 2 * 2048 + 4096 + 3 * 6400 + 128) + 64);
  EXPECT_EQ(json_of({"--model", "gpt2", "--n_layer", "1"}).at("parameters").at("all_layers"), 7087872);
}

TEST(CalcParams, PrecisionsThatDoNotExistAreSaidToBe) {
  const nlohmann::json json = json_of(small_with({"--dtype", "float16"}));
  EXPECT_TRUE(json.at("plan").is_null());
  EXPECT_THAT(json.at("no_plan").get<std::string>(), HasSubstr("float16"));
  EXPECT_THAT(error_of(small_with({"--dtype", "float16", "--fits", "1GB"})), HasSubstr("float16"));
  EXPECT_THAT(error_of(small_with({"--device", "cuda", "--fits", "1GB"})), HasSubstr("CUDA"));
}

TEST(CalcParams, PlansMasterWeightsAndMomentsByTheirTypes) {
  const auto bytes_of = [](const std::vector<std::string>& flags) {
    return json_of(small_with(flags)).at("plan").at("by_category");
  };
  const nlohmann::json exact = bytes_of({"--dtype", "float32"});
  const nlohmann::json half = bytes_of({"--dtype", "bfloat16", "--optimizer_state_dtype", "bfloat16"});
  const std::int64_t weights = exact.at("weights");
  EXPECT_EQ(half.at("weights"), weights / 2);
  EXPECT_EQ(half.at("master_weights"), weights);
  EXPECT_EQ(half.at("gradients"), weights);
  EXPECT_EQ(half.at("optimizer"), weights);
  EXPECT_EQ(exact.at("optimizer"), 2 * weights);
}

TEST(CalcParams, PlansBFloat16WithoutMasterWeights) {
  const auto json = json_of(small_with({"--dtype", "bfloat16", "--master_weights", "false"}));
  const nlohmann::json bytes = json.at("plan").at("by_category");
  EXPECT_EQ(bytes.at("master_weights"), 0);
  EXPECT_EQ(bytes.at("weights").get<std::int64_t>() * 2, bytes.at("gradients").get<std::int64_t>());
  EXPECT_THAT(error_of(small_with({"--dtype", "float32", "--master_weights", "false"})), HasSubstr("master_weights"));
}

TEST(CalcParams, GeneratingIsPlannedInTheTypeOfGenerate) {
  EXPECT_THAT(calc(small_with({"--dtype", "bfloat16"})).text, HasSubstr("own plan for generating (float32, cpu"));
}

TEST(CalcParams, BatchAndContextCountInInferenceToo) {
  const auto cache_of = [](const std::vector<std::string>& arguments) {
    return json_of(arguments).at("inference").at("float16").at("kv_cache_bytes").get<std::int64_t>();
  };
  const std::int64_t one = cache_of({"--model", "llama2-7b"});
  EXPECT_EQ(cache_of({"--model", "llama2-7b", "--batch_size", "8"}), 8 * one);
  EXPECT_EQ(cache_of({"--model", "llama2-7b", "--block_size", "1024"}), one / 4);
  EXPECT_THAT(calc({"--model", "gpt2", "--batch_size", "8", "--block_size", "512"}).text,
              HasSubstr("Inference, 8 sequences of 512 tokens"));
}

TEST(CalcParams, AGpuBoundsTheSpeedOfGenerating) {
  EXPECT_THAT(calc({"--model", "gpt2", "--gpu", "RTX 4090"}).text, HasSubstr("At best on RTX 4090 (1008 GB/s)"));
  const nlohmann::json inference = json_of({"--model", "gpt2", "--gpu", "RTX 4090"}).at("inference");
  EXPECT_GT(inference.at("int4").at("most_tokens_per_s"), inference.at("float32").at("most_tokens_per_s"));
  EXPECT_FALSE(json_of({"--model", "gpt2"}).at("inference").at("int4").contains("most_tokens_per_s"));
}

TEST(CalcParams, WeightsNameTheLargestPublishedModelThatFits) {
  const auto largest = calc({"--weights", "int4", "--fits", "24GB"});
  EXPECT_EQ(largest.code, 0);
  EXPECT_THAT(largest.text, HasSubstr("The largest published model with int4 weights that fits 22.35 GiB (24GB): "));
  std::istringstream lines(largest.text);
  std::string first_yes, line;
  while (first_yes.empty() && std::getline(lines, line)) {
    if (line.ends_with("  yes")) first_yes = line.substr(2, line.find(' ', 2) - 2);
  }
  EXPECT_THAT(largest.text, HasSubstr("(24GB): " + first_yes + "\n"));
  const auto none = calc({"--weights", "float32", "--fits", "100MB"});
  EXPECT_EQ(none.code, 1);
  EXPECT_THAT(none.text, HasSubstr("No published model"));
  const nlohmann::json models = json_of({"--weights", "int4", "--fits", "24GB"}).at("models");
  EXPECT_GT(models.at(0).at("parameters"), models.at(1).at("parameters"));
}

TEST(CalcParams, WeightsOfANamedModelFitOrNot) {
  const auto yes = calc({"--model", "llama2-7b", "--weights", "int4", "--fits", "12GB"});
  EXPECT_EQ(yes.code, 0);
  EXPECT_THAT(yes.text, HasSubstr("Generating with int4 weights, one sequence of 4,096 tokens: "));
  const auto no = calc({"llama2-7b", "--weights", "bfloat16", "--fits", "12GB"});
  EXPECT_EQ(no.code, 1);
  EXPECT_THAT(no.text, ::testing::EndsWith("? no\n"));
  EXPECT_THAT(error_of({"--weights", "int3"}), HasSubstr("float32, bfloat16, int8 or int4"));
}

TEST(CalcParams, TellsWhatItTakesWithoutEffect) {
  std::istringstream in;
  std::ostringstream out;
  RecordingLogger log;
  EXPECT_EQ(run_calc_params(small_with({"--compile", "True", "--report_to", "none"}), in, out, log), 0);
  EXPECT_THAT(log.lines(), ::testing::ElementsAre(HasSubstr("config   --compile has no effect: there is nothing to compile"),
                                                  "config   --report_to none has no effect"));
}

TEST(CalcParams, AnswersAreJsonToo) {
  const nlohmann::json matrix = json_of(small_with({"--matrix", "--fits", "20MB"})).at("matrix");
  EXPECT_EQ(matrix.size(), 7U * 4U);
  EXPECT_EQ(matrix.at(0).at("batch_size"), 1);
  EXPECT_EQ(matrix.at(3).at("recompute"), "block");
  const nlohmann::json formulas = json_of({"--model", "gpt2", "--show_formula", "--batch_size", "1"}).at("formulas");
  EXPECT_EQ(formulas.at("rows").at(0).at("formula"), "V x C");
  EXPECT_EQ(formulas.at("approximations").at(0).at("parameters"), 12 * 12 * 768 * 768 + 2 * 50257 * 768);
  EXPECT_EQ(formulas.at("contexts").size(), 3U);
  const nlohmann::json models = json_of(small_with({"--solve", "target_params=2M"}));
  EXPECT_GT(models.at("models").size(), 0U);
  const nlohmann::json verified = json_of(small_with({"--verify"})).at("memory");
  EXPECT_EQ(verified.at("planned"), verified.at("allocated"));
  const nlohmann::json compared = json_of({"--compare", "gpt2", "gpt2-medium"});
  EXPECT_EQ(compared.at("difference").at("total_parameters"), 354823168 - 124439808);
  EXPECT_EQ(compared.at("a").at("total_parameters"), 124439808);
}

// By hand: 6 x (124,439,808 - 786,432) + 6 x 12 x 768 x 1,024 operations, 20 tokens a parameter; untied, the embedding of
// 32,000 x 4,096 is looked up and multiplies nothing. Caches hold 2 x layers x context x width values.
TEST(CalcParams, WorkAndInferenceAreAsCountedByHand) {
  const nlohmann::json gpt2 = json_of({"--model", "gpt2", "--batch_size", "1", "--tflops", "10"});
  EXPECT_DOUBLE_EQ(gpt2.at("work").at("training_flops_per_token"), 741920256.0 + 56623104.0);
  EXPECT_DOUBLE_EQ(gpt2.at("work").at("inference_flops_per_token"), (741920256.0 + 56623104.0) / 3);
  EXPECT_EQ(gpt2.at("work").at("compute_optimal_tokens"), 2488796160);
  EXPECT_NEAR(gpt2.at("work").at("seconds"), 798543360.0 * 2488796160.0 / 1e13, 1e-6);
  EXPECT_EQ(gpt2.at("inference").at("float16").at("weights_bytes"), 248879616);
  EXPECT_EQ(gpt2.at("inference").at("float16").at("kv_cache_bytes"), 2 * 12 * 1024 * 768 * 2);
  EXPECT_EQ(gpt2.at("inference").at("float16").at("rule_of_thumb_bytes"), 248879616 + 248879616 / 5);
  const nlohmann::json llama = json_of({"--model", "llama2-7b"});
  EXPECT_THAT(calc({"--model", "llama2-7b", "--tflops", "0.001"}).text,
              ::testing::ContainsRegex("[0-9],[0-9]{3} years at 0.001"));
  EXPECT_DOUBLE_EQ(llama.at("work").at("training_flops_per_token"),
                   6.0 * (6738415616.0 - 131072000.0) + 6.0 * 32 * 4096 * 4096);
  EXPECT_EQ(llama.at("work").at("compute_optimal_tokens"), 134768312320);
  EXPECT_EQ(llama.at("inference").at("float16").at("kv_cache_bytes"), std::int64_t{2} << 30);
  EXPECT_EQ(llama.at("inference").at("float16").at("weights_bytes"), 13476831232);
}

TEST(CalcParams, SmallModelsAreToldInSmallUnits) {
  const std::string text = calc(kSmall).text;
  EXPECT_THAT(text, AllOf(HasSubstr(" MiB"), HasSubstr("MFLOP"), Not(HasSubstr("0.00 GiB")), Not(HasSubstr("0.00B"))));
}

TEST(CalcParams, ShowsFormulasWithNumbers) {
  const std::string text = calc({"--config", preset("150M_1024"), "--show_formula"}).text;
  for (const char* part : {"V x C", "50,304 x 768", "C x QKV", "L x layer", "12 L C^2 + 2 V C", "152,691,456", "T x C",
                           "with attention matrices stored"}) {
    EXPECT_THAT(text, HasSubstr(part));
  }
  EXPECT_THAT(calc({"--model", "llama2-7b", "--show_formula"}).text, HasSubstr("rotary"));
}

TEST(CalcParams, ListsTensors) {
  const std::string text = calc(small_with({"--tensors"})).text;
  EXPECT_THAT(text,
              AllOf(HasSubstr("transformer.h.1.attn.c_attn.weight"), HasSubstr("(64, 192)"), HasSubstr("with the LM head")));
  const nlohmann::json tensors = json_of(small_with({"--tensors"})).at("tensors");
  EXPECT_EQ(tensors.size(), 2U + 2U * 6U + 1U);
  EXPECT_EQ(tensors.at(0).at("shape"), (nlohmann::json{512, 64}));
}

TEST(CalcParams, ComparesNamesAndFiles) {
  const std::string text = calc({"--compare", "gpt2", preset("150M_1024")}).text;
  EXPECT_THAT(text,
              AllOf(HasSubstr("124,439,808"), HasSubstr("152,691,456"), HasSubstr("+28,251,648"), HasSubstr("training total")));
  EXPECT_THAT(calc({"--compare", "gpt3-175b", "llama3-70b"}).text, HasSubstr("training total"));
  EXPECT_THAT(error_of({"--compare", "gpt2"}), HasSubstr("two values"));
  EXPECT_THAT(error_of({"--compare", "gpt2", "no/such/file.json"}), HasSubstr("No such file"));
}

TEST(CalcParams, TakesAWordForAModel) {
  EXPECT_EQ(calc({"gpt2-xl", "--json"}).text, calc({"--model", "gpt2-xl", "--json"}).text);
  const std::string preset = test_support::repository_path("configs/tiny.json");
  EXPECT_EQ(calc({"tiny", "--json"}).text, calc({"--config", "configs/tiny", "--json"}).text);
  EXPECT_THAT(calc({preset, "--n_layer", "2", "--json"}).text, HasSubstr("\"n_layer\": 2"));
  EXPECT_THAT(error_of({"gpt2-xxl"}), HasSubstr("did you mean gpt2-xl?"));
  EXPECT_THAT(error_of({"tiny", "--model", "gpt2"}), HasSubstr("leave one of the two out"));
  EXPECT_THAT(error_of({"tiny", "small"}), HasSubstr("--compare tiny small"));
  EXPECT_THAT(calc({"--version"}).text, HasSubstr("calc_params, Virgil"));
}

TEST(CalcParams, ReadsHuggingFaceConfigs) {
  const test_support::TemporaryDirectory directory;
  const std::string path = (directory.path() / "config.json").string();
  const auto files = make_posix_file_system();
  write_file_atomically(*files, path, R"({"model_type": "gpt2", "n_layer": 12, "n_head": 12, "n_embd": 768, "n_positions": 1024,
                                         "vocab_size": 50257})");
  EXPECT_EQ(json_of({"--hf", path, "--batch_size", "1"}).at("total_parameters"), 124439808);
  EXPECT_THAT(calc({"--compare", path, "gpt2"}).text, HasSubstr("124,439,808"));
  const std::string folder = directory.path().string();
  EXPECT_EQ(json_of({"--hf", folder}).at("total_parameters"), 124439808);
  EXPECT_EQ(json_of({"--init_from", folder}).at("total_parameters"), 124439808);
  EXPECT_EQ(json_of({"--init_from", folder, "--block_size", "512"}).at("total_parameters"), 124439808 - 512 * 768);
  EXPECT_THAT(calc({"--compare", folder, "gpt2"}).text, HasSubstr("124,439,808"));
  write_file_atomically(*files, path, "[1");
  EXPECT_THAT(error_of({"--hf", path}), HasSubstr("not valid JSON"));
  EXPECT_THAT(error_of({"--hf", (directory.path() / "none").string()}), HasSubstr("none"));
  EXPECT_THAT(error_of({"--hf", path, "--model", "gpt2"}), HasSubstr("give one of the two"));
}

TEST(CalcParams, BadInputIsNamed) {
  EXPECT_THAT(error_of({"--model", "gpt2-xxl"}), HasSubstr("did you mean gpt2-xl"));
  EXPECT_THAT(error_of({"--modl", "gpt2"}), HasSubstr("did you mean --model"));
  EXPECT_THAT(error_of({"--n_embd", "1000000000"}), HasSubstr("n_embd"));
  EXPECT_THAT(error_of({"--n_embd", "770"}), HasSubstr("multiple of n_head"));
  EXPECT_THAT(error_of({"--n_layer", "0"}), HasSubstr("n_layer"));
  EXPECT_THAT(error_of(small_with({"--n_kv_head", "3"})), HasSubstr("n_kv_head"));
  EXPECT_THAT(error_of(small_with({"--n_kv_head", "-1"})), HasSubstr("from 0 to 1024"));
  EXPECT_THAT(error_of(small_with({"--mlp", "relu"})), HasSubstr("one of auto, gelu, relu2, swiglu, geglu"));
  EXPECT_THAT(error_of(small_with({"--rope_scaling", "yarn"})), HasSubstr("its numbers are missing"));
  EXPECT_THAT(error_of(small_with({"--tflops", "fast"})), HasSubstr("positive number"));
  for (const char* memory : {"12 gigs", "-1GB", "0GB", "GB", "12XB", "99999999999999GB"}) {
    EXPECT_NE(error_of(small_with({std::string("--fits=") + memory})), "") << memory;
    EXPECT_NE(error_of(small_with({std::string("--max_memory=") + memory, "--solve", "batch_size"})), "") << memory;
  }
  EXPECT_THAT(error_of({"--config", "no/such.json"}), HasSubstr("no/such.json"));
  EXPECT_THAT(error_of(small_with({"--tokenizer", "some/file", "--vocab_size", "0"})), HasSubstr("--vocab_size"));
  EXPECT_THAT(error_of({"--model"}), HasSubstr("value is missing"));
  EXPECT_THAT(error_of({"--json=maybe", "--model", "gpt2"}), HasSubstr("--json is \"maybe\", but takes true or false"));
}

TEST(CalcParams, InteractiveAsksAgainAndSavesWhenTold) {
  const test_support::TemporaryDirectory directory;
  const std::string path = (directory.path() / "mine.json").string();
  const std::string answers = "2\nmany\n64\n2\n32\nbyte\n\n\n4\n\n" + path + "\n";
  const Result result = calc({"--interactive"}, answers);
  EXPECT_EQ(result.code, 0);
  EXPECT_THAT(result.text, AllOf(HasSubstr("n_embd is \"many\""), HasSubstr("TOTAL PARAMETERS"), HasSubstr("saved")));
  const nlohmann::json saved = nlohmann::json::parse(read_file(path, 1 << 20));
  EXPECT_EQ(saved.at("n_layer"), 2);
  EXPECT_EQ(saved.at("n_embd"), 64);
  EXPECT_EQ(saved.at("tokenizer"), "byte");
  EXPECT_EQ(json_of({"--config", path}).at("architecture").at("n_layer"), 2);
  // An existing file is replaced only after a yes.
  EXPECT_THAT(calc({"--interactive"}, answers + "no\n").text, AllOf(HasSubstr("exists"), HasSubstr("not saved")));
  EXPECT_THAT(calc({"--interactive"}, "\n\n\n\n\n\n\n1\n\n\n").text, HasSubstr("not saved"));
  EXPECT_THAT(user_error_of([] { (void)calc({"--interactive"}, ""); }), HasSubstr("input has ended"));
}

TEST(CalcParams, AWrongNumberOfHeadsIsAskedForAgainAtOnce) {
  // Layers, a width that no heads fit, a width, heads that do not fit, heads; and the other questions.
  const std::string text = calc({"--interactive"}, "2\n780\n1000\n10\n25\n\n\n\n\n1\n\n\n").text;
  EXPECT_THAT(text, HasSubstr("n_embd is 780"));
  const std::size_t again = text.find("n_embd is 1000 and n_head is 10");
  ASSERT_NE(again, std::string::npos) << text;
  EXPECT_LT(again, text.find("How many tokens of context"));
  EXPECT_THAT(text, HasSubstr("How many attention heads [25]?")) << "what fits is proposed";
  EXPECT_THAT(text, HasSubstr("25 of 40"));
}

TEST(CalcParams, HelpListsItsFlags) {
  for (const std::vector<std::string>& arguments : {std::vector<std::string>{}, {"--help"}, {"-h"}}) {
    const Result result = calc(arguments);
    EXPECT_EQ(result.code, 0);
    EXPECT_THAT(result.text, AllOf(HasSubstr("--show_formula"), HasSubstr("--matrix"), HasSubstr("--solve")));
  }
}

TEST(CalcParams, PrintsAStepCallByCall) {
  const Result result = calc(small_with({"--calls", "--recompute", "block"}));
  EXPECT_EQ(result.code, 0);
  for (const char* part : {"A micro-step of", "recompute block", "embedding_forward", "h.0.attn.c_attn", "attention_forward *",
                           "h.1.mlp.c_fc.weight.grad", "+=", "cross_entropy_forward_backward", "embedding_backward"}) {
    EXPECT_THAT(result.text, HasSubstr(part));
  }
  EXPECT_THAT(user_error_of([] {
                (void)calc({"--model", "gpt2", "--norm", "rmsnorm", "--calls"});
              }),
              HasSubstr("without learned positions"));
}

TEST(CalcParams, CallsAsJsonAgreeWithThePlan) {
  const nlohmann::json json = json_of(small_with({"--calls"}));
  const nlohmann::json& step = json.at("step");
  const std::int64_t arena = step.at("arena_bytes");
  EXPECT_LE(arena, json.at("plan").at("by_category").at("activations").get<std::int64_t>());
  std::int64_t placed = 0;
  for (const nlohmann::json& tensor : step.at("tensors")) {
    if (tensor.at("slot") != "activations" || !tensor.contains("offset_bytes")) continue;
    ++placed;
    std::int64_t bytes = tensor.at("dtype") == "bfloat16" ? 2 : 4;  // what dtype auto is on some processors
    for (const nlohmann::json& size : tensor.at("shape")) bytes *= size.get<std::int64_t>();
    EXPECT_LE(tensor.at("offset_bytes").get<std::int64_t>() + bytes, arena) << tensor.at("name");
    EXPECT_LE(tensor.at("first_call"), tensor.at("last_call")) << tensor.at("name");
  }
  EXPECT_GT(placed, 40);
  for (const nlohmann::json& call : step.at("calls")) {
    EXPECT_FALSE(call.at("recomputed"));
    for (const nlohmann::json& operand : call.at("operands")) {
      EXPECT_LT(operand.at("tensor").get<std::size_t>(), step.at("tensors").size());
    }
  }
}

}  // namespace
}  // namespace virgil

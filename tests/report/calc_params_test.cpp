#include "virgil/report/calc_params.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <iterator>
#include <nlohmann/json.hpp>
#include <sstream>
#include <utility>
#include <vector>

#include "support/repository.h"
#include "support/temporary_directory.h"
#include "support/user_error.h"
#include "virgil/base/file_system.h"

namespace virgil {
namespace {

using test_support::user_error_of;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

struct Result {
  int code = 0;
  std::string text;
};

Result calc(const std::vector<std::string>& arguments, const std::string& input = "") {
  std::istringstream in(input);
  std::ostringstream out;
  const int code = run_calc_params(arguments, in, out);
  return {code, out.str()};
}

nlohmann::json json_of(std::vector<std::string> arguments) {
  arguments.emplace_back("--json");
  return nlohmann::json::parse(calc(arguments).text);
}

std::string error_of(const std::vector<std::string>& arguments) {
  return user_error_of([&] { (void)calc(arguments); });
}

std::string preset(const std::string& name) { return test_support::repository_path("configs/" + name + ".json"); }

const std::vector<std::string> kSmall = {"--n_layer",    "2",   "--n_head",     "2", "--n_embd",  "64", "--block_size", "64",
                                         "--vocab_size", "500", "--batch_size", "4", "--threads", "1"};

std::vector<std::string> small_with(const std::vector<std::string>& more) {
  std::vector<std::string> arguments = kSmall;
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

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
  const nlohmann::json json = json_of({"--model", "llama3-70b"});
  EXPECT_EQ(json.at("total_parameters"), 70553706496);
  EXPECT_TRUE(json.at("plan").is_null());
  EXPECT_THAT(json.at("no_plan").get<std::string>(), HasSubstr("rotary"));
  EXPECT_THAT(calc({"--model", "mistral-7b"}).text, AllOf(HasSubstr("8 key and value heads"), HasSubstr("no plan")));
  EXPECT_THAT(error_of({"--model", "llama3-70b", "--matrix", "--fits", "80GB"}), HasSubstr("rotary"));
}

TEST(CalcParams, ModelsVirgilDoesNotTrainAreAnsweredForGenerating) {
  const Result result = calc({"--model", "llama2-7b", "--fits", "24GB"});
  EXPECT_EQ(result.code, 1) << "it cannot be trained";
  EXPECT_THAT(result.text, AllOf(HasSubstr("can neither train nor run"), HasSubstr("rotary"), HasSubstr("float32"),
                                 HasSubstr("int4"), HasSubstr("(24GB)")));
  const nlohmann::json fits = json_of({"--model", "llama2-7b", "--fits", "24GB"}).at("fits");
  EXPECT_EQ(fits.at("verdict"), "no");
  EXPECT_THAT(fits.at("why").get<std::string>(), HasSubstr("rotary"));
  // 6.74e9 parameters and 2 GiB of cache in 16 bits.
  const std::vector<std::pair<std::string, std::string>> expected = {
      {"float32", "no"}, {"bfloat16", "yes"}, {"int8", "yes"}, {"int4", "yes"}};
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(fits.at("inference").at(i).at("weights"), expected[i].first);
    EXPECT_EQ(fits.at("inference").at(i).at("verdict"), expected[i].second) << expected[i].first;
  }
  const std::int64_t int4 = fits.at("inference").at(3).at("total_bytes");
  EXPECT_NEAR(static_cast<double>(int4), 6738415616.0 / 2 + (std::int64_t{2} << 30), 2e6) << "and some activations";
  EXPECT_THAT(calc({"--model", "llama3-70b", "--gpu", "H100"}).text, HasSubstr("(H100)"));
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

TEST(CalcParams, FitsAnswersWithItsExitCode) {
  const std::int64_t bytes = json_of(kSmall).at("plan").at("total_bytes");
  const Result yes = calc(small_with({"--fits", std::to_string(2 * bytes)}));
  EXPECT_EQ(yes.code, 0);
  EXPECT_THAT(yes.text, HasSubstr("? yes:"));
  const Result tight = calc(small_with({"--fits=" + std::to_string(bytes)}));
  EXPECT_EQ(tight.code, 0);
  EXPECT_THAT(tight.text, HasSubstr("? tight:"));
  const Result no = calc(small_with({"--fits", std::to_string(bytes - 1)}));
  EXPECT_EQ(no.code, 1);
  EXPECT_THAT(no.text, AllOf(HasSubstr("? no:"), HasSubstr("fits"), HasSubstr("saves"), HasSubstr("train --n_layer=2"),
                             HasSubstr("--batch_size"), HasSubstr("--grad_accum_steps")));
  EXPECT_EQ(calc(small_with({"--fits", std::to_string(bytes - 1), "--json"})).code, 1);
  EXPECT_EQ(calc(small_with({"--fits"})).code, 0) << "this machine's free memory";
}

TEST(CalcParams, TheCommandOfARemedyFits) {
  const std::int64_t bytes = json_of(kSmall).at("plan").at("total_bytes");
  const std::string limit = std::to_string(bytes * 3 / 4);
  const std::string text = calc(small_with({"--fits", limit})).text;
  const std::size_t at = text.rfind("train ");
  ASSERT_NE(at, std::string::npos) << text;
  std::istringstream words(text.substr(at + 6));
  std::vector<std::string> arguments{std::istream_iterator<std::string>(words), {}};
  arguments.insert(arguments.end(), {"--fits", limit});
  EXPECT_EQ(calc(arguments).code, 0) << text;
}

TEST(CalcParams, GpusAreKnownByName) {
  const nlohmann::json json = json_of(small_with({"--gpu", "rtx 4090"}));
  EXPECT_EQ(json.at("fits").at("verdict"), "yes");
  EXPECT_EQ(json.at("fits").at("limit_bytes"), std::int64_t{24564} << 20);
  EXPECT_THAT(error_of(small_with({"--gpu", "RTX 4091"})),
              AllOf(HasSubstr("--gpu \"RTX 4091\""), HasSubstr("did you mean \"RTX 4090\""), HasSubstr("--fits")));
}

TEST(CalcParams, AGpuByNameIsPlannedForAsItIs) {
  const std::vector<std::string> model = {"--config", preset("150M_1024")};
  const auto with = [&](std::vector<std::string> more) {
    more.insert(more.begin(), model.begin(), model.end());
    return more;
  };
  const nlohmann::json t4 = json_of(with({"--gpu", "T4"}));
  EXPECT_EQ(t4.at("plan").at("dtype"), "float16") << "it has no bfloat16";
  EXPECT_EQ(t4.at("plan").at("backend"), "T4, sm_75") << "nothing of this machine";
  EXPECT_EQ(json_of(with({"--gpu", "T4", "--dtype", "float16"})).at("plan"), t4.at("plan"));
  EXPECT_EQ(json_of(with({"--gpu", "T4", "--dtype", "float32"})).at("plan").at("dtype"), "float32");
  EXPECT_THAT(error_of(with({"--gpu", "T4", "--dtype", "bfloat16"})), AllOf(HasSubstr("bfloat16"), HasSubstr("T4")));
  EXPECT_EQ(json_of(with({"--gpu", "RTX 4090"})).at("plan").at("dtype"), "bfloat16");
  // The peak is that of the type that is planned.
  EXPECT_THAT(calc(with({"--gpu", "T4"})).text,
              AllOf(HasSubstr("65 TFLOP/s peak of T4 in float16"), HasSubstr("dtype auto: float16")));
  EXPECT_THAT(calc(with({"--gpu", "T4", "--dtype", "float32"})).text, HasSubstr("8.1 TFLOP/s peak of T4 in float32"));
  EXPECT_EQ(calc(with({"--gpu", "T4", "--fits", "4GB"})).code, 1) << "less than all of it";
}

TEST(CalcParams, GpusThatVirgilDoesNotRunOnAreRefused) {
  for (const char* name : {"V100", "GTX 1080 Ti"}) {
    EXPECT_THAT(error_of(small_with({"--gpu", name})),
                AllOf(HasSubstr(name), HasSubstr("compute capability"), HasSubstr("7.5")));
  }
  EXPECT_THAT(error_of(small_with({"--gpu", "T4", "--device", "cpu"})), AllOf(HasSubstr("--gpu"), HasSubstr("device is cpu")));
  EXPECT_THAT(error_of(small_with({"--gpu", "T4", "--verify"})), AllOf(HasSubstr("--gpu"), HasSubstr("--verify")));
}

TEST(CalcParams, GeneratingIsPlannedInTheTypeOfGenerate) {
  EXPECT_THAT(calc(small_with({"--dtype", "bfloat16"})).text, HasSubstr("own plan for generating (float32, cpu"));
}

TEST(CalcParams, CommandsAreWrittenAsTheProgramWasStarted) {
  std::istringstream in;
  std::ostringstream out;
  const std::vector<std::string> arguments = small_with({"--solve", "batch_size", "--max_memory", "40MB"});
  static_cast<void>(run_calc_params(arguments, in, out, "build/calc_params"));
  EXPECT_THAT(out.str(), HasSubstr("  build/train --n_layer=2"));
}

TEST(CalcParams, SolvesForWhatFits) {
  for (const char* variable : {"batch_size", "block_size", "n_layer", "n_embd"}) {
    const nlohmann::json json = json_of(small_with({"--solve", variable, "--max_memory", "40MB"}));
    EXPECT_LE(json.at("planned_bytes").get<std::int64_t>(), 40'000'000) << variable;
    EXPECT_TRUE(json.at("changes").contains(variable)) << json;
  }
  EXPECT_THAT(calc(small_with({"--solve", "batch_size", "--max_memory", "40MB"})).text,
              AllOf(HasSubstr("batch_size = "), HasSubstr("train --n_layer=2")));
  EXPECT_EQ(calc(small_with({"--solve", "batch_size", "--max_memory", "1KB"})).code, 1);
  EXPECT_THAT(calc(small_with({"--solve", "target_params=2M"})).text, HasSubstr("--n_embd"));
  EXPECT_THAT(error_of(small_with({"--solve", "dropout"})), HasSubstr("target_params=150M"));
  EXPECT_THAT(error_of(small_with({"--solve", "target_params=big"})), HasSubstr("150M"));
  EXPECT_THAT(error_of(small_with({"--solve", "target_params=10"})), HasSubstr("vocab_size"));
}

TEST(CalcParams, AnAutomaticBatchIsTheLargestThatFits) {
  const nlohmann::json solved = json_of(small_with({"--solve", "batch_size", "--max_memory", "40MB"}));
  const nlohmann::json automatic = json_of(small_with({"--batch_size", "auto", "--max_memory", "40MB"}));
  EXPECT_EQ(std::to_string(automatic.at("plan").at("batch_size").get<int>()), solved.at("changes").at("batch_size"));
  const nlohmann::json dividing =
      json_of(small_with({"--batch_size", "auto", "--total_batch_size", "3072", "--max_memory", "40MB"}));
  EXPECT_EQ(48 % dividing.at("plan").at("batch_size").get<int>(), 0);
  EXPECT_EQ(dividing.at("plan").at("grad_accum_steps").get<int>() * dividing.at("plan").at("batch_size").get<int>(), 48);
}

TEST(CalcParams, AnAutomaticBatchLeavesRoomOnThisMachine) {
  // Long contexts of many tokens, so that the batch is chosen by memory and not by the largest batch there is.
  const nlohmann::json json = json_of({"--n_layer", "8", "--n_head", "16", "--n_embd", "1024", "--block_size", "1024",
                                       "--batch_size", "auto", "--fits", "--threads", "1"});
  if (json.at("plan").at("batch_size") == 1) GTEST_SKIP() << "this machine has no room for such a model";
  EXPECT_EQ(json.at("fits").at("verdict"), "yes") << json.at("fits");
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

TEST(CalcParams, MatrixMarksWhatFits) {
  const std::string text = calc(small_with({"--matrix", "--fits", "20MB"})).text;
  EXPECT_THAT(text, AllOf(HasSubstr("none"), HasSubstr("gelu"), HasSubstr("norm"), HasSubstr("block"), HasSubstr("*")));
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
  EXPECT_THAT(calc({"--compare", "gpt3-175b", "llama3-70b"}).text, HasSubstr("no training plan"));
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
  EXPECT_THAT(error_of(small_with({"--n_kv_head", "-1"})), HasSubstr("at least 1"));
  EXPECT_THAT(error_of(small_with({"--mlp", "relu"})), HasSubstr("gelu or swiglu"));
  EXPECT_THAT(error_of(small_with({"--tflops", "fast"})), HasSubstr("positive number"));
  for (const char* memory : {"12 gigs", "-1GB", "0GB", "GB", "12XB", "99999999999999GB"}) {
    EXPECT_NE(error_of(small_with({std::string("--fits=") + memory})), "") << memory;
    EXPECT_NE(error_of(small_with({std::string("--max_memory=") + memory, "--solve", "batch_size"})), "") << memory;
  }
  EXPECT_THAT(error_of({"--config", "no/such.json"}), HasSubstr("no/such.json"));
  EXPECT_THAT(error_of(small_with({"--tokenizer", "some/file", "--vocab_size", "0"})), HasSubstr("--vocab_size"));
  EXPECT_THAT(error_of({"--model"}), HasSubstr("value is missing"));
  EXPECT_THAT(error_of({"--json=yes", "--model", "gpt2"}), HasSubstr("takes no value"));
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

TEST(CalcParams, PlansEachOfSeveralProcesses) {
  const nlohmann::json alone = json_of(small_with({"--dtype", "float32"})).at("plan");
  EXPECT_EQ(alone.at("processes"), 1);
  EXPECT_FALSE(alone.contains("communication"));
  const nlohmann::json plan = json_of(small_with({"--dtype", "float32", "--processes", "4", "--zero_stage", "1"})).at("plan");
  EXPECT_EQ(plan.at("processes"), 4);
  const nlohmann::json& communication = plan.at("communication");
  // 512 rows and 64 positions of 64, two layers of 12 * 64^2, five norms of 64 padded to 512; three quarters are sent.
  constexpr std::int64_t kSent = ((512 + 64) * 64 + 2 * 12 * 64 * 64 + 512) / 4 * 3;
  EXPECT_EQ(communication.at("zero_stage"), 1);
  EXPECT_EQ(communication.at("grad_reduce_dtype"), "float32");
  EXPECT_EQ(communication.at("gradient_bytes"), 4 * kSent);
  EXPECT_EQ(communication.at("weight_bytes"), 4 * kSent);
  EXPECT_EQ(communication.at("total_bytes"), 8 * kSent);
  EXPECT_EQ(communication.at("tokens_per_step"), 4 * 4 * 64);
  EXPECT_EQ(communication.at("staging_bytes"), 16 << 20);
  EXPECT_LT(plan.at("by_category").at("optimizer"), alone.at("by_category").at("optimizer"));
  const std::string text = calc(small_with({"--dtype", "float32", "--processes", "4", "--zero_stage", "1"})).text;
  EXPECT_THAT(text, AllOf(HasSubstr("Training memory of each of 4 processes"), HasSubstr("Communication of each of 4"),
                          HasSubstr("in a step of 1,024 tokens"), HasSubstr("after the update")));
}

TEST(CalcParams, BatchesAreOfAllProcesses) {
  const nlohmann::json plan = json_of(small_with({"--processes", "4", "--total_batch_size", "4096"})).at("plan");
  EXPECT_EQ(plan.at("grad_accum_steps"), 4);
  EXPECT_EQ(plan.at("communication").at("tokens_per_step"), 4096);
  // Two sequences for each: fewer than the batch_size of four.
  EXPECT_EQ(json_of(small_with({"--processes", "4", "--total_batch_size", "512"})).at("plan").at("batch_size"), 2);
  EXPECT_THAT(error_of(small_with({"--processes", "4", "--total_batch_size", "320"})),
              HasSubstr("which 4 processes cannot share in whole sequences of block_size = 64; set it to 512"));
  EXPECT_THAT(error_of(small_with({"--processes=2", "--zero_stage=2", "--grad_reduce_dtype=bfloat16", "--grad_accum_steps=2"})),
              HasSubstr("grad_reduce_dtype is bfloat16 with zero_stage 2"));
}

TEST(CalcParams, RemediesOfSeveralProcessesAreCommandsOfAll) {
  const std::vector<std::string> flags = {"--processes", "4", "--dtype", "bfloat16"};
  const std::int64_t bytes = json_of(small_with(flags)).at("plan").at("total_bytes");
  std::vector<std::string> asked = small_with(flags);
  asked.push_back("--fits=" + std::to_string(bytes - 200000));
  const Result result = calc(asked);
  EXPECT_EQ(result.code, 1);
  EXPECT_THAT(result.text, AllOf(HasSubstr("of each of 4 processes"), HasSubstr("--zero_stage 1"), HasSubstr("--zero_stage 2"),
                                 HasSubstr("mpirun -n 4 train ")));
  const Result solved = calc(small_with({"--processes", "4", "--solve", "batch_size", "--fits", "1GB"}));
  EXPECT_THAT(solved.text, HasSubstr("mpirun -n 4 train "));
}

TEST(CalcParams, ComparesWhatEachOfSeveralProcessesHolds) {
  const std::vector<std::string> keys = {"--processes", "4", "--zero_stage", "1", "--batch_size", "2", "--dtype", "bfloat16"};
  const auto with_keys = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), keys.begin(), keys.end());
    return arguments;
  };
  const nlohmann::json compared = json_of(with_keys({"--compare", "gpt2", "gpt2-medium"}));
  const nlohmann::json plan_a = json_of(with_keys({"--model", "gpt2"})).at("plan");
  const nlohmann::json plan_b = json_of(with_keys({"--model", "gpt2-medium"})).at("plan");
  EXPECT_EQ(compared.at("a").at("plan"), plan_a);
  EXPECT_EQ(compared.at("b").at("plan"), plan_b);
  EXPECT_EQ(plan_a.at("communication").at("zero_stage"), 1);
  EXPECT_EQ(compared.at("difference").at("plan_bytes"),
            plan_b.at("total_bytes").get<std::int64_t>() - plan_a.at("total_bytes").get<std::int64_t>());
  // 4 x 2 sequences of the default context in one micro-step.
  const std::int64_t tokens = plan_a.at("communication").at("tokens_per_step");
  EXPECT_EQ(tokens, 8 * 1024);
  const std::string text = calc(with_keys({"--compare", "gpt2", "gpt2-medium"})).text;
  EXPECT_THAT(text, AllOf(HasSubstr("of each of 4 processes"), HasSubstr("ZeRO stage"), HasSubstr("8,192"),
                          HasSubstr("gradients sent a step"), HasSubstr("weights sent a step")));
  EXPECT_THAT(calc({"--compare", "gpt2", "gpt2-medium"}).text, AllOf(Not(HasSubstr("processes")), Not(HasSubstr("sent"))));
}

TEST(CalcParams, KeysComeOverBothOfWhatIsCompared) {
  const nlohmann::json compared =
      json_of({"--compare", "gpt2", preset("150M_1024"), "--n_layer", "3", "--batch_size", "1", "--total_batch_size", "1024"});
  for (const char* side : {"a", "b"}) {
    EXPECT_EQ(compared.at(side).at("architecture").at("n_layer"), 3) << side;
    EXPECT_EQ(compared.at(side).at("plan").at("batch_size"), 1) << side;
  }
  EXPECT_THAT(
      error_of({"--compare", "gpt2", "gpt2-xl", "--config", preset("tiny")}),
      AllOf(HasSubstr("--compare takes gpt2 and gpt2-xl"), HasSubstr("tiny.json is a third"), HasSubstr("one of the two")));
}

TEST(CalcParams, ProcessesThatCannotBeAreRefused) {
  EXPECT_THAT(error_of(small_with({"--processes", "0"})), HasSubstr("at least 1"));
  EXPECT_THAT(error_of(small_with({"--processes", "65537"})), HasSubstr("at most 65536"));
  EXPECT_THAT(error_of(small_with({"--processes", "99999999999999999999"})),
              HasSubstr("99999999999999999999\", which is out of"));
  EXPECT_THAT(error_of(small_with({"--processes", "2", "--verify"})), AllOf(HasSubstr("--verify"), HasSubstr("mpirun -n 2")));
  EXPECT_THAT(error_of({"--processes", "2", "--run", "runs/x"}), HasSubstr("--run"));
  EXPECT_EQ(json_of(small_with({"--processes", "65536"})).at("plan").at("processes"), 65536);
}

}  // namespace
}  // namespace virgil

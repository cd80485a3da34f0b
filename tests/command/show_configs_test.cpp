#include "virgil/command/show_configs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>
#include <vector>

#include "support/repository.h"
#include "support/temporary_directory.h"
#include "support/user_error.h"
#include "virgil/base/file_system.h"
#include "virgil/base/logging.h"
#include "virgil/plan/planning_traits.h"
#include "virgil/report/presets.h"

namespace virgil {
namespace {

using test_support::user_error_of;
using ::testing::AllOf;
using ::testing::HasSubstr;

const std::string kFolder = test_support::repository_path("configs");

struct ShownConfigs {
  int code = 0;
  std::string text;
};

ShownConfigs show(std::vector<std::string> arguments) {
  arguments.insert(arguments.end(), {"--configs", kFolder});
  std::ostringstream out;
  NullLogger log;
  const int code = run_show_configs(arguments, out, log);
  return {code, out.str()};
}

std::string show_error(const std::vector<std::string>& arguments) {
  return user_error_of([&] { (void)show(arguments); });
}

TEST(ShowConfigs, ListsEveryPresetWithItsParameters) {
  const std::string text = show({}).text;
  for (const char* part : {"tiny", "10,769,280", "41,926,080", "152,101,632", "152,691,456", "199,472,000", "200,160,128",
                           "253,133,824", "253,920,256", "354,599,936", "537,621,760", "98,304", "class"}) {
    EXPECT_THAT(text, HasSubstr(part));
  }
}

TEST(ShowConfigs, FitsAnswersPerPreset) {
  const ShownConfigs result = show({"--fits", "12GB"});
  EXPECT_EQ(result.code, 0);
  EXPECT_THAT(result.text, AllOf(HasSubstr("12GB"), HasSubstr("tiny"), HasSubstr("yes"), HasSubstr("no")));
  EXPECT_EQ(show({"--fits", "1MB"}).code, 1);
  EXPECT_EQ(show({"--gpu", "H100"}).code, 0);
  EXPECT_EQ(show({"--fits"}).code, 0) << "tiny fits every machine that runs the tests";
}

TEST(ShowConfigs, JsonAgreesWithThePlans) {
  const nlohmann::json list = nlohmann::json::parse(show({"--json", "--fits", "12GB"}).text);
  ASSERT_EQ(list.size(), 11U);
  for (const nlohmann::json& preset : list) {
    const std::string recompute = preset.at("recompute");
    EXPECT_EQ(preset.at("planned_bytes"), preset.at("planned_bytes_by_recompute").at(recompute)) << preset;
    const std::int64_t bytes = preset.at("planned_bytes");
    EXPECT_EQ(preset.at("fits") == "no", bytes > 12'000'000'000) << preset;
    EXPECT_EQ(preset.at("class_gb"), memory_class_gb(bytes));
  }
}

TEST(ShowConfigs, SayWhichTypeTheyArePlannedIn) {
  EXPECT_THAT(show({}).text, HasSubstr("planned in bfloat16 (dtype auto on"));
  EXPECT_THAT(show({"--markdown"}).text, HasSubstr("training in bfloat16 (`dtype` auto on"));
}

TEST(ShowConfigs, DiffNamesWhatDiffers) {
  const std::string text = show({"--diff", "150M", "150M_1024.json"}).text;
  EXPECT_THAT(text, AllOf(HasSubstr("block_size"), HasSubstr("256"), HasSubstr("1024"), HasSubstr("+589,824"),
                          HasSubstr("training total")));
  EXPECT_THAT(show({"--diff", "tiny", "tiny"}).text, HasSubstr("all keys are equal"));
}

TEST(ShowConfigs, TellsWhatItTakesWithoutEffect) {
  std::ostringstream out;
  RecordingLogger log;
  const std::vector<std::string> arguments = {"tiny", "--compile", "--configs", kFolder};
  EXPECT_EQ(run_show_configs(arguments, out, log), 0);
  EXPECT_THAT(log.lines(), ::testing::ElementsAre(HasSubstr("config   --compile has no effect")));
}

TEST(ShowConfigs, BadInputIsNamed) {
  EXPECT_THAT(show_error({"--diff", "150M", "150M_1025"}), HasSubstr("did you mean 150M_1024"));
  EXPECT_THAT(show_error({"--fits", "12 gigs"}), HasSubstr("12 gigs"));
  EXPECT_THAT(show_error({"--gpu", "H1000"}), HasSubstr("did you mean"));
  EXPECT_THAT(show_error({"--what"}), HasSubstr("--what: unknown"));
  EXPECT_THAT(show_error({"--batch_size", "3"}), HasSubstr("--batch_size: unknown"));
  EXPECT_THAT(show_error({"--report_to", "wandb"}), HasSubstr("--report_to: no such flag here"));
  std::ostringstream out;
  NullLogger log;
  const test_support::TemporaryDirectory empty;
  const std::vector<std::string> arguments = {"--configs", empty.path().string()};
  EXPECT_THAT(user_error_of([&] { (void)run_show_configs(arguments, out, log); }), HasSubstr("there are no presets"));
}

// The tables are planned without a device, so that they are the same everywhere; this machine's own plan must be near them, and
// not above by more than a library's whims. They count a GPU's chunk of logits: with that left aside, both have one of a size.
TEST(ShowConfigs, TablesAreNearThisMachinesPlans) {
  std::vector<DType> dtypes = {DType::kFloat32};
  if (cpu_multiplies_bfloat16()) dtypes.push_back(DType::kBFloat16);
  for (const Preset& preset : load_presets(kFolder, any_machine())) {
    for (const DType dtype : dtypes) {
      TrainingShape shape = preset.shape;
      shape.dtype = dtype;
      shape.logits_chunk = 333;
      CommandLine line = preset.subject.command_line;
      set_config_value(line.config, "threads", "2", "test");
      set_config_value(line.config, "dtype", name_of(dtype), "test");
      set_config_value(line.config, "logits_chunk", "333", "test");
      const PlannedSubject planned = plan_subject(make_subject({}, line, {}));
      const auto ratio = static_cast<double>(planned.get().total_bytes()) /
                         static_cast<double>(plan_training(shape, PlanningTraits()).total_bytes());
      EXPECT_LT(ratio, 1.01) << preset.name << " " << name_of(dtype);
      EXPECT_GT(ratio, 0.94) << preset.name << " " << name_of(dtype);
    }
  }
}

struct PlannedClass {
  const char* preset;
  int gb;
};
// What a preset is for, in bfloat16.
constexpr PlannedClass kPlannedClasses[] = {{"small", 4},      {"150M", 8},       {"150M_1024", 12},
                                            {"200M", 12},      {"200M_1024", 16}, {"250M", 16},
                                            {"250M_1024", 16}, {"350M_1024", 20}, {"500M_1024", 24}};

TEST(ShowConfigs, PresetsFitTheirClassInBfloat16WithTheLeastRecomputation) {
  constexpr std::int64_t kFree = std::int64_t{1} << 30;
  const std::vector<Preset> presets = load_presets(kFolder, any_machine());
  for (const PlannedClass& planned_class : kPlannedClasses) {
    const Preset& preset = find_preset(presets, planned_class.preset);
    ASSERT_EQ(preset.shape.dtype, DType::kBFloat16) << preset.name;
    const std::int64_t limit = planned_class.gb * std::int64_t{1'000'000'000} - kFree;
    const auto bytes_at = [&](Recompute recompute) { return preset.planned_bytes[static_cast<std::size_t>(recompute)]; };
    EXPECT_LE(bytes_at(preset.shape.recompute), limit) << preset.name;
    if (preset.shape.recompute == Recompute::kNone) continue;
    const auto less = static_cast<Recompute>(static_cast<int>(preset.shape.recompute) - 1);
    EXPECT_GT(bytes_at(less), limit) << preset.name << " fits at " << name_of(less);
  }
}

TEST(ShowConfigs, ClassesKeepOneGibFree) {
  constexpr std::int64_t kGib = std::int64_t{1} << 30;
  EXPECT_EQ(memory_class_gb(4'000'000'000 - kGib), 4);
  EXPECT_EQ(memory_class_gb(4'000'000'001 - kGib), 8);
  EXPECT_EQ(memory_class_gb(80'000'000'000), 0);
}

TEST(GeneratedDocs, PresetTableIsFresh) {
  EXPECT_EQ(read_file(test_support::repository_path("configs/README.md"), 1 << 20), show({"--markdown"}).text)
      << "run: build/show_configs --markdown > configs/README.md";
}

TEST(GeneratedDocs, ReadmeTableIsFresh) {
  const std::string readme = test_support::repository_path("README.md");
  EXPECT_EQ(read_file(readme, 1 << 20), show({"--readme", readme}).text)
      << "run: build/show_configs --readme README.md > README.new && mv README.new README.md";
}

TEST(GeneratedDocs, RenewingKeepsWhatStandsAround) {
  const std::string readme = std::string("before\n") + kTableBegin + "old\n" + kTableEnd + "after\n";
  EXPECT_EQ(renew_table(readme, "new\n"), std::string("before\n") + kTableBegin + "new\n" + kTableEnd + "after\n");
  EXPECT_THAT(user_error_of([] { (void)renew_table("no markers", "x"); }), HasSubstr("no table"));
}

}  // namespace
}  // namespace virgil

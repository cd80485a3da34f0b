#include "virgil/train/preset_choice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "support/temporary_directory.h"
#include "virgil/base/logging.h"
#include "virgil/config/config_schema.h"
#include "virgil/plan/catalogue.h"

namespace virgil {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr std::int64_t kBookBytes = 1'000'000;
constexpr std::int64_t kLibraryBytes = 5'000'000'000;

PresetChoice choose(const Machine& machine, double product_gflops, std::int64_t text_bytes,
                    std::vector<std::string> flags = {}) {
  flags.push_back("--input=text");
  return choose_preset(parse_train_command_line(flags),
                       {.machine = machine, .product_gflops = product_gflops, .text_bytes = text_bytes});
}

/// A GPU with all of its memory free, and products at so many TFLOP/s.
PresetChoice choose_on_gpu(const char* name, double tflops, std::int64_t text_bytes,
                           const std::vector<std::string>& flags = {}) {
  return choose(machine_of(*find_gpu(name)), 1000 * tflops, text_bytes, flags);
}

PresetChoice choose_on_cpu(double gflops, std::int64_t text_bytes, const std::vector<std::string>& flags = {}) {
  Machine machine = any_machine();
  machine.free_bytes = std::int64_t{16} << 30;
  return choose(machine, gflops, text_bytes, flags);
}

TEST(PresetChoice, OnASmallGpuIsWhatFits) {
  const PresetChoice choice = choose_on_gpu("RTX 3050", 14, kLibraryBytes);  // 8 GB
  EXPECT_EQ(choice.preset, "150M");
  EXPECT_THAT(choice.reason, AllOf(HasSubstr("GiB and about "), HasSubstr(" here; the next larger one, 150M_1024, needs ")));
}

TEST(PresetChoice, OnALargerGpuIsLarger) {
  EXPECT_EQ(choose_on_gpu("RTX 4090", 140, kLibraryBytes).preset, "500M_1024");
  const PresetChoice choice = choose_on_gpu("A100 80GB", 250, kLibraryBytes);
  EXPECT_EQ(choice.preset, "500M_1024");
  EXPECT_THAT(choice.reason, Not(HasSubstr("larger"))) << "there is none";
}

TEST(PresetChoice, OnASlowGpuIsWhatADayIsEnoughFor) {
  const PresetChoice choice = choose_on_gpu("RTX 4090", 10, kLibraryBytes);
  EXPECT_EQ(choice.preset, "200M");
  EXPECT_THAT(choice.reason, HasSubstr("would take about"));
}

TEST(PresetChoice, OnACpuIsTinyUnlessTheCpuIsFast) {
  const PresetChoice choice = choose_on_cpu(400, kLibraryBytes);
  EXPECT_EQ(choice.preset, "tiny");
  EXPECT_THAT(choice.reason, AllOf(HasSubstr(" here; the next larger one, small, would take about ")));
  EXPECT_EQ(choose_on_cpu(4000, kLibraryBytes).preset, "small");
}

TEST(PresetChoice, OfABookIsTinyEverywhere) {
  const PresetChoice choice = choose_on_gpu("H100", 600, kBookBytes);
  EXPECT_EQ(choice.preset, "tiny");
  EXPECT_THAT(choice.reason, HasSubstr("small, is for 187 MB of text or more"));
  EXPECT_EQ(choose_on_cpu(4000, kBookBytes).preset, "tiny");
  EXPECT_EQ(choose_on_cpu(4000, 0).preset, "tiny") << "a text that is not there";
  EXPECT_EQ(choose_on_gpu("H100", 600, 700'000'000).preset, "150M_1024");
}

TEST(PresetChoice, CountsTheFlags) {
  EXPECT_EQ(choose_on_cpu(400, kLibraryBytes, {"--max_iters=100"}).preset, "small");
  EXPECT_EQ(choose_on_gpu("H100", 600, kLibraryBytes, {"--max_memory=1GB"}).preset, "tiny");
  EXPECT_THAT(choose_on_gpu("RTX 4090", 140, kLibraryBytes, {"--epochs=100"}).reason, HasSubstr("would take about"));
  EXPECT_EQ(choose_on_gpu("RTX 4090", 140, kLibraryBytes, {"--tokenizer=mine.json"}).preset, "500M_1024")
      << "whatever its size";
}

TEST(PresetChoice, IsToldAndAnotherCommandStaysAsItIs) {
  const test_support::TemporaryDirectory folder;
  const std::filesystem::path text = folder.path() / "book.txt";
  std::ofstream(text) << "Nel mezzo del cammin di nostra vita\n";
  const std::unique_ptr<ProcessGroup> alone = make_single_process_group();
  RecordingLogger log;
  const std::string input = "--input=" + text.string();
  const auto settle = [&](const std::vector<std::string>& flags) {
    return with_chosen_preset(parse_train_command_line(flags), *alone, log).config.n_embd;
  };
  EXPECT_EQ(settle({input, "--device=cpu", "--threads=1"}), 384);
  EXPECT_THAT(log.lines(), ElementsAre(AllOf(HasSubstr("the preset tiny"), HasSubstr("--config NAME takes another"))));
  log = {};
  EXPECT_EQ(settle({input, "--n_layer=12"}), 768);
  EXPECT_EQ(settle({input, "--config=small"}), 448);
  EXPECT_THAT(log.lines(), IsEmpty());
}

}  // namespace
}  // namespace virgil

#include "virgil/config/program_flags.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "support/user_error.h"

namespace virgil {
namespace {

using test_support::user_error_of;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using enum ToolFlag::Takes;

const std::vector<ToolFlag> kOwnFlags = {{"json", kNothing},
                                         {"split", kNothing},
                                         {"no_split", kNothing},
                                         {"model", kValue, "NAME"},
                                         {"fits", kOptionalValue, "[MEMORY]"},
                                         {"compare", kTwoValues, "A B"},
                                         {"files", kValues},
                                         {"threads", kValue}};
constexpr FlagName kOtherNames[] = {{"-m", "model", ""}, {"--arch", "model", ""}, {"--beams", "", "there is no beam search"}};

ProgramLine parse_tool(const std::vector<std::string>& arguments, bool takes_keys = true) {
  return parse_program_line(arguments,
                            {.program = "tool", .own = kOwnFlags, .takes_keys = takes_keys, .other_names = kOtherNames});
}
std::string tool_error(const std::vector<std::string>& arguments, bool takes_keys = true) {
  return user_error_of([&] { (void)parse_tool(arguments, takes_keys); });
}

TEST(ProgramFlags, StandAmongKeysAndWords) {
  const ProgramLine read = parse_tool({"tiny", "--model", "gpt2", "--n-layer=3", "--json", "--fits", "--compare=a", "b", "c"});
  EXPECT_EQ(read.own.value("model"), "gpt2");
  EXPECT_EQ(read.line.config.n_layer, 3);
  EXPECT_THAT(read.line.set_keys, ElementsAre("n_layer"));
  EXPECT_THAT(read.line.words, ElementsAre("tiny", "c"));
  EXPECT_TRUE(read.own.has("json") && !read.own.has("files"));
  EXPECT_EQ(read.own.value("fits"), "");
  EXPECT_EQ(read.own.value("threads"), std::nullopt);
  EXPECT_THAT(read.own.values("compare"), ElementsAre("a", "b"));
}

TEST(ProgramFlags, OfAProgramComeBeforeKeysOfTheName) {
  const ProgramLine read = parse_tool({"--threads", "4"});
  EXPECT_EQ(read.own.value("threads"), "4");
  EXPECT_THAT(read.line.set_keys, IsEmpty());
}

TEST(ProgramFlags, CountTheLastTimeAndKeepTheirOrder) {
  const ProgramLine read = parse_tool({"--model", "a", "--files", "x", "y", "--model=", "--fits=1GB"});
  EXPECT_EQ(read.own.value("model"), "");
  EXPECT_EQ(read.own.value("fits"), "1GB");
  ASSERT_EQ(read.own.given().size(), 4U);
  EXPECT_EQ(read.own.given()[1].name, "files");
  EXPECT_THAT(read.own.given()[1].values, ElementsAre("x", "y"));
}

TEST(ProgramFlags, SwitchAsTrainsDo) {
  for (const std::vector<std::string>& off : std::vector<std::vector<std::string>>{
           {"--json", "--no_json"}, {"--json", "--json=false"}, {"--json", "--json", "False"}, {"--no-json"}}) {
    EXPECT_FALSE(parse_tool(off).own.has("json")) << testing::PrintToString(off);
  }
  EXPECT_TRUE(parse_tool({"--json", "yes"}).own.has("json"));
  EXPECT_TRUE(parse_tool({"--split", "false"}).own.has("no_split"))
      << "what is on by itself is switched off by its counterpart";
  EXPECT_THAT(tool_error({"--json=maybe"}), HasSubstr("--json is \"maybe\", but takes true or false"));
}

TEST(ProgramFlags, HaveNamesOfOtherPrograms) {
  EXPECT_EQ(parse_tool({"-m", "x"}).own.value("model"), "x");
  EXPECT_EQ(parse_tool({"-m=x"}).own.value("model"), "x");
  EXPECT_EQ(parse_tool({"--arch", "x"}).own.value("model"), "x");
  EXPECT_THAT(tool_error({"--beams", "4"}), AllOf(HasSubstr("--beams: no such flag here"), HasSubstr("no beam search")));
}

TEST(ProgramFlags, WithoutKeysTakeForeignOnesThatComeToTheirOwn) {
  EXPECT_THAT(tool_error({"--n_layer", "3"}, false), HasSubstr("--n_layer: unknown flag"));
  EXPECT_EQ(parse_tool({"--num_threads", "2"}, false).own.value("threads"), "2");
  const ProgramLine read = parse_tool({"--wandb_log", "False", "--json"}, false);
  EXPECT_TRUE(read.own.has("json"));
  EXPECT_EQ(read.line.notes.size(), 1U);
}

TEST(ProgramFlags, ThatAreWrongAreNamedWithTheRemedy) {
  EXPECT_THAT(tool_error({"--model"}), HasSubstr("--model: its value is missing; write --model NAME"));
  EXPECT_THAT(tool_error({"--compare", "a", "--json"}), HasSubstr("--compare: it takes two values; write --compare A B"));
  EXPECT_THAT(tool_error({"--modle", "a"}),
              AllOf(HasSubstr("--modle: unknown flag; did you mean --model?"), HasSubstr("tool --help")));
  EXPECT_THAT(tool_error({"--n_layr", "3"}), HasSubstr("did you mean --n_layer?"));
  EXPECT_THAT(tool_error({"-json"}), HasSubstr("write --json"));
  EXPECT_THAT(tool_error({"-b", "3"}, false), AllOf(HasSubstr("flags have two dashes"), Not(HasSubstr("llm.c"))));
}

TEST(ProgramFlags, LeaveTheRestUnreadForHelp) {
  EXPECT_TRUE(parse_tool({"--modle", "--help"}).line.help);
  EXPECT_TRUE(parse_tool({"--version", "--modle"}, false).line.version);
}

TEST(ProgramFlags, AreListedInOneLayout) {
  const std::string text = describe_flags(
      std::vector<ToolFlag>{{"top", kValue, "N", "How many."}, {"a_name_that_is_too_long", kValue, "FILE", "Where."}});
  EXPECT_EQ(text, "  --top N                 How many.\n  --a_name_that_is_too_long FILE\n                          Where.\n");
  const std::string wrapped = help_entry("--x", std::string(60, 'a') + " " + std::string(60, 'b'));
  EXPECT_THAT(wrapped, HasSubstr("a\n                          b"));
}

}  // namespace
}  // namespace virgil

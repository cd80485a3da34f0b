#include "virgil/config/default_preset.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "virgil/config/config_schema.h"

namespace virgil {
namespace {

using ::testing::ElementsAre;

CommandLine parsed_line(const std::vector<std::string>& flags) { return parse_train_command_line(flags); }
bool is_open(const std::vector<std::string>& flags) { return leaves_model_open(parsed_line(flags)); }

TEST(DefaultPreset, IsForCommandsThatSayNothingOfTheModel) {
  EXPECT_TRUE(is_open({"--input=book.txt", "--max_iters=7"}));
  EXPECT_FALSE(is_open({"--input=book.txt", "--n_layer=12"}));
  EXPECT_FALSE(is_open({"--input=book.txt", "--init_from=gpt2"}));
  EXPECT_FALSE(is_open({"--input=book.txt", "--resume"}));
  EXPECT_FALSE(is_open({"--n_head=12"}));
  EXPECT_FALSE(is_open({"--max_iters=7"})) << "no text";
  EXPECT_FALSE(is_open({"--input=book.txt", "--config=small"}));
}

TEST(DefaultPreset, LeavesTheFlagsInForce) {
  const TrainConfig config = with_preset(parsed_line({"--input=book.txt", "--max_iters=7"}), "tiny").config;
  EXPECT_EQ(config.n_embd, 384);
  EXPECT_EQ(config.tokenizer, "char");
  EXPECT_EQ(config.max_iters, 7);
  EXPECT_THAT(config.input, ElementsAre("book.txt"));
}

TEST(DefaultPreset, KeepsTheTokenizerOfTokenFiles) {
  EXPECT_EQ(with_preset(parsed_line({"--input=train.bin"}), "tiny").config.tokenizer, "gpt2");
}

}  // namespace
}  // namespace virgil

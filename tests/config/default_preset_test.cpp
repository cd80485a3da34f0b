#include "virgil/config/default_preset.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "virgil/base/logging.h"
#include "virgil/config/config_schema.h"

namespace virgil {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class DefaultPreset : public testing::Test {
 protected:
  TrainConfig with(const std::vector<std::string>& flags, bool has_gpu = false) {
    return with_default_preset(parse_train_command_line(flags), has_gpu, log_).config;
  }
  RecordingLogger log_;
};

TEST_F(DefaultPreset, IsTinyOnACpuWhereNothingSaysOfTheModel) {
  const TrainConfig config = with({"--input=book.txt", "--max_iters=7"});
  EXPECT_EQ(config.n_embd, 384);
  EXPECT_EQ(config.tokenizer, "char");
  EXPECT_EQ(config.max_iters, 7) << "flags count";
  EXPECT_THAT(config.input, ElementsAre("book.txt"));
  EXPECT_THAT(log_.lines(), ElementsAre(HasSubstr("the preset tiny")));
}

TEST_F(DefaultPreset, LeavesOtherCommandsAlone) {
  EXPECT_EQ(with({"--input=book.txt"}, true).n_embd, 768) << "a GPU";
  EXPECT_EQ(with({"--input=book.txt", "--n_layer=12"}).n_embd, 768);
  EXPECT_EQ(with({"--input=book.txt", "--init_from=gpt2"}).n_embd, 768);
  EXPECT_EQ(with({"--input=book.txt", "--resume"}).n_embd, 768);
  EXPECT_EQ(with({"--n_head=12"}).n_embd, 768);
  EXPECT_EQ(with({"--input=book.txt", "--config=small"}).n_embd, 448);
  EXPECT_THAT(log_.lines(), IsEmpty());
}

TEST_F(DefaultPreset, KeepsTheTokenizerOfTokenFiles) { EXPECT_EQ(with({"--input=train.bin"}).tokenizer, "gpt2"); }

}  // namespace
}  // namespace virgil

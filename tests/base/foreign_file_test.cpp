#include "virgil/base/foreign_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace virgil {
namespace {

using namespace std::string_literals;
using testing::HasSubstr;

std::string described(const std::string& start) { return describe_foreign_file(start).value_or("its own"); }

TEST(ForeignFile, IsNamedByItsFirstBytes) {
  EXPECT_THAT(described("version https://git-lfs.github.com/spec/v1\noid sha256:cd\nsize 7\n"), HasSubstr("git lfs pull"));
  EXPECT_THAT(described("<!DOCTYPE html><html>"), HasSubstr("web page"));
  EXPECT_THAT(described("\xEF\xBB\xBF \n<HTML lang=en>"), HasSubstr("web page"));
  EXPECT_THAT(described("\x1F\x8B\x08\0"s), HasSubstr("gunzip"));
  EXPECT_THAT(described("PK\x03\x04............archive/data.pkl"), HasSubstr("PyTorch pickle"));
  EXPECT_THAT(described("PK\x03\x04............word/document.xml"), HasSubstr("unzip"));
  EXPECT_THAT(described("\x80\x02}q\0"s), HasSubstr("pickle"));
  EXPECT_THAT(described("GGUF\x03"), HasSubstr("GGUF"));
}

TEST(ForeignFile, LeavesOthersAlone) {
  EXPECT_EQ(described(""), "its own");
  EXPECT_EQ(described("{\"version\": \"1.0\"}"), "its own");
  EXPECT_EQ(described("\x80\x02\0\0\0\0\0\0{\"a\""s), "its own") << "a safetensors header of 640 bytes";
  EXPECT_EQ(described("IQ== 0\nIg== 1\n"), "its own");
  EXPECT_EQ(described("#version: 0.2\n"), "its own");
  EXPECT_EQ(described("version 2"), "its own");
  EXPECT_EQ(described("\x80"), "its own");
}

}  // namespace
}  // namespace virgil

#include "virgil/base/logging.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace virgil {
namespace {

TEST(RecordingLogger, KeepsLinesInOrderAndMarksWarnings) {
  RecordingLogger logger;
  logger.info("step 0");
  logger.warn("fewer tokens than parameters");
  EXPECT_THAT(logger.lines(), testing::ElementsAre("step 0", "warning: fewer tokens than parameters"));
}

}  // namespace
}  // namespace virgil

#include "virgil/config/foreign_names.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <string_view>

#include "support/repository.h"
#include "support/temporary_directory.h"
#include "virgil/config/config_schema.h"

namespace virgil {
namespace {

using Kind = ForeignName::Kind;

TEST(ForeignNames, MeanKeysThatAreThere) {
  for (const ForeignName& foreign : foreign_names()) {
    if (foreign.kind != Kind::kSame && foreign.kind != Kind::kSwitch) {
      EXPECT_FALSE(foreign.note.empty()) << foreign.name;
      continue;
    }
    const ConfigKey* key = find_config_key(foreign.key);
    ASSERT_NE(key, nullptr) << foreign.name;
    EXPECT_EQ(key->name, foreign.key) << foreign.name;
    TrainConfig config;
    for (const std::string_view value : {foreign.on, foreign.off}) {
      if (!value.empty()) {
        EXPECT_NO_THROW(set_config_value(config, foreign.key, value, foreign.name));
      }
    }
  }
  for (const ShortFlag& flag : short_flags()) EXPECT_NE(find_config_key(flag.key), nullptr) << flag.name;
}

TEST(ForeignNames, AreNoKeysAndStandOnce) {
  std::set<std::string> names;
  for (const ConfigKey& key : config_keys()) {
    names.insert(key.name);
    names.insert(key.aliases.begin(), key.aliases.end());
  }
  for (const ForeignName& foreign : foreign_names()) {
    EXPECT_TRUE(names.insert(std::string(foreign.name)).second) << foreign.name;
  }
}

TEST(ForeignNames, AreFoundInAnySpelling) {
  EXPECT_EQ(find_foreign_name("Save-Steps")->key, "save_interval");
  EXPECT_EQ(find_foreign_name("wandb_run_name")->name, "wandb_*");
  EXPECT_EQ(find_foreign_name("n_layer"), nullptr);
  EXPECT_EQ(find_config_key("save-steps")->name, "save_interval");
}

TEST(ForeignNames, StandInTheDocumentation) {
  EXPECT_EQ(test_support::read_all(test_support::repository_path("docs/foreign-flags.md")), foreign_names_markdown())
      << "run: build/config_docs --foreign > docs/foreign-flags.md";
}

}  // namespace
}  // namespace virgil

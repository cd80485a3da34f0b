// Added tokens of every kind: the same ids as Hugging Face's `tokenizers` (tests/reference/make_added_words_golden.py).
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <vector>

#include "data/byte_pair_tokenizer.h"
#include "data/vocabulary.h"

namespace virgil {
namespace {

using nlohmann::json;

TEST(AddedWords, GiveTheIdsOfTokenizers) {
  const json base = test_support::read_golden("foreign_tokenizers.json")["base"];
  const json golden = test_support::read_golden("added_words.json");
  std::size_t texts = 0;
  for (const json& entry : golden["cases"]) {
    json document = base;
    document.merge_patch(entry["patch"]);
    const BytePairTokenizer loaded(read_tokenizer_json(document.dump(), "t"), "t");
    for (const auto& [text, ids] : entry["texts"].items()) {
      EXPECT_EQ(loaded.encode(text), ids.get<std::vector<std::int32_t>>()) << json(text) << " with " << entry["patch"];
      ++texts;
    }
  }
  EXPECT_GE(texts, 300U);
}

}  // namespace
}  // namespace virgil

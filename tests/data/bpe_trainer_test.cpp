#include "data/bpe_trainer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <omp.h>

#include <nlohmann/json.hpp>
#include <vector>

#include "data/vocabulary.h"
#include "support/user_error.h"

namespace virgil {
namespace {

using test_support::kTercets;
using testing::HasSubstr;

// ids, merges and encoding as Hugging Face's BpeTrainer and BPE model make them.
TEST(BpeTrainer, FindsTheMergesOfHuggingFace) {
  for (const auto& entry : test_support::read_golden("bpe_merges.json")) {
    WordCounter counter;
    const std::string text = entry["text"];
    counter.add(text);
    const BytePairVocabulary vocabulary = train_byte_pairs(counter.counts(), entry["vocab_size"]);
    const auto model = nlohmann::json::parse(write_tokenizer_json(vocabulary))["model"];
    EXPECT_EQ(model["merges"], entry["merges"]);
    auto vocab = model["vocab"];
    EXPECT_EQ(vocab["<|endoftext|>"], entry["vocab_size"].get<int>() - 1);
    vocab.erase("<|endoftext|>");
    EXPECT_EQ(vocab, entry["vocab"]);
    const auto tokenizer = make_tokenizer("bpe:" + entry["vocab_size"].dump(), text);
    EXPECT_EQ(tokenizer->encode(text), entry["ids"].get<std::vector<std::int32_t>>());
  }
}

TEST(BpeTrainer, DoesNotDependOnPiecesOrThreads) {
  std::string text;
  while (text.size() < 600000) text += kTercets + std::to_string(text.size() * 7919 % 10007);
  const std::string expected = make_tokenizer("bpe:500", text)->fingerprint();
  WordCounter pieces;
  const std::size_t cut = text.find(" ", 300000);
  pieces.add(std::string_view(text).substr(0, cut));
  pieces.add(std::string_view(text).substr(cut));
  EXPECT_EQ(fingerprint_of(train_byte_pairs(pieces.counts(), 500)), expected);
  const int num_threads = omp_get_max_threads();
  omp_set_num_threads(3);
  EXPECT_EQ(make_tokenizer("bpe:500", text)->fingerprint(), expected);
  omp_set_num_threads(num_threads);
}

TEST(BpeTrainer, NamesTheSizeThatWorks) {
  const std::string message = test_support::user_error_of([] { (void)make_tokenizer("bpe:4096", "ab ab abab"); });
  EXPECT_THAT(message, HasSubstr("bpe:4096"));
  // "ab" and " ab" (" ab" occurs twice), 256 bytes and the end of text
  EXPECT_THAT(message, HasSubstr("use bpe:259 or less"));
  EXPECT_EQ(make_tokenizer("bpe:259", "ab ab abab")->vocab_size(), 259);
}

TEST(BpeTrainer, RefusesSizesThatCannotBe) {
  for (const char* spec : {"bpe:256", "bpe:0", "bpe:-5", "bpe:99999999", "bpe:", "bpe:12x", "bpe:99999999999999999999"}) {
    EXPECT_THROW((void)make_tokenizer(spec, kTercets), UserError) << spec;
  }
}

}  // namespace
}  // namespace virgil

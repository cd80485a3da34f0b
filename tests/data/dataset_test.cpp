#include "virgil/data/dataset.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "data/byte_pair_tokenizer.h"
#include "data/byte_pair_vocabulary.h"
#include "data/token_vectors.h"
#include "data/vocabulary.h"
#include "support/temporary_directory.h"
#include "support/user_error.h"
#include "virgil/data/token_file.h"

namespace virgil {
namespace {

TEST(SplitText, CutsTheTailAtACharacterBoundary) {
  const TextSplit split = split_text("0123456789", 0.1);
  EXPECT_EQ(split.train, "012345678");
  EXPECT_EQ(split.val, "9");
  const std::string wide = "ab\u6F22cd";  // the cut at 3.5 bytes falls into the three bytes of the middle character
  EXPECT_EQ(split_text(wide, 0.5).train, "ab\u6F22");
  EXPECT_EQ(split_text(wide, 0.5).val, "cd");
}

TEST(SplitText, KeepsEverythingForZero) {
  EXPECT_EQ(split_text("abc", 0.0).train, "abc");
  EXPECT_TRUE(split_text("abc", 0.0).val.empty());
}

TEST(SplitText, RefusesFractionsOutsideTheRange) {
  for (const double fraction : {-0.1, 1.0, 2.0, std::numeric_limits<double>::quiet_NaN()}) {
    EXPECT_THROW((void)split_text("abc", fraction), UserError);
  }
}

TEST(Tokenize, GivesIdsBytesAndFingerprint) {
  const auto tokenizer = make_tokenizer("byte", "");
  const TokenData data = tokenize(*tokenizer, "abc");
  EXPECT_EQ(test_support::to_vector(data.tokens), (std::vector<std::int32_t>{97, 98, 99}));
  EXPECT_EQ(data.text_bytes, 3);
  EXPECT_EQ(data.fingerprint.size(), 64U);
  EXPECT_EQ(data.fingerprint, tokenize(*tokenizer, "abc").fingerprint);
  EXPECT_NE(data.fingerprint, tokenize(*tokenizer, "abd").fingerprint);
}

class LoadDataset : public testing::Test {
 protected:
  std::string write(const std::string& name, std::string_view bytes) {
    const std::filesystem::path path = directory_.path() / name;
    std::filesystem::create_directories(path.parent_path());
    test_support::write_all(path, bytes);
    return path.string();
  }
  std::string write_tokens(const std::string& name, TokenFileFormat format, const Tokenizer& tokenizer, std::string_view text) {
    const std::filesystem::path path = directory_.path() / name;
    write_token_file(*files_, path, format, tokenizer, tokenizer.encode(text), static_cast<std::int64_t>(text.size()));
    return path.string();
  }
  Dataset load(const DataRequest& request) { return load_dataset(request, *files_, log_); }
  std::string error_of(const DataRequest& request) {
    return test_support::user_error_of([&] { (void)load(request); });
  }
  static std::string text_of(const Dataset& dataset, const TokenData& data) {
    return dataset.tokenizer->decode(test_support::to_vector(data.tokens));
  }

  test_support::TemporaryDirectory directory_;
  std::unique_ptr<FileSystem> files_ = make_posix_file_system();
  RecordingLogger log_;
};

TEST_F(LoadDataset, EqualsReadingSplittingAndTokenizing) {
  const std::string path = write("dante.txt", test_support::kTercets);
  for (const char* spec : {"byte", "char", "bpe:280"}) {
    const Dataset dataset = load({.inputs = {path}, .val_fraction = 0.2, .tokenizer = spec});
    const TextSplit split = split_text(test_support::kTercets, 0.2);
    EXPECT_EQ(dataset.tokenizer->fingerprint(), make_tokenizer(spec, split.train)->fingerprint());
    EXPECT_EQ(dataset.train.fingerprint, tokenize(*dataset.tokenizer, split.train).fingerprint);
    EXPECT_EQ(dataset.train.text_bytes, static_cast<std::int64_t>(split.train.size()));
    ASSERT_TRUE(dataset.val.has_value());
    EXPECT_EQ(dataset.val->fingerprint, tokenize(*dataset.tokenizer, split.val).fingerprint);
    EXPECT_EQ(dataset.val->text_bytes, static_cast<std::int64_t>(split.val.size()));
  }
}

TEST_F(LoadDataset, PutsTheEndOfTextBetweenDocuments) {
  write("texts/a.txt", "selva selva");
  write("texts/b/c.txt", "oscura oscura");
  write("texts/.hidden", "not this");
  const Dataset dataset = load({.inputs = {(directory_.path() / "texts").string()}, .val_fraction = 0, .tokenizer = "bpe:262"});
  EXPECT_EQ(text_of(dataset, dataset.train), "selva selva<|endoftext|>oscura oscura");
  EXPECT_EQ(dataset.train.text_bytes, 24);
  EXPECT_EQ(dataset.num_documents, 2);
  EXPECT_FALSE(dataset.val.has_value());
}

// The ids are those of tiktoken with allowed_special={"<|endoftext|>"}.
TEST_F(LoadDataset, EndsDocumentsAtTheMarksOfAText) {
  const std::string marked = write("marked.txt", "selva\n<|endoftext|>\noscura selva oscura<|endoftext|>");
  const Dataset dataset = load({.inputs = {marked}, .val_fraction = 0, .tokenizer = "bpe:258"});
  const std::int32_t end = dataset.tokenizer->end_of_text();
  const std::vector<std::int32_t> ids = test_support::to_vector(dataset.train.tokens);
  EXPECT_EQ(std::ranges::count(ids, end), 2);
  EXPECT_EQ(ids.back(), end);
  EXPECT_EQ(text_of(dataset, dataset.train), "selva\n<|endoftext|>\noscura selva oscura<|endoftext|>");
  EXPECT_EQ(dataset.train.text_bytes, 26);
  EXPECT_EQ(dataset.num_documents, 2);
  EXPECT_EQ(dataset.num_marks, 2);
  EXPECT_TRUE(dataset.marks_split);
  // The mark is no part of what the vocabulary is trained on: without it the same merges are found.
  const Dataset plain = load({.inputs = {write("p1.txt", "selva\n"), write("p2.txt", "\noscura selva oscura")},
                              .val_fraction = 0,
                              .tokenizer = "bpe:258"});
  EXPECT_EQ(plain.tokenizer->fingerprint(), dataset.tokenizer->fingerprint());
}

/// Bytes, and "</s>" as the end of text.
std::shared_ptr<const Tokenizer> make_sentence_tokenizer() {
  BytePairVocabulary vocabulary = byte_vocabulary();
  vocabulary.end_of_text = static_cast<std::int32_t>(vocabulary.tokens.size());
  vocabulary.tokens.emplace_back("</s>");
  return std::make_shared<BytePairTokenizer>(std::move(vocabulary), "test");
}

TEST_F(LoadDataset, EndsDocumentsAtTheTokenizersOwnMark) {
  const std::string marked = write("marked.txt", "ab</s>cd<|endoftext|>ef");
  const Dataset dataset = load({.inputs = {marked}, .val_fraction = 0, .made_tokenizer = make_sentence_tokenizer()});
  const std::vector<std::int32_t> ids = test_support::to_vector(dataset.train.tokens);
  EXPECT_EQ(std::ranges::count(ids, dataset.tokenizer->end_of_text()), 1);
  EXPECT_EQ(text_of(dataset, dataset.train), "ab</s>cd<|endoftext|>ef");
  EXPECT_EQ(dataset.num_documents, 2);
  EXPECT_EQ(dataset.end_mark, "</s>");
  EXPECT_EQ(dataset.num_marks, 1);
  EXPECT_THAT(log_.lines().back(), testing::AllOf(testing::HasSubstr("<|endoftext|> stands once in the texts"),
                                                  testing::HasSubstr("sed 's#<|endoftext|>#</s>#g'")));
}

TEST_F(LoadDataset, TellsWhatEachFilePutsIntoTheTokens) {
  write("texts/a.txt", "selva<|endoftext|>selva<|endoftext|>");
  write("texts/b.txt", "oscura oscura");
  write("texts/c.jsonl", "{\"text\": \"a\"}\n{\"text\": \"b\"}\n");
  const Dataset dataset =
      load({.inputs = {(directory_.path() / "texts").string()}, .val_fraction = 0, .tokenizer = "bpe:257", .tell_files = true});
  ASSERT_EQ(dataset.files.size(), 3U);
  EXPECT_EQ(text_of(dataset, dataset.train), "selva<|endoftext|>selva<|endoftext|>oscura oscura<|endoftext|>a<|endoftext|>b");
  EXPECT_EQ(dataset.files[0].num_tokens, 12) << "bytes and ends of text";
  EXPECT_EQ(dataset.files[0].text_bytes, 10);
  EXPECT_EQ(dataset.files[1].num_tokens, 14);
  EXPECT_EQ(dataset.files[2].num_tokens, 3);
  EXPECT_EQ(dataset.files[2].path.filename(), "c.jsonl");
}

TEST_F(LoadDataset, TakesMarksForTextWhereItMustAndSaysSo) {
  const std::string marked = write("marked.txt", "ab<|endoftext|>cd<|endoftext|>");
  DataRequest request{.inputs = {marked}, .val_fraction = 0, .tokenizer = "byte"};
  EXPECT_EQ(load(request).train.tokens.size(), 30U);
  EXPECT_THAT(log_.lines().back(), testing::AllOf(testing::HasSubstr("stands 2 times"), testing::HasSubstr("gpt2 or bpe")));
  request.tokenizer = "bpe:258";
  request.text.split_documents = false;
  const Dataset dataset = load(request);
  EXPECT_THAT(test_support::to_vector(dataset.train.tokens), testing::Not(testing::Contains(dataset.tokenizer->end_of_text())));
  EXPECT_THAT(log_.lines().back(), testing::HasSubstr("split_documents is false"));
  // What other tokenizers write there; the command that mends it has the mark's brackets escaped.
  request.inputs = {write("other.txt", "ab[EOS]cd[EOS]")};
  request.text.split_documents = true;
  (void)load(request);
  EXPECT_THAT(log_.lines().back(), testing::AllOf(testing::HasSubstr("[EOS] stands 2 times"),
                                                  testing::HasSubstr(R"(sed 's#\[EOS\]#<|endoftext|>#g')")));
  request.tokenizer = "char";
  (void)load(request);
  EXPECT_THAT(log_.lines().back(), testing::AllOf(testing::HasSubstr("[EOS] stands 2 times"),
                                                  testing::HasSubstr("char tokenizer has no end of text")));
}

// Short documents are encoded side by side; the order of their tokens is that of the text.
TEST_F(LoadDataset, KeepsTheOrderOfManyShortDocuments) {
  std::string text;
  for (int i = 0; i < 40000; ++i) text += std::to_string(i) + " selva<|endoftext|>";
  const Dataset dataset = load({.inputs = {write("many.txt", text)}, .val_fraction = 0.25, .tokenizer = "bpe:260"});
  EXPECT_EQ(text_of(dataset, dataset.train) + text_of(dataset, *dataset.val), text);
}

TEST_F(LoadDataset, KeepsTokensOfMarksApartInTheCache) {
  const std::string marked = write("marked.txt", "selva oscura<|endoftext|>selva oscura");
  DataRequest request{
      .inputs = {marked}, .val_fraction = 0, .tokenizer = "bpe:258", .cache_directory = directory_.path() / "c"};
  const std::string split = load(request).train.fingerprint;
  EXPECT_EQ(load(request).train.fingerprint, split);
  request.text.split_documents = false;
  EXPECT_NE(load(request).train.fingerprint, split);
}

TEST_F(LoadDataset, WarnsOfATextThatIsTrainedAndEvaluatedOn) {
  const std::string text = write("a.txt", "selva oscura");
  std::filesystem::create_hard_link(text, directory_.path() / "link.txt");
  for (const std::string& val : {text, (directory_.path() / "link.txt").string(), write("copy.txt", "selva oscura")}) {
    (void)load({.inputs = {text, write("b.txt", "x")}, .val_inputs = {val, write("v.txt", "y and z")}, .tokenizer = "byte"});
    EXPECT_THAT(log_.lines(), testing::Contains(testing::AllOf(testing::HasSubstr("warning: " + val),
                                                               testing::HasSubstr("trained on and evaluated on"))));
  }
  const std::size_t before = log_.lines().size();
  (void)load({.inputs = {text}, .val_inputs = {write("other.txt", "selva oscurA")}, .tokenizer = "byte"});
  EXPECT_EQ(log_.lines().size(), before);
}

TEST_F(LoadDataset, SaysWhenNothingStandsBetweenDocuments) {
  const Dataset dataset =
      load({.inputs = {write("a.txt", "ab"), write("b.txt", "cd")}, .val_fraction = 0, .tokenizer = "byte"});
  EXPECT_EQ(text_of(dataset, dataset.train), "abcd");
  EXPECT_THAT(log_.lines(), testing::ElementsAre(testing::HasSubstr("no end of text")));
}

TEST_F(LoadDataset, SplitsAcrossDocuments) {
  for (int i = 0; i < 10; ++i) write("t/" + std::to_string(i), std::string(10, static_cast<char>('a' + i)));
  const std::string pattern = (directory_.path() / "t" / "[0-9]").string();
  const Dataset dataset = load({.inputs = {pattern}, .val_fraction = 0.25, .tokenizer = "byte"});
  EXPECT_EQ(text_of(dataset, dataset.train).size(), 75U);
  EXPECT_EQ(text_of(dataset, *dataset.val), "hhhhhiiiiiiiiiijjjjjjjjjj");
}

TEST_F(LoadDataset, TakesValidationInputs) {
  const Dataset dataset = load({.inputs = {write("a.txt", "abc")}, .val_inputs = {write("b.txt", "xyz")}, .tokenizer = "char"});
  EXPECT_EQ(text_of(dataset, dataset.train), "abc");
  EXPECT_EQ(text_of(dataset, *dataset.val), "xyz");
  EXPECT_EQ(dataset.tokenizer->vocab_size(), 3 + 32);  // the characters of what is trained on
}

TEST_F(LoadDataset, ReadsTokenFilesOfEveryFormat) {
  const auto byte = make_tokenizer("byte", "");
  for (const auto format : {TokenFileFormat::kVirgil, TokenFileFormat::kLlmC, TokenFileFormat::kNanoGpt}) {
    const std::string first = write_tokens("0.bin", format, *byte, "0123456789");
    const std::string second = write_tokens("1.bin", format, *byte, "abcdefghij");
    const Dataset dataset = load({.inputs = {first, second}, .val_fraction = 0.25, .tokenizer = "byte"});
    EXPECT_EQ(text_of(dataset, dataset.train), "0123456789abcde");
    EXPECT_EQ(text_of(dataset, *dataset.val), "fghij");
    EXPECT_EQ(dataset.train.text_bytes, 15);
    EXPECT_EQ(dataset.train.fingerprint, tokenize(*byte, "0123456789abcde").fingerprint);
  }
}

TEST_F(LoadDataset, TakesATokenizerFileWithTokenFiles) {
  const auto tokenizer = make_tokenizer("char", test_support::kTercets);
  const std::string path = write("char/tokenizer.virgil.json", tokenizer->files().front().content);
  const std::string tokens = write_tokens("t.bin", TokenFileFormat::kVirgil, *tokenizer, "selva Ω selva");
  for (const std::string& spec : {path, std::filesystem::path(path).parent_path().string()}) {
    const Dataset dataset = load({.inputs = {tokens}, .val_fraction = 0, .tokenizer = spec});
    EXPECT_EQ(text_of(dataset, dataset.train), "selva Ω selva");
    EXPECT_EQ(dataset.train.text_bytes, 14);
  }
}

TEST_F(LoadDataset, NamesInputsThatDoNotFitTogether) {
  const auto byte = make_tokenizer("byte", "");
  const std::string text = write("a.txt", "abc");
  const std::string ours = write_tokens("ours.bin", TokenFileFormat::kVirgil, *byte, "abc");
  const std::string nano = write_tokens("nano.bin", TokenFileFormat::kNanoGpt, *byte, "abc");
  using testing::HasSubstr;
  EXPECT_THAT(error_of({.inputs = {}}), HasSubstr("--input"));
  EXPECT_THAT(error_of({.inputs = {(directory_.path() / "none").string()}}), HasSubstr("no such file"));
  EXPECT_THAT(error_of({.inputs = {(directory_.path() / "*.md").string()}}), HasSubstr("no file matches"));
  EXPECT_THAT(error_of({.inputs = {text, ours}, .tokenizer = "byte"}), HasSubstr("cannot be mixed"));
  EXPECT_THAT(error_of({.inputs = {text}, .val_inputs = {ours}, .tokenizer = "byte"}), HasSubstr("both"));
  EXPECT_THAT(error_of({.inputs = {ours, nano}, .tokenizer = "byte"}), HasSubstr("one format"));
  EXPECT_THAT(error_of({.inputs = {ours}, .tokenizer = "char"}), HasSubstr("learns from a text"));
  EXPECT_THAT(error_of({.inputs = {text}, .tokenizer = "chars"}), HasSubstr("one id for each character is char"));
  const std::string other = write("c/tokenizer.virgil.json", make_tokenizer("char", "abc")->files().front().content);
  EXPECT_THAT(error_of({.inputs = {ours}, .tokenizer = other}), HasSubstr("another tokenizer"));
  EXPECT_THAT(error_of({.inputs = {nano}, .tokenizer = other}), HasSubstr("outside the tokenizer's vocabulary"));
}

TEST_F(LoadDataset, SaysHowMuchOfATextACharTokenizerHasToSpell) {
  const std::string abc = write("c/tokenizer.virgil.json", make_tokenizer("char", "abc")->files().front().content);
  (void)load({.inputs = {write("known.txt", "abcabc")}, .tokenizer = abc});
  EXPECT_TRUE(log_.lines().empty());
  const Dataset dataset = load({.inputs = {write("unknown.txt", "abc\u6F22x")}, .val_fraction = 0, .tokenizer = abc});
  EXPECT_EQ(text_of(dataset, dataset.train), "abc\u6F22x");
  EXPECT_THAT(log_.lines(), testing::ElementsAre(testing::AllOf(testing::HasSubstr("warning: 4 of the text's bytes (57 %)"),
                                                                testing::HasSubstr("char"))));
  (void)load({.inputs = {write("seldom.txt", std::string(5000, 'a') + "x")}, .val_fraction = 0, .tokenizer = abc});
  EXPECT_THAT(log_.lines().back(), testing::StartsWith("1 of the text's bytes"));
}

TEST_F(LoadDataset, CachesTextsOfACertainLengthOnly) {
  const std::string path = write("a.txt", "0123456789");
  const std::filesystem::path cache = directory_.path() / "cache";
  EXPECT_FALSE(load({.inputs = {path}, .tokenizer = "byte", .cache_directory = cache, .cache_min_bytes = 11}).cached);
  EXPECT_FALSE(std::filesystem::exists(cache));
  EXPECT_TRUE(load({.inputs = {path}, .tokenizer = "byte", .cache_directory = cache, .cache_min_bytes = 10}).cached);
  EXPECT_TRUE(std::filesystem::exists(cache));
}

TEST_F(LoadDataset, TellsTrainingDocumentsFromHeldOutOnes) {
  const Dataset dataset =
      load({.inputs = {write("a.txt", "ab"), write("b.txt", "cd")}, .val_inputs = {write("c.txt", "ef")}, .tokenizer = "byte"});
  EXPECT_EQ(dataset.num_documents, 2);
  EXPECT_EQ(dataset.num_val_documents, 1);
}

TEST_F(LoadDataset, ReadsAnInputOnceThoughNamedTwice) {
  const std::string path = write("a.txt", "abc");
  const Dataset dataset = load({.inputs = {path, path}, .val_fraction = 0, .tokenizer = "byte"});
  EXPECT_EQ(dataset.train.tokens.size(), 3U);
  EXPECT_THAT(log_.lines(), testing::ElementsAre(testing::HasSubstr("named twice")));
}

}  // namespace
}  // namespace virgil

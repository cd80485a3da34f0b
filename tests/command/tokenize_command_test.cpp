#include "virgil/command/tokenize_command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <iterator>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string_view>

#include "data/token_vectors.h"
#include "data/vocabulary.h"
#include "support/faulty_file_system.h"
#include "support/temporary_directory.h"
#include "support/user_error.h"

namespace virgil {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

class RunTokenize : public testing::Test {
 protected:
  RunTokenize() {
    request_.data.inputs = {write("poem.txt", test_support::kTercets)};
    request_.data.tokenizer = "bpe:280";
  }

  [[nodiscard]] std::string at(const std::string& name) const { return (directory_.path() / name).string(); }
  std::string write(const std::string& name, std::string_view bytes) {
    test_support::write_all(at(name), bytes);
    return at(name);
  }
  std::string run() {
    std::ostringstream out;
    run_tokenize(request_, *files_, out, log_);
    return out.str();
  }
  nlohmann::json run_json() {
    request_.json = true;
    return nlohmann::json::parse(run());
  }
  std::string refused() {
    std::ostringstream out;
    std::string message = test_support::user_error_of([&] { run_tokenize(request_, *files_, out, log_); });
    EXPECT_EQ(out.str(), "");
    return message;
  }
  Dataset load(const DataRequest& request) { return load_dataset(request, *files_, log_); }

  test_support::TemporaryDirectory directory_;
  std::unique_ptr<FileSystem> files_ = make_posix_file_system();
  RecordingLogger log_;
  TokenizeRequest request_;
};

TEST_F(RunTokenize, CountsWhatLoadDatasetGives) {
  request_.data.val_fraction = 0.2;
  const Dataset dataset = load(request_.data);
  const nlohmann::json json = run_json();
  const auto train = static_cast<std::int64_t>(dataset.train.tokens.size());
  const auto val = static_cast<std::int64_t>(dataset.val->tokens.size());
  EXPECT_EQ(json["train_tokens"], train);
  EXPECT_EQ(json["val_tokens"], val);
  EXPECT_EQ(json["tokens"], train + val);
  EXPECT_EQ(json["bytes"], test_support::kTercets.size());
  EXPECT_EQ(json["documents"], 1);
  EXPECT_EQ(json["tokenizer"]["name"], "bpe:280");
  EXPECT_EQ(json["tokenizer"]["fingerprint"], dataset.tokenizer->fingerprint());
  EXPECT_DOUBLE_EQ(json["bytes_per_token"],
                   static_cast<double>(test_support::kTercets.size()) / static_cast<double>(train + val));
  EXPECT_EQ(json["longest_tokens"].size(), 10U);
  EXPECT_GE(json["longest_tokens"][0]["bytes"], json["longest_tokens"][9]["bytes"]);
  EXPECT_GE(json["most_frequent_tokens"][0]["count"], json["most_frequent_tokens"][9]["count"]);
  EXPECT_FALSE(json["unused_ids"].empty());
}

TEST_F(RunTokenize, WritesTokenFilesOfEveryFormatThatLoadAgain) {
  request_.data.val_fraction = 0.2;
  const Dataset dataset = load(request_.data);
  for (const auto format : {TokenFileFormat::kVirgil, TokenFileFormat::kLlmC, TokenFileFormat::kNanoGpt}) {
    request_.format = format;
    request_.shard_tokens = 40;
    request_.output = at(name_of(format));
    EXPECT_THAT(run(), AllOf(HasSubstr("--input " + request_.output + "/train"), HasSubstr("--val_input")));
    const Dataset again =
        load({.inputs = {request_.output + "/train"}, .val_inputs = {request_.output + "/val"}, .tokenizer = request_.output});
    EXPECT_EQ(again.train.fingerprint, dataset.train.fingerprint);
    EXPECT_EQ(again.val->fingerprint, dataset.val->fingerprint);
    EXPECT_EQ(again.train.text_bytes, dataset.train.text_bytes);
    EXPECT_EQ(again.tokenizer->fingerprint(), dataset.tokenizer->fingerprint());
    EXPECT_GT(again.num_documents, 1) << "several files";
  }
}

TEST_F(RunTokenize, ReadsTokenFilesAndConvertsThem) {
  request_.output = at("ours");
  const nlohmann::json made = run_json();
  request_.data.inputs = {at("ours/train")};
  request_.data.tokenizer = at("ours");
  request_.output = at("nano");
  request_.format = TokenFileFormat::kNanoGpt;
  const nlohmann::json read = run_json();
  for (const char* key : {"tokens", "bytes", "unused_ids", "longest_tokens"}) EXPECT_EQ(read[key], made[key]) << key;
  EXPECT_EQ(test_support::to_vector(open_token_file(at("nano/train/train-00000.bin")).tokens),
            test_support::to_vector(open_token_file(at("ours/train/train-00000.bin")).tokens));
}

TEST_F(RunTokenize, SavesATokenizerThatLoadsAgain) {
  request_.save_tokenizer = at("saved");
  const nlohmann::json json = run_json();
  EXPECT_EQ(load_tokenizer(at("saved"))->fingerprint(), json["tokenizer"]["fingerprint"].get<std::string>());
  EXPECT_EQ(json["tokenizer_folder"], at("saved"));
}

TEST_F(RunTokenize, ShowsTheFirstTokens) {
  request_.inspect = true;
  request_.inspect_tokens = 5;
  request_.data.tokenizer = "byte";
  EXPECT_THAT(run(), testing::StartsWith("N|e|l| |m\n\ntokenizer   byte: 256 ids\n"));
  const nlohmann::json json = run_json();
  ASSERT_EQ(json["inspected"].size(), 5U);
  EXPECT_EQ(json["inspected"][0], (nlohmann::json{{"id", 'N'}, {"bytes", 1}, {"text", "N"}}));
}

TEST_F(RunTokenize, TakesATextInPlaceOfFiles) {
  request_.data.inputs.clear();
  request_.data.tokenizer = "byte";
  request_.text = "perch\xC3\xA9";
  request_.inspect = true;
  EXPECT_THAT(run(), HasSubstr("p|e|r|c|h|\\xC3|\\xA9\n"));
  const nlohmann::json json = run_json();
  EXPECT_EQ(json["tokens"], 7);
  EXPECT_EQ(json["inspected"][6]["hex"], "a9");
}

TEST_F(RunTokenize, PutsTheEndOfTextBetweenDocumentsAndNotIntoTheBytes) {
  request_.data.inputs = {write("a.txt", "selva selva"), write("b.txt", "oscura oscura")};
  request_.data.tokenizer = "bpe:262";
  const nlohmann::json json = run_json();
  EXPECT_EQ(json["documents"], 2);
  EXPECT_EQ(json["bytes"], 24);
}

TEST_F(RunTokenize, EndsDocumentsAtMarksInTextsAndFilesAlike) {
  const std::string marked = "selva<|endoftext|>oscura selva<|endoftext|>";
  request_.data.inputs = {write("marked.txt", marked)};
  request_.data.tokenizer = "bpe:258";
  const nlohmann::json file = run_json();
  EXPECT_EQ(file["split_marks"], 2);
  EXPECT_EQ(file["documents"], 2);
  EXPECT_EQ(file["bytes"], 17);
  request_.data.inputs.clear();
  request_.text = marked;
  const nlohmann::json text = run_json();
  EXPECT_EQ(text["tokens"], file["tokens"]);
  EXPECT_EQ(text["bytes"], 17);
  EXPECT_EQ(text["tokenizer"], file["tokenizer"]);
  request_.data.text.split_documents = false;
  EXPECT_EQ(run_json()["bytes"], 43);
}

TEST_F(RunTokenize, RefusesWhatMakesNoSense) {
  const TokenizeRequest good = request_;
  const auto with = [&](auto&& change) {
    request_ = good;
    change(request_);
    return refused();
  };
  EXPECT_THAT(with([](auto& r) { r.data.inputs.clear(); }), AllOf(HasSubstr("--input"), HasSubstr("--text")));
  EXPECT_THAT(with([](auto& r) { r.text = "a"; }), HasSubstr("exclude each other"));
  EXPECT_THAT(with([](auto& r) { r.data.inputs.clear(), r.text = ""; }), HasSubstr("--text is empty"));
  EXPECT_THAT(with([](auto& r) { r.shard_tokens = 0; }), HasSubstr("--shard_tokens is 0"));
  EXPECT_THAT(with([](auto& r) { r.inspect_tokens = -1; }), HasSubstr("--inspect_tokens is -1"));
  EXPECT_THAT(with([](auto& r) { r.top = -1; }), HasSubstr("--top is -1"));
  EXPECT_THAT(with([](auto& r) { r.data.tokenizer = "bpe:100000"; }), HasSubstr("100000"));
  EXPECT_THAT(with([&](auto& r) { r.output = directory_.path().string(); }), HasSubstr("holds something already"));
  EXPECT_THAT(with([&](auto& r) { r.save_tokenizer = at("poem.txt"); }), HasSubstr("not a folder"));
  EXPECT_THAT(test_support::user_error_of([] { (void)parse_token_file_format("hdf5"); }),
              AllOf(HasSubstr("hdf5"), HasSubstr("nanogpt")));
}

TEST_F(RunTokenize, MakesAFolderThatIsEmptyAlready) {
  request_.output = at("out");
  fs::create_directories(request_.output);
  EXPECT_NO_THROW((void)run());
  EXPECT_TRUE(fs::exists(at("out/train/train-00000.bin")));
  EXPECT_FALSE(fs::exists(at("out/val"))) << "nothing was held out";
}

// A disk that is full at any call: a whole folder or none, and the next attempt succeeds.
TEST_F(RunTokenize, LeavesNoHalfOutput) {
  using test_support::FaultyFileSystem;
  request_.output = at("out");
  FaultyFileSystem counting(*files_, FaultyFileSystem::Fault::kNoSpace, 1000000);
  std::ostringstream out;
  run_tokenize(request_, counting, out, log_);
  for (std::int64_t call = 0; call < counting.num_calls(); ++call) {
    fs::remove_all(request_.output);
    FaultyFileSystem faulty(*files_, FaultyFileSystem::Fault::kNoSpace, call);
    EXPECT_THROW(run_tokenize(request_, faulty, out, log_), UserError) << call;
    const bool whole = fs::exists(at("out/train/train-00000.bin")) && fs::exists(at("out/tokenizer.json"));
    EXPECT_EQ(fs::exists(request_.output), whole) << call;
    fs::remove_all(request_.output);
    EXPECT_NO_THROW((void)run()) << call;
    EXPECT_EQ(std::distance(fs::directory_iterator(directory_.path()), {}), 2) << "the poem and the output; call " << call;
  }
}

}  // namespace
}  // namespace virgil

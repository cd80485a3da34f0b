#include "virgil/model/architecture.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <initializer_list>
#include <limits>
#include <string>
#include <utility>

#include "virgil/base/error.h"

namespace virgil {
namespace {

Architecture valid_sizes() {
  return {.num_layers = 2, .num_heads = 4, .embedding_dim = 64, .block_size = 32, .vocab_size = 65};
}

std::string error_of(const Architecture& sizes) {
  try {
    const Architecture config = trainable(sizes);
  } catch (const UserError& error) {
    return error.what();
  }
  return "";
}

void expect_refused(const Architecture& sizes, std::initializer_list<const char*> parts) {
  const std::string message = error_of(sizes);
  ASSERT_FALSE(message.empty()) << "accepted, though " << *parts.begin() << " is wrong";
  for (const char* part : parts) EXPECT_NE(message.find(part), std::string::npos) << message;
}

TEST(Architecture, DerivesItsSizes) {
  const Architecture config = trainable(valid_sizes());
  EXPECT_EQ(config.head_size, 16);
  EXPECT_EQ(config.d_ff, 256);
  EXPECT_EQ(config.vocab_size, 65);
  EXPECT_EQ(config.padded_vocab_size(), 128);
  EXPECT_TRUE(config.tie_weights);
  EXPECT_EQ(config.biases, Biases{});
}

TEST(Architecture, PadsTheVocabularyToMultiplesOf64) {
  Architecture sizes = valid_sizes();
  for (const auto& [vocab, padded] : {std::pair{1, 64}, {64, 64}, {65, 128}, {50257, 50304}, {50304, 50304}}) {
    sizes.vocab_size = vocab;
    EXPECT_EQ(trainable(sizes).padded_vocab_size(), padded);
  }
}

TEST(Architecture, KeepsAGivenMlpWidth) {
  Architecture sizes = valid_sizes();
  sizes.d_ff = 100;
  EXPECT_EQ(trainable(sizes).d_ff, 100);
}

TEST(Architecture, RefusesSizesBelowOne) {
  const std::pair<const char*, std::int64_t Architecture::*> members[] = {{"n_layer", &Architecture::num_layers},
                                                                          {"n_head", &Architecture::num_heads},
                                                                          {"n_embd", &Architecture::embedding_dim},
                                                                          {"block_size", &Architecture::block_size},
                                                                          {"vocab_size", &Architecture::vocab_size}};
  for (const auto& [key, member] : members) {
    for (const std::int64_t value : {std::int64_t{0}, std::int64_t{-1}, std::numeric_limits<std::int64_t>::max()}) {
      Architecture sizes = valid_sizes();
      sizes.*member = value;
      expect_refused(sizes, {key, std::to_string(value).c_str(), "choose"});
    }
  }
  Architecture sizes = valid_sizes();
  sizes.d_ff = -4;
  expect_refused(sizes, {"d_ff", "-4"});
}

TEST(Architecture, RefusesAnEmbeddingThatHeadsDoNotDivide) {
  Architecture sizes = valid_sizes();
  sizes.embedding_dim = 100;
  sizes.num_heads = 12;
  expect_refused(sizes, {"n_embd is 100", "no n_head divides it", "n_embd 96 with n_head 12"});
}

TEST(Architecture, RefusesHeadSizesNoKernelHas) {
  Architecture sizes = valid_sizes();
  for (const auto& [dim, heads] : {std::pair{60, 5}, {136, 1}, {12, 1}}) {
    sizes.embedding_dim = dim;
    sizes.num_heads = heads;
    expect_refused(sizes, {fmt::format("n_embd is {}", dim).c_str(), "multiple of 8"});
  }
  for (const auto& [dim, heads] : {std::pair{8, 1}, {128, 1}, {1280, 16}, {240, 3}}) {
    sizes.embedding_dim = dim;
    sizes.num_heads = heads;
    EXPECT_EQ(error_of(sizes), "");
  }
}

TEST(Architecture, RefusesDropoutOutsideTheUnitInterval) {
  Architecture sizes = valid_sizes();
  for (const float dropout : {-0.1F, 1.0F, 1.5F, std::numeric_limits<float>::quiet_NaN()}) {
    sizes.dropout = dropout;
    expect_refused(sizes, {"dropout"});
  }
  sizes.dropout = 0.99F;
  EXPECT_EQ(error_of(sizes), "");
}

}  // namespace
}  // namespace virgil

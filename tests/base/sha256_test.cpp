#include "virgil/base/sha256.h"

#include <gtest/gtest.h>

#include <utility>

#include "support/temporary_directory.h"
#include "virgil/base/error.h"

namespace virgil {
namespace {

// Digests of FIPS 180-4's examples (NIST, "SHA-256 example values") and of a million times "a".
constexpr const char* kEmpty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
constexpr const char* kAbc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
constexpr const char* kTwoBlocks = "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1";
constexpr const char* kMillion = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";

TEST(Sha256, MatchesPublishedDigests) {
  EXPECT_EQ(sha256_hex(""), kEmpty);
  EXPECT_EQ(sha256_hex("abc"), kAbc);
  EXPECT_EQ(sha256_hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"), kTwoBlocks);
  EXPECT_EQ(sha256_hex(std::string(1000000, 'a')), kMillion);
}

TEST(Sha256, IsTheSameForAnyCut) {
  const std::string piece(1000, 'a');
  Sha256 digest;
  for (int i = 0; i < 999; ++i) digest.update(std::as_bytes(std::span(piece)));
  Sha256 moved(std::move(digest));
  moved.update(std::as_bytes(std::span(piece)).first(1));
  moved.update(std::as_bytes(std::span(piece)).first(999));
  EXPECT_EQ(moved.finish(), kMillion);
}

TEST(Sha256, CannotBeUsedAfterFinish) {
  Sha256 digest;
  EXPECT_EQ(digest.finish(), kEmpty);
  EXPECT_THROW(digest.update({}), InternalError);
  EXPECT_THROW(static_cast<void>(digest.finish()), InternalError);
}

TEST(Sha256, HashesFilesAndNamesMissingOnes) {
  const test_support::TemporaryDirectory directory;
  test_support::write_all(directory.path() / "abc", "abc");
  test_support::write_all(directory.path() / "empty", "");
  EXPECT_EQ(sha256_of_file(directory.path() / "abc"), kAbc);
  EXPECT_EQ(sha256_of_file(directory.path() / "empty"), kEmpty);
  EXPECT_THROW(static_cast<void>(sha256_of_file(directory.path() / "missing")), UserError);
}

}  // namespace
}  // namespace virgil

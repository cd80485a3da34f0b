// What a backend does besides ops: copies, fills, workspaces, and the refusal of wrong arguments.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest-spi.h>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "backend_conformance/harness.h"

namespace virgil::conformance {
namespace {

class Plumbing : public Conformance {};
VIRGIL_CONFORMANCE_SUITE(Plumbing);

TEST_P(Plumbing, CopiesRoundTrip) {
  for (const std::int64_t count : {1, 7, 100003}) {
    const auto values = normal_values(count, 1);
    const auto results = results_of([&](OpRun& run) { (void)run.in_out("x", {count}, values); });
    expect_same_bits("x", results.at("x"), values);
  }
}

// More copies than can be on their way at a time, each of other bytes into one tensor: none may overtake what reads it.
TEST_P(Plumbing, CopiesFromTheHostKeepTheirPlaceAmongTheOps) {
  constexpr std::int64_t kUploads = 200;
  OpRun run(backend(), dtype());
  const TensorView staged = run.output("staged", {1}, DType::kFloat32);
  const TensorView all = run.output("all", {kUploads}, DType::kFloat32);
  std::vector<float> expected;
  for (std::int64_t i = 0; i < kUploads; ++i) {
    float value = expected.emplace_back(static_cast<float>(i));
    backend().copy_from_host(staged, std::as_bytes(std::span(&value, 1)));
    value = -1;
    backend().run(ops::Copy{all.slice(i, {1}), staged});
  }
  expect_same_bits("all", run.finish().at("all"), expected);
}

TEST_P(Plumbing, CopiesFromTheHostMayBeLarge) {
  constexpr std::int64_t kCount = 3'000'001;  // 12 MB, and not a whole number of pieces
  OpRun run(backend(), dtype());
  const TensorView x = run.output("x", {kCount}, DType::kFloat32);
  std::vector<float> values(static_cast<std::size_t>(kCount));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
  const std::vector<float> expected = values;
  backend().copy_from_host(x, std::as_bytes(std::span(values)));
  std::ranges::fill(values, -1.0F);
  expect_same_bits("x", run.finish().at("x"), expected);
}

TEST_P(Plumbing, CopiesOnTheDeviceUnderAnotherShape) {
  const auto values = normal_values(24, 1);
  const auto results = results_of([&](OpRun& run) {
    run.backend().run(ops::Copy{run.output("x", {3, 8}), run.input({24}, values)});
  });
  expect_same_bits("x", results.at("x"), values);
  OpRun run(backend(), dtype());
  EXPECT_THROW(backend().run(ops::Copy{run.output("y", {23}), run.input({24}, values)}), InternalError);
}

TEST_P(Plumbing, ConvertsToBFloat16AsTheHostDoes) {
  // Ties either way, infinities, NaNs whose mantissa would carry, subnormals, and random bits.
  std::vector<std::uint32_t> words = {0x3F808000U, 0x3F818000U, 0x3F807FFFU, 0x3F808001U, 0x7F7FFFFFU, 0x7F800000U, 0xFF800000U,
                                      0x7FFFFFFFU, 0xFF800001U, 0x00000001U, 0x80008000U, 0x00000000U, 0x80000000U};
  const RandomStream stream{.seed = 4, .purpose = RandomPurpose::kShuffle};
  while (words.size() < 5003) words.push_back(random_word(stream, words.size()));
  std::vector<float> values;
  for (const std::uint32_t word : words) values.push_back(std::bit_cast<float>(word));
  const Shape shape{std::ssize(values)};
  OpRun run(backend(), DType::kFloat32);
  const TensorView half = run.output("half", shape, DType::kBFloat16);
  run.backend().run(ops::Convert{half, run.input(shape, values)});
  run.backend().run(ops::Convert{run.output("wide", shape), half});
  const auto results = run.finish();
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto expected = std::bit_cast<std::uint32_t>(static_cast<float>(BFloat16(values[i])));
    ASSERT_EQ(std::bit_cast<std::uint32_t>(results.at("half")[i]), expected) << fmt::format("{:08x}", words[i]);
    ASSERT_EQ(std::bit_cast<std::uint32_t>(results.at("wide")[i]), expected) << fmt::format("{:08x}", words[i]);
  }
  EXPECT_THROW(run.backend().run(ops::Convert{half, run.input({3}, std::vector<float>(3))}), InternalError);
}

TEST_P(Plumbing, SetZeroClearsExactlyTheTensor) {
  for (const std::int64_t count : {1, 7, 100003}) {
    const auto results = results_of([&](OpRun& run) { run.backend().run(ops::SetZero{run.output("x", {count})}); });
    expect_same_bits("x", results.at("x"), std::vector<float>(static_cast<std::size_t>(count), 0.0F));
  }
}

TEST_P(Plumbing, RefusesCopiesOfAnotherSize) {
  OpRun run(backend(), dtype());
  const TensorView x = run.output("x", {3});
  std::vector<std::byte> bytes(8);
  EXPECT_THROW(backend().copy_from_host(x, bytes), InternalError);
  EXPECT_THROW(backend().copy_to_host(bytes, x), InternalError);
}

TEST_P(Plumbing, DescribesItself) {
  EXPECT_FALSE(backend().description().empty());
  EXPECT_GT(backend().available_bytes(), 0);
  EXPECT_GE(backend().traits().alignment_bytes(), 4);
}

TEST_P(Plumbing, NamesTheOpAndTheOperandOfAWrongCall) {
  OpRun run(backend(), dtype());
  const auto message = [&](const std::function<void()>& call) -> std::string {
    try {
      call();
    } catch (const InternalError& error) {
      return error.what();
    }
    return "nothing thrown";
  };
  const ConstTensorView inp = run.input({2, 8}, normal_values(16));
  EXPECT_THAT(
      message([&] {
        backend().run(ops::GeluForward{run.output("out", {2, 7}), inp});
      }),
      ::testing::AllOf(::testing::HasSubstr("gelu_forward"), ::testing::HasSubstr("out"), ::testing::HasSubstr("(2, 7)")));
  EXPECT_THAT(message([&] { backend().run(ops::GeluForward{{}, inp}); }), ::testing::HasSubstr("out is absent"));
  EXPECT_THAT(message([&] { backend().run(ops::BiasBackward{run.output("dbias", {9}), inp}); }), ::testing::HasSubstr("dbias"));
}

TEST_P(Plumbing, ComputesInTheTypeItIsAskedFor) {
  EXPECT_THAT(backend().dtypes(), ::testing::AllOf(::testing::Contains(dtype()), ::testing::Contains(DType::kFloat32)));
}

TEST_P(Plumbing, KnowsTheMemoryOfItsDevice) {
  EXPECT_GT(backend().available_bytes(), 0);
  const std::optional<DeviceMemory> memory = backend().device_memory();
  if (!memory) return;  // it computes in the machine's own memory
  EXPECT_GE(memory->context_bytes, 0);
  EXPECT_GT(memory->free_bytes, 0);
  EXPECT_LE(memory->free_bytes + memory->context_bytes, memory->total_bytes);
  EXPECT_LE(backend().available_bytes(), memory->total_bytes);
}

/// The harness itself, on a backend whose memory the host can reach.
class Harness : public ::testing::Test {
 protected:
  std::unique_ptr<Backend> backend_ = make_cpu_backend({.num_threads = 1});
};

TEST_F(Harness, SeesAWriteAfterAnOutput) {
  OpRun run(*backend_, DType::kFloat32);
  static_cast<float*>(run.output("x", {3}).data())[3] = 1.0F;
  EXPECT_NONFATAL_FAILURE((void)run.finish(), "bytes after the end");
}

TEST_F(Harness, SeesAnInputThatChanges) {
  OpRun run(*backend_, DType::kFloat32);
  const ConstTensorView x = run.input({2}, std::vector<float>{1.0F, 2.0F});
  const float value = 3.0F;
  std::memcpy(const_cast<void*>(x.data()), &value, sizeof(value));
  EXPECT_NONFATAL_FAILURE((void)run.finish(), "an input was changed");
}

TEST_F(Harness, SeesValuesOutsideTheirBoundAndNan) {
  const std::vector<float> values = {1.0F, std::numeric_limits<float>::quiet_NaN()};
  ::testing::TestPartResultArray failures;
  {
    const ::testing::ScopedFakeTestPartResultReporter reporter(&failures);
    expect_within_bounds("x", values, {Tracked(1.0, 0.0), Tracked(1.0, 1.0)});
    expect_within_bounds("y", {1.0F}, {Tracked(1.1, 0.05)});
  }
  EXPECT_EQ(failures.size(), 4);  // one for each element and one for each tensor
}

}  // namespace
}  // namespace virgil::conformance

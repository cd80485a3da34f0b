// The choice among cuBLASLt's algorithms: by time, kept in a file, and the same for all who read it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "cuda/product_choices.h"
#include "cuda/sim/control.h"
#include "support/temporary_directory.h"
#include "virgil/backend/cuda_backend.h"
#include "virgil/base/file_system.h"
#include "virgil/memory/buffer.h"

namespace virgil::cuda {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr std::int64_t kRows = 8, kWidth = 72;

/// Products of one backend with the played device of the calling thread.
class Products {
 public:
  explicit Products(const fs::path& folder, bool times = true)
      : backend_(make_cuda_backend({.product_choices = folder,
                                    .time_products = times,
                                    .note = [this](const std::string& line) { notes_.push_back(line); }})),
        memory_(backend_->memory(), 3 * kStride, {MemoryCategory::kData, "test"}),
        scratch_(backend_->memory(), 32 << 20, {MemoryCategory::kWorkspace, "test"}) {
    backend_->bind_workspace({scratch_.data(), static_cast<std::size_t>(scratch_.size_bytes())});
    for (int i = 0; i < 3; ++i) {
      std::vector<float> values(static_cast<std::size_t>(matrix(i).num_elements()));
      for (std::size_t j = 0; j < values.size(); ++j) values[j] = 1.0F / static_cast<float>(3 + i + static_cast<int>(j) % 101);
      backend_->copy_from_host(matrix(i), std::as_bytes(std::span(values)));
    }
  }

  /// The product, of which the output before counts where it accumulates.
  std::vector<float> multiply(bool accumulate = false) {
    backend_->run(ops::Matmul{matrix(0), matrix(1), matrix(2), {}, {.transpose_b = true, .accumulate = accumulate}});
    std::vector<float> values(kRows * kRows);
    backend_->copy_to_host(std::as_writable_bytes(std::span(values)), matrix(0));
    return values;
  }
  [[nodiscard]] const std::vector<std::string>& notes() const { return notes_; }

 private:
  static constexpr std::int64_t kStride = 4096;
  [[nodiscard]] TensorView matrix(int i) const {
    return {memory_.data() + i * kStride, DType::kFloat32, i == 0 ? Shape{kRows, kRows} : Shape{kRows, kWidth}};
  }

  std::vector<std::string> notes_;
  std::unique_ptr<Backend> backend_;
  Buffer memory_, scratch_;
};

class ProductTuning : public testing::Test {
 protected:
  ~ProductTuning() override { play({}); }

  static void play(const std::vector<double>& milliseconds) { simt::plant_cublaslt_answers({.milliseconds = milliseconds}); }
  /// What the library's n-th algorithm makes of the product.
  static std::vector<float> bits_of(int algorithm, bool accumulate = false) {
    std::vector<double> times(static_cast<std::size_t>(algorithm) + 1, -1);
    times.back() = 1;
    play(times);
    return Products({}).multiply(accumulate);
  }
  [[nodiscard]] fs::path file() const {
    for (const auto& entry : fs::directory_iterator(folder_.path())) return entry.path();
    return {};
  }

  test_support::TemporaryDirectory folder_;
};

TEST_F(ProductTuning, TakesTheFastestAndKeepsIt) {
  for (const bool accumulate : {false, true}) {
    const std::vector<float> first = bits_of(0, accumulate), second = bits_of(1, accumulate);
    ASSERT_NE(first, second);
    play({5, 1, 3});
    EXPECT_EQ(Products(folder_.path()).multiply(accumulate), second);
    // Whatever is the fastest later, a later run has the same bits; and times nothing.
    play({1, 5, 3});
    const std::uint64_t before = simt::statistics().products;
    EXPECT_EQ(Products(folder_.path()).multiply(accumulate), second);
    EXPECT_EQ(simt::statistics().products - before, 1U);
    EXPECT_EQ(Products(folder_.path(), false).multiply(accumulate), second);
    EXPECT_EQ(Products({}).multiply(accumulate), first);
  }
}

TEST_F(ProductTuning, TimesNothingWhereItMayOnlyRead) {
  play({5, 1});
  const std::vector<float> first = bits_of(0);
  play({5, 1});
  EXPECT_EQ(Products(folder_.path() / "none", false).multiply(), first);
  EXPECT_FALSE(fs::exists(folder_.path() / "none"));
}

TEST_F(ProductTuning, KeepsTheLibrarysFirstWithinTheClocksDoubt) {
  const std::vector<float> first = bits_of(0);
  play({500, 495});
  EXPECT_EQ(Products(folder_.path()).multiply(), first);
}

TEST_F(ProductTuning, LeavesOutWhatTheLibraryCallsUnusable) {
  const std::vector<float> third = bits_of(2);
  play({5, -1, 1});
  EXPECT_EQ(Products(folder_.path()).multiply(), third);
}

TEST_F(ProductTuning, ChoosesAnewWhatTheLibraryNoLongerOffers) {
  play({5, 3, 1});
  static_cast<void>(Products(folder_.path()).multiply());
  const std::vector<float> second = bits_of(1);
  play({5, 1});
  EXPECT_EQ(Products(folder_.path()).multiply(), second);
}

TEST_F(ProductTuning, IgnoresADamagedFileWithALine) {
  play({5, 1});
  static_cast<void>(Products(folder_.path()).multiply());
  const std::string good = read_file(file(), 1 << 20);
  const auto replaced = [&](const std::string& what, const std::string& by) {
    std::string text = good;
    return text.replace(text.find(what), what.size(), by);
  };
  const std::vector<float> second = bits_of(1);
  for (const std::string& text :
       {std::string("[]"), std::string(), good.substr(0, good.size() / 2), replaced("\"products\": 1", "\"products\": 2"),
        replaced("SIMT", "SIMD"), replaced("\"settings\": [", "\"settings\": [-1, "),
        replaced("\"choices\": [", "\"choices\": [3, "), replaced("\"microseconds\": ", "\"microseconds\": -"),
        std::string(2 << 20, ' ')}) {
    std::ofstream(file(), std::ios::trunc) << text;
    play({5, 1});
    Products products(folder_.path());
    EXPECT_THAT(products.notes(), ElementsAre(HasSubstr("is ignored"))) << text.substr(0, 200);
    EXPECT_EQ(products.multiply(), second);
    EXPECT_EQ(read_file(file(), 1 << 20).substr(0, 20), good.substr(0, 20));  // written anew
    EXPECT_THAT(Products(folder_.path()).notes(), IsEmpty());
  }
}

TEST_F(ProductTuning, SaysWhyNothingCanBeKept) {
  std::ofstream(folder_.path() / "taken") << "a file";
  play({5, 1});
  const std::vector<float> first = bits_of(0);
  play({5, 1});
  Products products(folder_.path() / "taken");
  EXPECT_THAT(products.notes(), ElementsAre(HasSubstr("no choice can be kept")));
  EXPECT_EQ(products.multiply(), first);
}

TEST_F(ProductTuning, RanksOfAMachineChooseTheSame) {
  // To each another algorithm is the fastest.
  std::vector<std::vector<float>> results(3);
  std::vector<std::thread> ranks;
  for (std::size_t rank = 0; rank < results.size(); ++rank) {
    ranks.emplace_back([&, rank] {
      const simt::OwnDevice device;
      std::vector<double> times(results.size(), 9);
      times[rank] = 1;
      play(times);
      results[rank] = Products(folder_.path()).multiply();
    });
  }
  for (std::thread& rank : ranks) rank.join();
  EXPECT_EQ(results[1], results[0]);
  EXPECT_EQ(results[2], results[0]);
}

TEST_F(ProductTuning, TheFilesChoicesAreBounded) {
  ProductChoices choices(folder_.path(), "GPU", true, [](const std::string&) {});
  const auto any = [](const AlgorithmSettings&) { return true; };
  const auto choose = [] { return ProductChoice{{7}, 2.5}; };
  EXPECT_EQ(choices.find_or_keep("a", any, choose), (AlgorithmSettings{7}));
  EXPECT_EQ(choices.find_or_keep(std::string(1000, 'x'), any, choose), std::nullopt);
  EXPECT_EQ(ProductChoices(folder_.path(), "GPU", false, [](const std::string&) {}).find("a"), (AlgorithmSettings{7}));
  EXPECT_EQ(ProductChoices(folder_.path(), "another", false, [](const std::string&) {}).find("a"), std::nullopt);
}

}  // namespace
}  // namespace virgil::cuda

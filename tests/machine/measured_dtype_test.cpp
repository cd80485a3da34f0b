#include "virgil/machine/measured_dtype.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "support/temporary_directory.h"

namespace virgil {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class MeasuredDtype : public testing::Test {
 protected:
  /// What dtype auto stands for on a processor with bfloat16 products.
  DType choose(ProductRates rates) {
    Machine machine = machine_of(*backend_);
    machine.dtypes = {DType::kBFloat16, DType::kFloat32};
    prefer_faster_dtype(machine, *backend_, {.cache_folder = cache_, .measure = [&](Backend&) {
                                               ++measurements_;
                                               return rates;
                                             }});
    note_ = machine.dtype_note;
    return machine.dtypes.front();
  }

  [[nodiscard]] std::filesystem::path kept_file() const {
    std::vector<std::filesystem::path> files;
    for (const auto& entry : std::filesystem::directory_iterator(cache_)) files.push_back(entry.path());
    EXPECT_EQ(files.size(), 1U) << "and nothing half-written beside it";
    return files.front();
  }

  const test_support::TemporaryDirectory folder_;
  std::filesystem::path cache_ = folder_.path() / "cache" / "virgil";
  const std::unique_ptr<Backend> backend_ = make_cpu_backend({.num_threads = 1});
  int measurements_ = 0;
  std::string note_;
};

TEST_F(MeasuredDtype, IsTheFasterOne) {
  EXPECT_EQ(choose({.float32 = 330, .bfloat16 = 160}), DType::kFloat32);
  EXPECT_THAT(note_, AllOf(HasSubstr("bfloat16 160 against float32 330 GFLOP/s")));
  std::filesystem::remove_all(cache_);
  EXPECT_EQ(choose({.float32 = 210, .bfloat16 = 380}), DType::kBFloat16);
  EXPECT_EQ(measurements_, 2);
}

TEST_F(MeasuredDtype, IsMeasuredOnceAMachine) {
  EXPECT_EQ(choose({.float32 = 330, .bfloat16 = 160}), DType::kFloat32);
  EXPECT_EQ(choose({.float32 = 1, .bfloat16 = 2}), DType::kFloat32) << "as it was measured first";
  EXPECT_EQ(measurements_, 1);
  EXPECT_THAT(note_, AllOf(HasSubstr("160 against float32 330"), HasSubstr(cache_.string())));
  const auto other = make_cpu_backend({.num_threads = 2});
  EXPECT_EQ(read_product_rates(cache_, describe_processor(*other)), std::nullopt) << "other threads are measured anew";
}

TEST_F(MeasuredDtype, ADamagedCacheIsMeasuredAnew) {
  for (const char* damage :
       {"", "{", "[]", "null", R"({"product_rates": 1})", R"({"product_rates": 1, "processor": "another"})"}) {
    static_cast<void>(choose({.float32 = 330, .bfloat16 = 160}));
    const std::filesystem::path file = kept_file();
    test_support::write_all(file, damage);
    const int before = measurements_;
    EXPECT_EQ(choose({.float32 = 330, .bfloat16 = 160}), DType::kFloat32) << damage;
    EXPECT_EQ(measurements_, before + 1) << damage;
  }
  static_cast<void>(choose({.float32 = 330, .bfloat16 = 160}));
  std::string text = test_support::read_all(kept_file());
  text.replace(text.find("330"), 3, "-10");
  test_support::write_all(kept_file(), text);
  EXPECT_EQ(read_product_rates(cache_, describe_processor(*backend_)), std::nullopt);
}

TEST_F(MeasuredDtype, ACacheThatCannotBeWrittenIsNoError) {
  test_support::write_all(folder_.path() / "file", "no folder");
  for (const std::filesystem::path& nowhere : {folder_.path() / "file" / "virgil", std::filesystem::path()}) {
    cache_ = nowhere;
    EXPECT_EQ(choose({.float32 = 330, .bfloat16 = 160}), DType::kFloat32);
  }
  EXPECT_EQ(measurements_, 2);
}

TEST_F(MeasuredDtype, NothingIsMeasuredWithoutAChoice) {
  for (const bool is_gpu : {false, true}) {
    Machine machine = machine_of(*backend_);
    machine.is_gpu = is_gpu;
    machine.dtypes = {is_gpu ? DType::kBFloat16 : DType::kFloat32, is_gpu ? DType::kFloat32 : DType::kBFloat16};
    const std::vector<DType> before = machine.dtypes;
    prefer_faster_dtype(machine, *backend_, {.cache_folder = cache_, .measure = [&](Backend&) {
                                               ++measurements_;
                                               return ProductRates{};
                                             }});
    EXPECT_EQ(machine.dtypes, before);
    EXPECT_EQ(machine.dtype_note, "");
  }
  EXPECT_EQ(measurements_, 0);
}

TEST_F(MeasuredDtype, RatesAreThoseOfTheBackend) {
  const ProductRates rates = measure_product_rates(*backend_, {.rows = 8, .width = 16, .hidden = 32});
  EXPECT_GT(rates.float32, 0);
  EXPECT_GT(rates.bfloat16, 0);
}

}  // namespace
}  // namespace virgil

#include "backend_conformance/harness.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <ostream>
#include <span>
#include <utility>

#include "virgil/base/philox.h"

namespace virgil::conformance {

namespace {

constexpr std::int64_t kGuardBytes = 64;
constexpr std::byte kNanByte{0xFF};  // four of them are a NaN

/// A signalling NaN: read as an operand it spoils the result, and arithmetic on it never gives the same bits.
constexpr std::uint32_t kGuardWord = 0x7FA5A5A5U;

template <typename T>
std::vector<std::byte> bytes_of(const std::vector<T>& values) {
  std::vector<std::byte> bytes(values.size() * sizeof(T));
  if (!bytes.empty()) std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

template <typename T>
std::vector<std::byte> bytes_as(const std::vector<float>& values) {
  std::vector<T> stored;
  stored.reserve(values.size());
  for (const float value : values) {
    stored.emplace_back(value);
    const bool exact = static_cast<float>(stored.back()) == value || std::isnan(value);
    EXPECT_TRUE(exact) << value << " is no " << name_of(DTypeOf<T>::value)
                       << ": the test's operand must be rounded before its reference is computed";
  }
  return bytes_of(stored);
}

std::vector<std::byte> bytes_of(const std::vector<float>& values, DType dtype) {
  if (dtype == DType::kFloat32) return bytes_of(values);
  return dtype == DType::kBFloat16 ? bytes_as<BFloat16>(values) : bytes_as<Float16>(values);
}

template <typename T>
std::vector<float> floats_as(const std::vector<std::byte>& bytes) {
  std::vector<T> stored(bytes.size() / sizeof(T));
  if (!bytes.empty()) std::memcpy(stored.data(), bytes.data(), bytes.size());
  std::vector<float> values;
  values.reserve(stored.size());
  for (const T value : stored) values.push_back(static_cast<float>(value));
  return values;
}

std::vector<float> floats_of(const std::vector<std::byte>& bytes, DType dtype) {
  if (dtype == DType::kFloat32) return floats_as<float>(bytes);
  return dtype == DType::kBFloat16 ? floats_as<BFloat16>(bytes) : floats_as<Float16>(bytes);
}

std::vector<std::byte> guard_bytes() {
  return bytes_of(std::vector<std::uint32_t>(kGuardBytes / sizeof(kGuardWord), kGuardWord));
}

std::vector<std::byte> nan_bytes(std::int64_t count) { return {static_cast<std::size_t>(count), kNanByte}; }

}  // namespace

std::ostream& operator<<(std::ostream& out, const BackendCase& backend_case) { return out << backend_case.name; }

GuardedTensor::GuardedTensor(Backend& backend, const Shape& shape, DType dtype, std::span<const std::byte> contents)
    : backend_(&backend) {
  const std::int64_t size_bytes = shape.num_elements() * size_of(dtype);
  buffer_ = Buffer(backend.memory(), size_bytes + kGuardBytes, {MemoryCategory::kActivations, "operand"});
  view_ = TensorView(buffer_.data(), dtype, shape);
  guard_ = TensorView(buffer_.data() + size_bytes, DType::kBFloat16, {kGuardBytes / size_of(DType::kBFloat16)});
  if (!contents.empty()) backend.copy_from_host(view_, contents);
  backend.copy_from_host(guard_, guard_bytes());
}

std::vector<std::byte> GuardedTensor::bytes() const {
  std::vector<std::byte> bytes(static_cast<std::size_t>(view_.size_bytes()));
  backend_->copy_to_host(bytes, view_);
  return bytes;
}

bool GuardedTensor::guard_intact() const {
  std::vector<std::byte> bytes(kGuardBytes);
  backend_->copy_to_host(bytes, guard_);
  return bytes == guard_bytes();
}

TensorView OpRun::add(const Shape& shape, DType dtype, std::vector<std::byte> contents, const std::string& result_name,
                      bool constant) {
  GuardedTensor tensor(backend_, shape, dtype, contents);
  if (!constant) contents.clear();
  operands_.push_back({std::move(tensor), result_name, std::move(contents)});
  return operands_.back().tensor.view();
}

ConstTensorView OpRun::input(const Shape& shape, const std::vector<float>& values, DType dtype) {
  return add(shape, dtype, bytes_of(values, dtype), "", true);
}

ConstTensorView OpRun::input(const Shape& shape, const std::vector<std::int32_t>& values) {
  return add(shape, DType::kInt32, bytes_of(values), "", true);
}

TensorView OpRun::output(const std::string& name, const Shape& shape, DType dtype) {
  return add(shape, dtype, nan_bytes(shape.num_elements() * size_of(dtype)), name, false);
}

TensorView OpRun::in_out(const std::string& name, const Shape& shape, const std::vector<float>& values, DType dtype) {
  return add(shape, dtype, bytes_of(values, dtype), name, false);
}

void OpRun::workspace(std::int64_t size_bytes) {
  if (size_bytes == 0) return;
  const TensorView view = add({ceil_div(size_bytes, 2)}, DType::kBFloat16, {}, "", false);
  // NaN where an op that reads before it writes would look: libraries ask for much more than they use.
  constexpr std::int64_t kFilledElements = 1 << 19;
  const std::int64_t filled = std::min(view.num_elements(), kFilledElements);
  backend_.copy_from_host(view.slice(0, {filled}), nan_bytes(filled * 2));
  backend_.bind_workspace({static_cast<std::byte*>(view.data()), static_cast<std::size_t>(size_bytes)});
}

std::map<std::string, std::vector<float>> OpRun::finish() {
  backend_.synchronize();
  std::map<std::string, std::vector<float>> results;
  for (std::size_t i = 0; i < operands_.size(); ++i) {
    const Operand& operand = operands_[i];
    const std::string label = operand.result_name.empty() ? fmt::format("operand {}", i) : operand.result_name;
    EXPECT_TRUE(operand.tensor.guard_intact()) << label << ": bytes after the end were overwritten";
    if (operand.result_name.empty() && operand.must_remain.empty()) continue;
    const std::vector<std::byte> bytes = operand.tensor.bytes();
    const bool remains = operand.must_remain.empty() || bytes == operand.must_remain;
    EXPECT_TRUE(remains) << label << ": an input was changed";
    if (!operand.result_name.empty()) results[operand.result_name] = floats_of(bytes, operand.tensor.view().dtype());
  }
  return results;
}

DType OpRun::dtype_of(const std::string& name) const {
  const auto found = std::ranges::find(operands_, name, &Operand::result_name);
  VIRGIL_CHECK(found != operands_.end(), "{} is no result of the op", name);
  return found->tensor.view().dtype();
}

void Conformance::SetUp() {
  if (GetParam().enter) GetParam().enter();
  if (IsSkipped()) return;
  backend_ = GetParam().make();
  if (GetParam().make_twin) twin_ = GetParam().make_twin();
}

void Conformance::TearDown() {
  twin_.reset();
  backend_.reset();
  if (GetParam().leave) GetParam().leave();
}

Conformance::Results Conformance::results_of(Backend& backend, const std::function<void(OpRun&)>& op) {
  OpRun run(backend, dtype());
  op(run);
  return run.finish();
}

std::vector<float> Conformance::representable(std::vector<float> values) {
  for (float& value : values) {
    if (dtype() == DType::kBFloat16) value = static_cast<float>(BFloat16(value));
    if (dtype() == DType::kFloat16) value = static_cast<float>(Float16(value));
  }
  return values;
}

std::vector<Tracked> Conformance::stored_as(DType dtype, std::vector<Tracked> expected) {
  for (Tracked& t : expected) t = rounded_to(dtype, t);
  return expected;
}

void Conformance::check(const std::vector<Expected>& expected, const std::function<void(OpRun&)>& op) {
  OpRun run(*backend_, dtype());
  op(run);
  const Results results = run.finish();
  for (const Expected& expectation : expected) {
    const std::string& name = expectation.name;
    ASSERT_TRUE(results.contains(name)) << name << " is no result of the op";
    expect_within_bounds(name, results.at(name), stored_as(run.dtype_of(name), expectation.values));
  }
  const Results again = results_of(*backend_, op);
  for (const auto& [name, values] : results) expect_same_bits(name + ", run again", again.at(name), values);
  if (!twin_) return;
  const Results of_twin = results_of(*twin_, op);
  for (const auto& [name, values] : results) {
    expect_same_bits(name + " of " + twin_->description(), of_twin.at(name), values);
  }
}

std::vector<BackendCase> backend_cases_in(const std::string& suite) {
  std::vector<BackendCase> cases = backend_cases();
  std::erase_if(cases,
                [&](const BackendCase& backend_case) { return !backend_case.suite.empty() && backend_case.suite != suite; });
  return cases;
}

std::vector<BackendCase> backend_cases_of(DType dtype) {
  std::vector<BackendCase> cases = backend_cases();
  std::erase_if(cases,
                [&](const BackendCase& backend_case) { return backend_case.dtype != dtype || !backend_case.suite.empty(); });
  return cases;
}

std::vector<BackendCase> backend_cases_that_check_indices() {
  std::vector<BackendCase> cases = backend_cases();
  std::erase_if(cases, [](const BackendCase& backend_case) { return !backend_case.checks_indices; });
  return cases;
}

void expect_within_bounds(const std::string& name, const std::vector<float>& actual, const std::vector<Tracked>& expected) {
  constexpr int kMaxReports = 5;
  ASSERT_EQ(actual.size(), expected.size()) << name;
  int num_wrong = 0;
  for (std::size_t i = 0; i < actual.size(); ++i) {
    const double difference = std::abs(static_cast<double>(actual[i]) - expected[i].value);
    if (difference <= expected[i].error + kSmallestNormal) continue;  // false for NaN
    if (++num_wrong > kMaxReports) continue;
    ADD_FAILURE() << fmt::format("{}[{}] is {}, expected {}: off by {:.3g}, the bound is {:.3g}", name, i, actual[i],
                                 expected[i].value, difference, expected[i].error);
  }
  EXPECT_EQ(num_wrong, 0) << name << ": of " << actual.size() << " elements";
}

void expect_same_bits(const std::string& what, const std::vector<float>& a, const std::vector<float>& b) {
  ASSERT_EQ(a.size(), b.size()) << what;
  for (std::size_t i = 0; i < a.size(); ++i) {
    ASSERT_EQ(std::bit_cast<std::uint32_t>(a[i]), std::bit_cast<std::uint32_t>(b[i]))
        << what << ": element " << i << " is " << a[i] << " and " << b[i];
  }
}

std::vector<float> normal_values(std::int64_t count, std::uint64_t seed, float stddev, float mean) {
  const RandomStream stream{.seed = seed, .purpose = RandomPurpose::kInit};
  std::vector<float> values;
  values.reserve(static_cast<std::size_t>(count));
  for (std::int64_t i = 0; i < count; ++i) {
    values.push_back(mean + stddev * random_normal(stream, static_cast<std::uint64_t>(i)));
  }
  return values;
}

std::vector<std::int32_t> random_tokens(std::int64_t count, std::int32_t bound, std::uint64_t seed) {
  const RandomStream stream{.seed = seed, .purpose = RandomPurpose::kBatch};
  std::vector<std::int32_t> values;
  values.reserve(static_cast<std::size_t>(count));
  for (std::int64_t i = 0; i < count; ++i) {
    const auto index = static_cast<std::uint64_t>(i);
    values.push_back(static_cast<std::int32_t>(random_below(stream, index, static_cast<std::uint64_t>(bound))));
  }
  return values;
}

std::vector<double> to_double(const std::vector<float>& values) { return {values.begin(), values.end()}; }

Dropout test_dropout(float p, std::int64_t first_sequence) {
  return {.p = p,
          .stream = {.seed = 0x0123456789ABCDEFU, .purpose = RandomPurpose::kResidualDropout, .site = 3, .step = 11},
          .first_sequence = first_sequence};
}

}  // namespace virgil::conformance

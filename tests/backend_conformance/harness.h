// Runs one op on the backend under test and holds its results against expectations. A test is about 15 lines:
//
//   class Gelu : public Conformance {};
//   VIRGIL_CONFORMANCE_SUITE(Gelu);
//   TEST_P(Gelu, ForwardMatchesReference) {  // normal_values and run.input follow the case's dtype
//     const auto inp = normal_values(24);
//     check({{"out", reference::gelu_forward(to_double(inp))}}, [&](OpRun& run) {
//       run.backend().run(ops::GeluForward{run.output("out", {3, 8}), run.input({3, 8}, inp)});
//     });
//   }
//
// check() runs the op twice on the backend under test and once on the backend that promises the same bits, and fails when
//   - a result differs from its expected value by more than its bound,
//   - two runs, or two numbers of threads, differ in a bit,
//   - bytes after an output (or after the workspace) are overwritten, or an input changes.
// Outputs hold NaN before the op runs; so does the workspace. A case in a 16-bit type has operands that the type holds exactly,
// and a bound that has one rounding to it more.
#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <ostream>
#include <span>
#include <string>
#include <vector>

#include "backend_conformance/tracked.h"
#include "virgil/backend/backend.h"
#include "virgil/memory/buffer.h"

namespace virgil::conformance {

/// A backend that takes part in the suite.
struct BackendCase {
  std::string name;  // letters, digits and underscores
  std::function<std::unique_ptr<Backend>()> make;
  DType dtype = DType::kFloat32;  // of the ops' tensors
  /// Makes a backend that promises the same bits, such as one with another number of threads; may be null.
  std::function<std::unique_ptr<Backend>()> make_twin;
  /// Called before a test, which it may skip, and after it; may be null.
  std::function<void()> enter;
  std::function<void()> leave;
  bool same_products = false;  // the twin promises the same bits of matrix products too
  bool checks_indices = true;  // tokens and targets out of range are refused
  std::string suite = {};      // the only one in which it takes part; empty: in all
  bool attention_dropout = true;
  bool grouped_heads = true;            // computes attention in which query heads share keys and values
  bool windows = true;                  // and attention to a window of positions
  std::int64_t shortest_attention = 1;  // positions of the shortest backward pass that it computes
};
std::ostream& operator<<(std::ostream& out, const BackendCase& backend_case);

/// All backends of this build. Defined once, beside the list.
[[nodiscard]] std::vector<BackendCase> backend_cases();
/// Those that take part in a suite.
[[nodiscard]] std::vector<BackendCase> backend_cases_in(const std::string& suite);
/// Those of one dtype, of the ones that take part in all suites.
[[nodiscard]] std::vector<BackendCase> backend_cases_of(DType dtype);

/// Those that refuse tokens and targets out of range.
[[nodiscard]] std::vector<BackendCase> backend_cases_that_check_indices();

/// A tensor in a backend's memory, with guard bytes after it.
class GuardedTensor {
 public:
  /// Without contents its values are undefined.
  GuardedTensor(Backend& backend, const Shape& shape, DType dtype, std::span<const std::byte> contents);
  [[nodiscard]] TensorView view() const { return view_; }
  [[nodiscard]] std::vector<std::byte> bytes() const;
  [[nodiscard]] bool guard_intact() const;

 private:
  Backend* backend_;
  Buffer buffer_;
  TensorView view_;
  TensorView guard_;
};

/// One run of an op: makes its operands, keeps them, and collects the results.
class OpRun {
 public:
  /// `dtype` is that of operands without a dtype of their own.
  OpRun(Backend& backend, DType dtype) : backend_(backend), dtype_(dtype) {}
  ~OpRun() { backend_.bind_workspace({}); }
  OpRun(const OpRun&) = delete;
  OpRun& operator=(const OpRun&) = delete;

  [[nodiscard]] Backend& backend() { return backend_; }
  /// An operand that must not change. Its values are such as the dtype holds.
  [[nodiscard]] ConstTensorView input(const Shape& shape, const std::vector<float>& values) {
    return input(shape, values, dtype_);
  }
  [[nodiscard]] ConstTensorView input(const Shape& shape, const std::vector<float>& values, DType dtype);
  [[nodiscard]] ConstTensorView input(const Shape& shape, const std::vector<std::int32_t>& values);
  /// A result, full of NaN.
  [[nodiscard]] TensorView output(const std::string& name, const Shape& shape) { return output(name, shape, dtype_); }
  [[nodiscard]] TensorView output(const std::string& name, const Shape& shape, DType dtype);
  /// An operand that the op updates.
  [[nodiscard]] TensorView in_out(const std::string& name, const Shape& shape, const std::vector<float>& values) {
    return in_out(name, shape, values, dtype_);
  }
  [[nodiscard]] TensorView in_out(const std::string& name, const Shape& shape, const std::vector<float>& values, DType dtype);
  /// Binds a workspace of exactly so many bytes. Without a call the op has none.
  void workspace(std::int64_t size_bytes);

  /// Results by name, as float32. Adds a test failure for every overwritten guard and every changed input.
  [[nodiscard]] std::map<std::string, std::vector<float>> finish();
  /// The type that a result is stored in.
  [[nodiscard]] DType dtype_of(const std::string& name) const;

 private:
  struct Operand {
    GuardedTensor tensor;
    std::string result_name;             // empty: an input or the workspace
    std::vector<std::byte> must_remain;  // empty: may change
  };
  TensorView add(const Shape& shape, DType dtype, std::vector<std::byte> contents, const std::string& result_name,
                 bool constant);

  Backend& backend_;
  DType dtype_;
  std::deque<Operand> operands_;
};

struct Expected {
  std::string name;
  std::vector<Tracked> values;
};

/// Seeded normal values.
[[nodiscard]] std::vector<float> normal_values(std::int64_t count, std::uint64_t seed = 1, float stddev = 1, float mean = 0);

/// Fixture of every op test.
class Conformance : public ::testing::TestWithParam<BackendCase> {
 protected:
  using Results = std::map<std::string, std::vector<float>>;

  void SetUp() override;
  void TearDown() override;
  [[nodiscard]] Backend& backend() { return *backend_; }
  [[nodiscard]] static DType dtype() { return GetParam().dtype; }
  /// A power of two near the end of the range of the case's dtype.
  [[nodiscard]] static float huge() { return dtype() == DType::kFloat16 ? 0x1.0p15F : 0x1.0p100F; }
  /// `values` as the case's dtype holds them.
  [[nodiscard]] static std::vector<float> representable(std::vector<float> values);
  /// Seeded normal values that the case's dtype holds.
  [[nodiscard]] static std::vector<float> normal_values(std::int64_t count, std::uint64_t seed = 1, float stddev = 1,
                                                        float mean = 0) {
    return representable(conformance::normal_values(count, seed, stddev, mean));
  }
  /// See the head of this file. Results that `expected` does not name are compared for their bits only.
  void check(const std::vector<Expected>& expected, const std::function<void(OpRun&)>& op);
  /// The results of one run, guards checked.
  [[nodiscard]] Results results_of(const std::function<void(OpRun&)>& op) { return results_of(*backend_, op); }
  /// The same of the twin, which must exist.
  [[nodiscard]] Results results_of_twin(const std::function<void(OpRun&)>& op) { return results_of(*twin_, op); }
  /// The bounds of results that are stored as `dtype`: `expected`, where the type is of 16 bits rounded once more.
  [[nodiscard]] static std::vector<Tracked> stored_as(DType dtype, std::vector<Tracked> expected);

 private:
  [[nodiscard]] static Results results_of(Backend& backend, const std::function<void(OpRun&)>& op);

  std::unique_ptr<Backend> backend_;
  std::unique_ptr<Backend> twin_;
};

#define VIRGIL_CONFORMANCE_SUITE(Suite)                                                                           \
  INSTANTIATE_TEST_SUITE_P(Backends, Suite, ::testing::ValuesIn(::virgil::conformance::backend_cases_in(#Suite)), \
                           [](const auto& info) { return info.param.name; })

/// The same, of the backends that look at tokens and targets; there may be none.
#define VIRGIL_INDEX_SUITE(Suite)                                                                                           \
  GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(Suite);                                                                     \
  INSTANTIATE_TEST_SUITE_P(Backends, Suite, ::testing::ValuesIn(::virgil::conformance::backend_cases_that_check_indices()), \
                           [](const auto& info) { return info.param.name; })

/// Compares element by element; reports the first few that are off by more than their bound.
void expect_within_bounds(const std::string& name, const std::vector<float>& actual, const std::vector<Tracked>& expected);
/// Compares bits, so that NaN equals itself and 0 differs from -0.
void expect_same_bits(const std::string& what, const std::vector<float>& a, const std::vector<float>& b);

/// Seeded integers in [0, bound).
[[nodiscard]] std::vector<std::int32_t> random_tokens(std::int64_t count, std::int32_t bound, std::uint64_t seed = 1);
[[nodiscard]] std::vector<double> to_double(const std::vector<float>& values);
/// Dropout with a stream that uses every field; p = 0 gives none.
[[nodiscard]] Dropout test_dropout(float p, std::int64_t first_sequence = 5);

}  // namespace virgil::conformance

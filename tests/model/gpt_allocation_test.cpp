// A step works in the plan's memory alone. This file counts what the whole test program asks of operator new.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <string>

#include "support/test_model.h"
#include "virgil/optim/optimizer.h"

namespace {

std::atomic<std::int64_t> num_calls{0};
std::atomic<std::int64_t> largest_bytes{0};

void* counted_allocation_or_null(std::size_t size_bytes) noexcept {
  ++num_calls;
  const auto bytes = static_cast<std::int64_t>(size_bytes);
  std::int64_t largest = largest_bytes;
  while (bytes > largest && !largest_bytes.compare_exchange_weak(largest, bytes)) {
  }
  return std::malloc(size_bytes == 0 ? 1 : size_bytes);
}

void* counted_allocation(std::size_t size_bytes) {
  void* data = counted_allocation_or_null(size_bytes);
  if (data == nullptr) throw std::bad_alloc();
  return data;
}

}  // namespace

void* operator new(std::size_t size_bytes) { return counted_allocation(size_bytes); }
void* operator new[](std::size_t size_bytes) { return counted_allocation(size_bytes); }
void* operator new(std::size_t size_bytes, const std::nothrow_t&) noexcept { return counted_allocation_or_null(size_bytes); }
void* operator new[](std::size_t size_bytes, const std::nothrow_t&) noexcept { return counted_allocation_or_null(size_bytes); }
void operator delete(void* data) noexcept { std::free(data); }
void operator delete[](void* data) noexcept { std::free(data); }
void operator delete(void* data, std::size_t) noexcept { std::free(data); }
void operator delete[](void* data, std::size_t) noexcept { std::free(data); }

namespace virgil {
namespace {

using test_support::TestModel;

class StepAllocations : public testing::TestWithParam<DType> {};

// What is left are oneDNN's handles of a product's operands, a few dozen bytes each: no tensor, no scratch, and as many in
// every step.
TEST_P(StepAllocations, AreHandlesOnly) {
  constexpr std::int64_t kHandleBytes = 1024;
  const Architecture sizes{
      .num_layers = 2, .num_heads = 2, .embedding_dim = 64, .block_size = 64, .vocab_size = 300, .dropout = 0.1F};
  for (const Recompute recompute : kAllRecompute) {
    TestModel model(sizes, {.batch_size = 4, .length = 64, .dtype = GetParam(), .recompute = recompute});
    Optimizer optimizer(model.backend(), model.plan(), model.memory(), {});
    optimizer.reset();
    const auto batch = model.random_batch();
    const auto step = [&](std::int64_t t) {
      model.compute_gradients(batch, {.seed = 1, .step = static_cast<std::uint32_t>(t)});
      (void)optimizer.step(t, 1e-3);
    };
    step(1);  // makes the products' primitives
    std::int64_t calls_of_a_step = 0;
    for (std::int64_t t = 2; t <= 4; ++t) {
      num_calls = 0;
      largest_bytes = 0;
      step(t);
      const std::int64_t calls = num_calls;
      EXPECT_LT(largest_bytes, kHandleBytes) << name_of(recompute);
      if (t > 2) {
        EXPECT_EQ(calls, calls_of_a_step) << name_of(recompute);
      }
      calls_of_a_step = calls;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Dtypes, StepAllocations, testing::Values(DType::kFloat32, DType::kBFloat16),
                         [](const auto& info) { return std::string(name_of(info.param)); });

}  // namespace
}  // namespace virgil

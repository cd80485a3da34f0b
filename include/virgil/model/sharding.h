// How processes that train together divide what each would otherwise hold whole.
//
// Rajbhandari et al. 2020, "ZeRO: Memory Optimizations Toward Training Trillion Parameter Models": with stage 1 each process
// holds and updates its part of the optimizer's state, with stage 2 also its part of the gradients alone.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "virgil/base/dtype.h"
#include "virgil/base/storage_type.h"
#include "virgil/memory/tensor_view.h"
#include "virgil/model/parameter_layout.h"

namespace virgil {

inline constexpr int kMaxZeroStage = 2;

struct DataParallel {
  std::int64_t processes = 1;
  int zero_stage = 0;              // 0: every process holds everything; without effect in one process
  std::int64_t staging_bytes = 0;  // device memory that collectives pack their messages in
  DType wire = DType::kFloat32;    // in which gradients travel to be summed: float32 or bfloat16

  [[nodiscard]] bool shards_optimizer() const { return processes > 1 && zero_stage >= 1; }
  [[nodiscard]] bool shards_gradients() const { return processes > 1 && zero_stage >= 2; }
  friend bool operator==(const DataParallel&, const DataParallel&) = default;
};

/// Which numbers of a flat buffer a tensor has, and how it keeps them.
struct FlatExtent {
  std::int64_t first = 0;  // of a bucket
  std::int64_t num_elements = 0;
  StorageType storage = {};  // whose blocks divide ParameterLayout::kAlignment
  StatePer per = StatePer::kElement;

  /// Where a parameter's numbers lie, and how many there are, in units of the storage.
  [[nodiscard]] std::int64_t place_of(const ParameterSpec& spec) const { return storage.units_for(spec.place(per)); }
  [[nodiscard]] std::int64_t units_of(const ParameterSpec& spec) const { return storage.units_for(spec.count(per)); }
};

/// A flat buffer in a layout's order: the whole (of an extent), or one rank's part of every bucket, side by side in the
/// buckets' order. Views memory and a layout that outlive it.
///
/// Places and counts are those of the layout, of its elements or neurons, in units of the storage: one each, but for blocks.
class FlatTensor {
 public:
  FlatTensor() = default;
  /// `view` has flat_elements().
  [[nodiscard]] static FlatTensor whole(const ParameterLayout& layout, TensorView view);
  /// `view` has flat_elements() / num_shards().
  [[nodiscard]] static FlatTensor part(const ParameterLayout& layout, TensorView view, std::int64_t rank);
  /// The whole of an extent, or rank `rank`'s part of it. `view` has its units.
  [[nodiscard]] static FlatTensor whole(const ParameterLayout& layout, const FlatExtent& extent, TensorView view);
  [[nodiscard]] static FlatTensor part(const ParameterLayout& layout, const FlatExtent& extent, TensorView view,
                                       std::int64_t rank);

  [[nodiscard]] bool present() const { return view_.present(); }
  [[nodiscard]] TensorView view() const { return view_; }
  [[nodiscard]] bool is_whole() const { return rank_ < 0; }
  [[nodiscard]] const FlatExtent& extent() const { return extent_; }
  /// Of `numbers` numbers, or the place of number `numbers`: blocks before it are whole.
  [[nodiscard]] std::int64_t units(std::int64_t numbers) const { return extent_.storage.units_for(numbers); }
  /// The units of a bucket.
  [[nodiscard]] FlatRun units_of(const ParameterBucket& bucket) const {
    const FlatRun numbers = bucket.run(extent_.per);
    return {units(numbers.first), units(numbers.count)};
  }
  /// The bucket that holds a unit.
  [[nodiscard]] std::size_t bucket_of(std::int64_t unit) const;
  /// (count): units [first, first + count), which lie in one bucket, and in one part unless this is the whole.
  [[nodiscard]] TensorView slice(std::int64_t first, std::int64_t count) const;
  /// Where rank `rank`'s part of a bucket lies, (n): in the whole, or, for this part's own rank, in the part.
  [[nodiscard]] TensorView part_of_bucket(std::size_t bucket, std::int64_t rank) const;
  /// Calls visit(first unit in the whole, its view) for each run of units [first, first + count) that is held here, in order.
  void for_each_piece(std::int64_t first, std::int64_t count, const std::function<void(std::int64_t, TensorView)>& visit) const;
  /// The same of the units in rank `rank`'s part alone; not of another rank's part.
  void for_each_piece_of_rank(std::int64_t rank, std::int64_t first, std::int64_t count,
                              const std::function<void(std::int64_t, TensorView)>& visit) const;

 private:
  static FlatTensor make(const ParameterLayout& layout, const FlatExtent& extent, TensorView view, std::int64_t rank);

  const ParameterLayout* layout_ = nullptr;
  FlatExtent extent_;
  TensorView view_;
  std::int64_t rank_ = -1;  // -1: the whole
};

/// Where each bucket's gradients are accumulated. A window smaller than the model holds them when every process keeps only its
/// part of the sums: layers then take turns in two places, one of which is written while the other is being reduced.
class GradientLayout {
 public:
  GradientLayout(const ParameterLayout& layout, bool windowed);

  [[nodiscard]] std::int64_t num_elements() const { return num_elements_; }
  /// Offset of a bucket's gradients. Buckets that overlap take turns.
  [[nodiscard]] std::int64_t offset_of(std::size_t bucket) const { return offsets_[bucket]; }
  /// One parameter's gradient.
  [[nodiscard]] TensorView view_of(const ParameterLayout& layout, const ParameterSpec& spec, TensorView gradients) const;

 private:
  std::vector<std::int64_t> offsets_;
  std::int64_t num_elements_ = 0;
};

}  // namespace virgil

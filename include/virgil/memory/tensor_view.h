// Non-owning views of dense, row-major tensors. Constness is in the type; a view is two words and a shape, passed by value.
//
// A view of memory has an address. One of a plan that has no memory yet has the number of a tensor and an offset in it instead:
// it has a shape, may be sliced and reshaped, and whoever asks for its data is told that there is none.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "virgil/base/dtype.h"
#include "virgil/base/error.h"
#include "virgil/base/shape.h"

namespace virgil {

namespace detail {

template <typename Void, typename Byte>
class BasicTensorView {
 public:
  /// The absent tensor: an optional operand that is not given (a bias of a model without biases).
  BasicTensorView() = default;
  BasicTensorView(Void* data, DType dtype, const Shape& shape)
      : place_(reinterpret_cast<std::uintptr_t>(data)), dtype_(dtype), shape_(shape) {}
  /// Tensor `tensor` (from 0) of a plan, from byte `offset_bytes` on.
  [[nodiscard]] static BasicTensorView planned(std::int32_t tensor, std::int64_t offset_bytes, DType dtype,
                                               const Shape& shape) {
    BasicTensorView view(nullptr, dtype, shape);
    view.place_ = static_cast<std::uintptr_t>(offset_bytes);
    view.tensor_ = tensor;
    return view;
  }

  [[nodiscard]] bool present() const { return place_ != 0 || tensor_ >= 0; }
  /// Throws InternalError for a tensor of a plan.
  [[nodiscard]] Void* data() const {
    VIRGIL_CHECK(tensor_ < 0, "tensor {} of a plan has no memory yet", tensor_);
    return reinterpret_cast<Void*>(place_);  // NOLINT(performance-no-int-to-ptr)
  }
  /// The number of a plan's tensor, and where in it the view begins; -1 for memory.
  [[nodiscard]] std::int32_t tensor() const { return tensor_; }
  [[nodiscard]] std::int64_t offset_bytes() const { return static_cast<std::int64_t>(place_); }
  [[nodiscard]] DType dtype() const { return dtype_; }
  [[nodiscard]] const Shape& shape() const { return shape_; }
  [[nodiscard]] std::int64_t num_elements() const { return shape_.num_elements(); }
  [[nodiscard]] std::int64_t size_bytes() const { return checked_multiply(num_elements(), size_of(dtype_)); }

  /// Typed pointer to the first element; throws InternalError when T is not the dtype.
  template <typename T>
  [[nodiscard]] auto as() const {
    using Element = std::conditional_t<std::is_const_v<Void>, const T, T>;
    VIRGIL_CHECK(dtype_ == DTypeOf<T>::value, "tensor of {} read as {}", name_of(dtype_), name_of(DTypeOf<T>::value));
    return static_cast<Element*>(data());
  }

  /// The same elements under another shape with as many elements.
  [[nodiscard]] BasicTensorView reshape(const Shape& shape) const {
    VIRGIL_CHECK(shape.num_elements() == num_elements(), "cannot view {} as {}", shape_.to_string(), shape.to_string());
    BasicTensorView view = *this;
    view.shape_ = shape;
    return view;
  }
  /// Elements [first, first + shape.num_elements()) of the flattened tensor, viewed as `shape`.
  [[nodiscard]] BasicTensorView slice(std::int64_t first, const Shape& shape) const {
    VIRGIL_CHECK(first >= 0 && first + shape.num_elements() <= num_elements(), "slice {} + {} of {}", first, shape.to_string(),
                 shape_.to_string());
    BasicTensorView view = *this;
    view.place_ += static_cast<std::uintptr_t>(first * size_of(dtype_));
    view.shape_ = shape;
    return view;
  }

 private:
  std::uintptr_t place_ = 0;  // the address, or the offset in a plan's tensor
  std::int32_t tensor_ = -1;
  DType dtype_ = DType::kFloat32;
  Shape shape_;
};

}  // namespace detail

using TensorView = detail::BasicTensorView<void, std::byte>;

/// A view that promises not to write. Made from any TensorView.
class ConstTensorView : public detail::BasicTensorView<const void, const std::byte> {
 public:
  using BasicTensorView::BasicTensorView;
  ConstTensorView(const BasicTensorView& view) : BasicTensorView(view) {}  // NOLINT
  ConstTensorView(const TensorView& view)                                  // NOLINT
      : BasicTensorView(view.tensor() < 0 ? BasicTensorView(view.data(), view.dtype(), view.shape())
                                          : planned(view.tensor(), view.offset_bytes(), view.dtype(), view.shape())) {}
};

}  // namespace virgil

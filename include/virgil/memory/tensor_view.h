// Non-owning views of dense, row-major tensors. Constness is in the type; a view is two words and a shape, passed by value.
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
  BasicTensorView(Void* data, DType dtype, const Shape& shape) : data_(data), dtype_(dtype), shape_(shape) {}

  [[nodiscard]] bool present() const { return data_ != nullptr; }
  [[nodiscard]] Void* data() const { return data_; }
  [[nodiscard]] DType dtype() const { return dtype_; }
  [[nodiscard]] const Shape& shape() const { return shape_; }
  [[nodiscard]] std::int64_t num_elements() const { return shape_.num_elements(); }
  [[nodiscard]] std::int64_t size_bytes() const { return checked_multiply(num_elements(), size_of(dtype_)); }

  /// Typed pointer to the first element; throws InternalError when T is not the dtype.
  template <typename T>
  [[nodiscard]] auto as() const {
    using Element = std::conditional_t<std::is_const_v<Void>, const T, T>;
    VIRGIL_CHECK(dtype_ == DTypeOf<T>::value, "tensor of {} read as {}", name_of(dtype_), name_of(DTypeOf<T>::value));
    return static_cast<Element*>(data_);
  }

  /// The same elements under another shape with as many elements.
  [[nodiscard]] BasicTensorView reshape(const Shape& shape) const {
    VIRGIL_CHECK(shape.num_elements() == num_elements(), "cannot view {} as {}", shape_.to_string(), shape.to_string());
    return {data_, dtype_, shape};
  }
  /// Elements [first, first + shape.num_elements()) of the flattened tensor, viewed as `shape`.
  [[nodiscard]] BasicTensorView slice(std::int64_t first, const Shape& shape) const {
    VIRGIL_CHECK(first >= 0 && first + shape.num_elements() <= num_elements(), "slice {} + {} of {}", first, shape.to_string(),
                 shape_.to_string());
    return {static_cast<Byte*>(data_) + first * size_of(dtype_), dtype_, shape};
  }

 private:
  Void* data_ = nullptr;
  DType dtype_ = DType::kFloat32;
  Shape shape_;
};

}  // namespace detail

using TensorView = detail::BasicTensorView<void, std::byte>;

/// A view that promises not to write. Made from any TensorView.
class ConstTensorView : public detail::BasicTensorView<const void, const std::byte> {
 public:
  using BasicTensorView::BasicTensorView;
  ConstTensorView(const BasicTensorView& view) : BasicTensorView(view) {}                                // NOLINT
  ConstTensorView(const TensorView& view) : BasicTensorView(view.data(), view.dtype(), view.shape()) {}  // NOLINT
};

}  // namespace virgil

// Neighbouring elements moved by one instruction: 16 bytes where possible, the widest access a thread has.
#pragma once

#include <cstdint>

#include "cuda/device/gpu.h"

namespace virgil::cuda {

/// `Size` neighbouring elements: 16 bytes unless said otherwise. In memory they are aligned to their size, so a pack of one
/// element fits everywhere: kernels with a width parameter use it where packs do not fit.
template <typename T, int Size = 16 / static_cast<int>(sizeof(T))>
struct alignas(Size * sizeof(T)) Pack {
  static constexpr int kSize = Size;
  T values[Size];
  __device__ __forceinline__ T& operator[](int i) { return values[i]; }
  __device__ __forceinline__ const T& operator[](int i) const { return values[i]; }
};

namespace detail {
/// The builtin type that the compiler moves in one instruction.
template <int Bytes>
struct BitsOfSize;
template <>
struct BitsOfSize<16> {
  using Type = uint4;
};
template <>
struct BitsOfSize<8> {
  using Type = uint2;
};
template <>
struct BitsOfSize<4> {
  using Type = unsigned int;
};
template <>
struct BitsOfSize<2> {
  using Type = unsigned short;
};
template <typename T, int Size>
using Bits = typename BitsOfSize<Size* static_cast<int>(sizeof(T))>::Type;

template <typename T, int Size>
__device__ __forceinline__ Pack<T, Size> as_pack(const Bits<T, Size>& bits) {
  union {
    Bits<T, Size> bits;
    Pack<T, Size> pack;
  } both{bits};
  return both.pack;
}
template <typename T, int Size>
__device__ __forceinline__ Bits<T, Size> as_bits(const Pack<T, Size>& pack) {
  union {
    Pack<T, Size> pack;
    Bits<T, Size> bits;
  } both{pack};
  return both.bits;
}
}  // namespace detail

/// For data that is used again soon.
template <typename T, int Size = Pack<T>::kSize>
__device__ __forceinline__ Pack<T, Size> load_pack(const T* address) {
  return detail::as_pack<T, Size>(*reinterpret_cast<const detail::Bits<T, Size>*>(address));
}
/// For data that no kernel writes while this one runs, such as weights.
template <typename T, int Size = Pack<T>::kSize>
__device__ __forceinline__ Pack<T, Size> load_pack_readonly(const T* address) {
  return detail::as_pack<T, Size>(__ldg(reinterpret_cast<const detail::Bits<T, Size>*>(address)));
}
/// For data that is read once: the first to leave the caches.
template <typename T, int Size = Pack<T>::kSize>
__device__ __forceinline__ Pack<T, Size> load_pack_streaming(const T* address) {
  return detail::as_pack<T, Size>(__ldcs(reinterpret_cast<const detail::Bits<T, Size>*>(address)));
}
template <typename T, int Size>
__device__ __forceinline__ void store_pack(T* address, const Pack<T, Size>& pack) {
  *reinterpret_cast<detail::Bits<T, Size>*>(address) = detail::as_bits(pack);
}
/// For data that is not read again soon.
template <typename T, int Size>
__device__ __forceinline__ void store_pack_streaming(T* address, const Pack<T, Size>& pack) {
  __stcs(reinterpret_cast<detail::Bits<T, Size>*>(address), detail::as_bits(pack));
}

/// As many floats as a pack of another type has elements; Width is 1, or a multiple of 4 at a 16-byte boundary.
template <int Width>
__device__ __forceinline__ void load_floats(float (&values)[Width], const float* address) {
  constexpr int kStep = Width == 1 ? 1 : 4;
#pragma unroll
  for (int first = 0; first < Width; first += kStep) {
    const Pack<float, kStep> pack = load_pack<float, kStep>(address + first);
#pragma unroll
    for (int i = 0; i < kStep; ++i) values[first + i] = pack[i];
  }
}
template <int Width>
__device__ __forceinline__ void store_floats(float* address, const float (&values)[Width]) {
  constexpr int kStep = Width == 1 ? 1 : 4;
#pragma unroll
  for (int first = 0; first < Width; first += kStep) {
    Pack<float, kStep> pack;
#pragma unroll
    for (int i = 0; i < kStep; ++i) pack[i] = values[first + i];
    store_pack(address + first, pack);
  }
}

/// Whether rows of `row_elements` elements that start at these addresses can be read in packs.
template <typename T, typename... Pointers>
[[nodiscard]] bool packs_fit(std::int64_t row_elements, const Pointers*... pointers) {
  return row_elements % Pack<T>::kSize == 0 && ((reinterpret_cast<std::uintptr_t>(pointers) % 16 == 0) && ...);
}

}  // namespace virgil::cuda

// 16 bytes of a type, moved by one instruction: the widest access a thread has.
#pragma once

#include "cuda/device/gpu.h"

namespace virgil::cuda {

/// `kSize` neighbouring elements. In memory they are 16-byte aligned.
template <typename T>
struct alignas(16) Pack {
  static constexpr int kSize = 16 / static_cast<int>(sizeof(T));
  T values[kSize];
  __device__ __forceinline__ T& operator[](int i) { return values[i]; }
  __device__ __forceinline__ const T& operator[](int i) const { return values[i]; }
};

namespace detail {
template <typename T>
__device__ __forceinline__ Pack<T> as_pack(const uint4& bits) {
  union {
    uint4 bits;
    Pack<T> pack;
  } both{bits};
  return both.pack;
}
template <typename T>
__device__ __forceinline__ uint4 as_bits(const Pack<T>& pack) {
  union {
    Pack<T> pack;
    uint4 bits;
  } both{pack};
  return both.bits;
}
}  // namespace detail

/// For data that is used again soon.
template <typename T>
__device__ __forceinline__ Pack<T> load_pack(const T* address) {
  return detail::as_pack<T>(*reinterpret_cast<const uint4*>(address));
}
/// For data that no kernel writes while this one runs, such as weights.
template <typename T>
__device__ __forceinline__ Pack<T> load_pack_readonly(const T* address) {
  return detail::as_pack<T>(__ldg(reinterpret_cast<const uint4*>(address)));
}
/// For data that is read once: the first to leave the caches.
template <typename T>
__device__ __forceinline__ Pack<T> load_pack_streaming(const T* address) {
  return detail::as_pack<T>(__ldcs(reinterpret_cast<const uint4*>(address)));
}
template <typename T>
__device__ __forceinline__ void store_pack(T* address, const Pack<T>& pack) {
  *reinterpret_cast<uint4*>(address) = detail::as_bits(pack);
}
/// For data that is not read again soon.
template <typename T>
__device__ __forceinline__ void store_pack_streaming(T* address, const Pack<T>& pack) {
  __stcs(reinterpret_cast<uint4*>(address), detail::as_bits(pack));
}

/// Whether rows of `row_elements` elements that start at these addresses can be read in packs.
template <typename T, typename... Pointers>
[[nodiscard]] bool packs_fit(std::int64_t row_elements, const Pointers*... pointers) {
  return row_elements % Pack<T>::kSize == 0 && ((reinterpret_cast<std::uintptr_t>(pointers) % 16 == 0) && ...);
}

}  // namespace virgil::cuda

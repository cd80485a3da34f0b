// AddressSanitizer's notes on fibers and on memory that may not be touched; nothing in other builds.
#pragma once

#include <cstddef>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace virgil::simt {

#if defined(__SANITIZE_ADDRESS__)
inline constexpr bool kAddressSanitizer = true;
inline void poison(const void* data, std::size_t size_bytes) { __asan_poison_memory_region(data, size_bytes); }
inline void unpoison(const void* data, std::size_t size_bytes) { __asan_unpoison_memory_region(data, size_bytes); }
inline void start_switch_fiber(void** fake_stack, const void* bottom, std::size_t size_bytes) {
  __sanitizer_start_switch_fiber(fake_stack, bottom, size_bytes);
}
inline void finish_switch_fiber(void* fake_stack, const void** bottom, std::size_t* size_bytes) {
  __sanitizer_finish_switch_fiber(fake_stack, bottom, size_bytes);
}
#else
inline constexpr bool kAddressSanitizer = false;
inline void poison(const void* /*data*/, std::size_t /*size_bytes*/) {}
inline void unpoison(const void* /*data*/, std::size_t /*size_bytes*/) {}
inline void start_switch_fiber(void** /*fake_stack*/, const void* /*bottom*/, std::size_t /*size_bytes*/) {}
inline void finish_switch_fiber(void* /*fake_stack*/, const void** /*bottom*/, std::size_t* /*size_bytes*/) {}
#endif

}  // namespace virgil::simt

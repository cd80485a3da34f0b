// The calls that a compiler inserts before memory accesses under -fsanitize=thread, brought to the race detector. Linked into
// the race build instead of ThreadSanitizer's own library.
#include "cuda/sim/race_detector.h"

namespace {

using virgil::simt::Access;
using virgil::simt::note_access;

}  // namespace

#define VIRGIL_TSAN_ACCESS(bytes)                                                                                       \
  void __tsan_read##bytes(void* address) { note_access(address, bytes, Access::kRead, __builtin_return_address(0)); }   \
  void __tsan_write##bytes(void* address) { note_access(address, bytes, Access::kWrite, __builtin_return_address(0)); } \
  void __tsan_unaligned_read##bytes(void* address) {                                                                    \
    note_access(address, bytes, Access::kRead, __builtin_return_address(0));                                            \
  }                                                                                                                     \
  void __tsan_unaligned_write##bytes(void* address) {                                                                   \
    note_access(address, bytes, Access::kWrite, __builtin_return_address(0));                                           \
  }

extern "C" {  // NOLINTBEGIN: the names are the compiler's

void __tsan_init() { virgil::simt::RaceDetector::enable(); }
VIRGIL_TSAN_ACCESS(1)
VIRGIL_TSAN_ACCESS(2)
VIRGIL_TSAN_ACCESS(4)
VIRGIL_TSAN_ACCESS(8)
VIRGIL_TSAN_ACCESS(16)
void __tsan_read_range(void* address, unsigned long size_bytes) {
  note_access(address, size_bytes, Access::kRead, __builtin_return_address(0));
}
void __tsan_write_range(void* address, unsigned long size_bytes) {
  note_access(address, size_bytes, Access::kWrite, __builtin_return_address(0));
}
void __tsan_vptr_update(void** /*address*/, void* /*value*/) {}
void __tsan_vptr_read(void** /*address*/) {}
void __tsan_func_entry(void* /*pc*/) {}
void __tsan_func_exit() {}

}  // NOLINTEND

#include "virgil/ops/copies.h"

#include "virgil/base/error.h"
#include "virgil/ops/expectations.h"

namespace virgil::ops {

void SetZero::check() const { VIRGIL_CHECK(dst.present(), "set_zero: dst is absent"); }

void Copy::check() const {
  VIRGIL_CHECK(src.present(), "copy: src is absent");
  expect_count(kName, "dst", dst, src.num_elements(), src.dtype());
}

void Convert::check() const {
  expect_float(kName, "src", src);
  expect_float(kName, "dst", dst);
  expect_count(kName, "dst", dst, src.num_elements(), dst.dtype());
}

}  // namespace virgil::ops

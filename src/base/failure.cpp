#include "virgil/base/failure.h"

#include <fmt/format.h>

#include <filesystem>
#include <new>
#include <string_view>
#include <system_error>

#include "posix_file.h"
#include "virgil/base/error.h"
#include "virgil/base/excerpt.h"
#include "virgil/base/non_finite_error.h"

namespace virgil {
namespace {

Failure to_mend(std::string_view what) { return {2, "error: " + bounded_message(what)}; }

}  // namespace

Failure describe_failure(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const UserError& user_error) {
    return to_mend(user_error.what());
  } catch (const std::filesystem::filesystem_error& refused) {
    return to_mend(io_error(refused.path1(), "cannot be used", refused.code().value()).what());
  } catch (const std::bad_alloc&) {
    return to_mend(
        "the system refused memory that is needed besides the plan; close other programs, raise the limit of this process (ulimit "
        "-v, or its container's or job's), or give it less to do: a smaller --batch_size, or shorter texts");
  } catch (const std::system_error& refused) {
    return to_mend(fmt::format(
        "the system refused what the program asked for: {}; raise the limits of this process (ulimit -a)", refused.what()));
  } catch (const NonFiniteError& lost) {
    return {1, "error: " + bounded_message(lost.what())};
  } catch (const std::exception& internal) {
    return {1, "internal error: " + bounded_message(internal.what())};
  }
}

}  // namespace virgil

#include "mpi/mpi_errors.h"

#include <fmt/format.h>

#include "virgil/base/error.h"

namespace virgil {

std::string describe_mpi_error(int code) {
  std::string text(MPI_MAX_ERROR_STRING, '\0');
  int length = 0;
  if (MPI_Error_string(code, text.data(), &length) != MPI_SUCCESS) return fmt::format("MPI error {}", code);
  text.resize(static_cast<std::size_t>(length));
  return text;
}

void check_mpi(int code, const char* call) { VIRGIL_CHECK(code == MPI_SUCCESS, "{}: {}", call, describe_mpi_error(code)); }

bool is_mismatch(int code) {
  int error_class = MPI_ERR_UNKNOWN;
  MPI_Error_class(code, &error_class);
  switch (error_class) {
    case MPI_ERR_TRUNCATE:
    case MPI_ERR_BUFFER:
    case MPI_ERR_COUNT:
    case MPI_ERR_TYPE:
    case MPI_ERR_TAG:
    case MPI_ERR_COMM:
    case MPI_ERR_RANK:
    case MPI_ERR_ROOT:
    case MPI_ERR_REQUEST:
    case MPI_ERR_ARG:
      return true;
    default:
      return false;
  }
}

}  // namespace virgil

// MPI's error codes as exceptions. Every communicator returns codes (MPI_ERRORS_RETURN).
#pragma once

#include <mpi.h>

#include <string>

namespace virgil {

/// MPI_Error_string.
[[nodiscard]] std::string describe_mpi_error(int code);

/// Throws InternalError, which names the call, unless `code` is MPI_SUCCESS. For calls that do not depend on other ranks.
void check_mpi(int code, const char* call);

/// Whether the code says that messages of two ranks do not fit together, which is the program's fault and not the network's.
[[nodiscard]] bool is_mismatch(int code);

}  // namespace virgil

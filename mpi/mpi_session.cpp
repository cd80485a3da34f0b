#include "mpi/mpi_session.h"

#include <fmt/format.h>
#include <mpi.h>

#include <array>
#include <exception>

#include "mpi/mpi_errors.h"
#include "virgil/base/error.h"

namespace virgil {

MpiSession::MpiSession(int num_launched) {
  int provided = MPI_THREAD_SINGLE;
  check_mpi(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_MULTIPLE, &provided), "MPI_Init_thread");
  check_mpi(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  int size = 0;
  check_mpi(MPI_Comm_size(MPI_COMM_WORLD, &size), "MPI_Comm_size");
  std::string error;
  if (provided < MPI_THREAD_MULTIPLE) {
    error = fmt::format(
        "{} was built for one thread, and collectives run beside the computation: install one with MPI_THREAD_MULTIPLE",
        library());
  } else if (num_launched > 1 && size != num_launched) {
    error = fmt::format(
        "the launcher has started {} processes, and {} sees {} of them: start them with the mpirun of the library that Virgil "
        "was built with, or with srun --mpi=pmix",
        num_launched, library(), size);
  }
  if (error.empty()) return;
  MPI_Finalize();
  throw UserError(error);
}

MpiSession::~MpiSession() {
  if (!is_broken_ && std::uncaught_exceptions() == 0) MPI_Finalize();
}

std::string MpiSession::library() {
  std::array<char, MPI_MAX_LIBRARY_VERSION_STRING> text{};
  int length = 0;
  check_mpi(MPI_Get_library_version(text.data(), &length), "MPI_Get_library_version");
  // "Open MPI v4.1.4, package: ..." or "MPICH Version:      4.0.2\n...".
  std::string name;
  for (const char c : std::string(text.data(), static_cast<std::size_t>(length))) {
    if (c == ',' || c == '\n') break;
    const bool is_space = c == ' ' || c == '\t' || c == ':';
    if (!is_space) {
      name += c;
    } else if (!name.empty() && name.back() != ' ') {
      name += ' ';
    }
  }
  if (const std::size_t version = name.find(" v"); version != std::string::npos) name.erase(version + 1, 1);
  return name;
}

}  // namespace virgil

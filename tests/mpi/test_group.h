// The group that all tests of mpi_tests run in.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "virgil/dist/communicator.h"
#include "virgil/dist/process_group.h"

namespace virgil::test_support {

/// Set by main() while the tests run: MPI starts once in a process. Every rank runs the same tests in the same order.
ProcessGroup& test_group();

/// A host communicator with its staging.
struct Channel {
  Channel() : communicator(test_group().make_host_communicator()) {
    const std::int64_t bytes = communicator_staging_bytes(communicator->kind(), test_group().size(), DType::kFloat32);
    staging.resize(static_cast<std::size_t>(bytes));
    communicator->bind_staging(staging);
  }
  Communicator* operator->() const { return communicator.get(); }

  std::vector<std::byte> staging;
  std::unique_ptr<Communicator> communicator;
};

}  // namespace virgil::test_support

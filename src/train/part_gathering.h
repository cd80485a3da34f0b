// Reading on one rank what all ranks hold in parts.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "virgil/backend/backend.h"
#include "virgil/dist/process_group.h"
#include "virgil/model/sharding.h"

namespace virgil {

/// Rank 0 reads, in any order, from tensors of which it may hold only a part; the others serve it until it says that it is
/// done. In a group of one it reads what it has.
class PartGathering {
 public:
  /// The same tensors in the same order on every rank. Without a group the process is alone.
  PartGathering(Backend& backend, ProcessGroup* group, const ParameterLayout& layout, std::vector<FlatTensor> tensors);

  /// On rank 0: the units from `first` on of tensor number `tensor`. They lie in one bucket.
  void read(std::size_t tensor, std::int64_t first, std::span<std::byte> dst);
  /// On rank 0, at the end: the others go on.
  void finish();
  /// On the other ranks: until rank 0 has finished.
  void serve();

 private:
  struct Request {
    std::int64_t tensor = -1;  // -1: done
    std::int64_t first = 0;
    std::int64_t count = 0;
  };
  void answer(const Request& request, std::span<std::byte> dst);

  Backend& backend_;
  ProcessGroup* group_;
  const ParameterLayout& layout_;
  std::vector<FlatTensor> tensors_;
};

}  // namespace virgil

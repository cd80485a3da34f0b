#include "train/part_gathering.h"

#include <algorithm>
#include <utility>

#include "virgil/base/error.h"

namespace virgil {

PartGathering::PartGathering(Backend& backend, ProcessGroup* group, const ParameterLayout& layout,
                             std::vector<FlatTensor> tensors)
    : backend_(backend), group_(group), layout_(layout), tensors_(std::move(tensors)) {}

void PartGathering::read(std::size_t tensor, std::int64_t first, std::span<std::byte> dst) {
  const FlatTensor& flat = tensors_.at(tensor);
  const std::int64_t count = static_cast<std::int64_t>(dst.size()) / size_of(flat.view().dtype());
  if (flat.is_whole()) {
    backend_.copy_to_host(dst, flat.slice(first, count));
    return;
  }
  Request request{static_cast<std::int64_t>(tensor), first, count};
  group_->broadcast(std::as_writable_bytes(std::span(&request, 1)), 0);
  answer(request, dst);
}

void PartGathering::finish() {
  if (group_ == nullptr) return;
  Request done;
  group_->broadcast(std::as_writable_bytes(std::span(&done, 1)), 0);
}

void PartGathering::serve() {
  std::vector<std::byte> bytes;
  for (;;) {
    Request request;
    group_->broadcast(std::as_writable_bytes(std::span(&request, 1)), 0);
    if (request.tensor < 0) return;
    const FlatTensor& flat = tensors_.at(static_cast<std::size_t>(request.tensor));
    bytes.resize(static_cast<std::size_t>(request.count * size_of(flat.view().dtype())));
    answer(request, bytes);
  }
}

/// Each holder of a piece in turn sends it to all: a rank to rank message would spare the others little, beside the disk.
void PartGathering::answer(const Request& request, std::span<std::byte> dst) {
  const FlatTensor& flat = tensors_.at(static_cast<std::size_t>(request.tensor));
  const std::int64_t unit_bytes = size_of(flat.view().dtype());
  const std::size_t index = flat.bucket_of(request.first);
  const FlatRun bucket = flat.units_of(layout_.buckets()[index]);
  const std::int64_t part = bucket.count / layout_.num_shards();
  const std::int64_t end = request.first + request.count;
  VIRGIL_CHECK(end <= bucket.first + bucket.count, "units {} to {} leave bucket {}", request.first, end, index);
  for (std::int64_t from = request.first; from < end;) {
    const std::int64_t holder = (from - bucket.first) / part;
    const std::int64_t to = std::min(end, bucket.first + (holder + 1) * part);
    const std::span<std::byte> piece = dst.subspan(static_cast<std::size_t>((from - request.first) * unit_bytes),
                                                   static_cast<std::size_t>((to - from) * unit_bytes));
    if (holder == group_->rank()) {
      const std::int64_t in_part = from - bucket.first - holder * part;
      backend_.copy_to_host(piece, flat.part_of_bucket(index, holder).slice(in_part, {to - from}));
    }
    group_->broadcast(piece, static_cast<int>(holder));
    from = to;
  }
}

}  // namespace virgil

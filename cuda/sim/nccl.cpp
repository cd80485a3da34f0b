// NCCL's functions between played devices of one process.
#include <nccl.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cuda/sim/nccl_ranks.h"

struct ncclComm {
  std::shared_ptr<virgil::simt::Rank> rank;
};

using namespace virgil::simt;

namespace {

/// What a thread has called since ncclGroupStart.
struct Group {
  int depth = 0;
  ncclComm_t comm = nullptr;
  cudaStream_t stream = nullptr;
  std::vector<Transfer> transfers;
};
thread_local Group group;

std::size_t size_of(ncclDataType_t type) { return type == ncclInt8 ? 1 : type == ncclBfloat16 ? 2 : 4; }

/// As the real library, whose calls may end before their work is queued: the seed decides.
ncclResult_t queue(Rank& rank, cudaStream_t stream, const std::shared_ptr<Part>& part) {
  ++rank.num_in_streams;
  const auto submit = [stream = number_of(stream), part] {
    streams().submit(stream, {.run = [part] { part->arrive(); }});
    streams().submit(stream, {.run = [part] { part->leave(); }, .meet = part});
  };
  if (simulator().schedule().seed != 0 && simulator().random().coin()) {
    rank.to_queue.emplace_back(submit);
    return ncclInProgress;
  }
  submit();
  return ncclSuccess;
}

ncclResult_t refuse(Rank& rank, ncclResult_t result, const std::string& why) {
  rank.last_error = why;
  return result;
}

/// Why this call may not be made now.
ncclResult_t may_call(Rank& rank, const char* name) {
  if (!rank.world->complete()) return refuse(rank, ncclInvalidUsage, std::string(name) + " before all ranks have come");
  if (!rank.to_queue.empty()) return refuse(rank, ncclInvalidUsage, std::string(name) + " while a call is in progress");
  if (rank.finalized) return refuse(rank, ncclInvalidUsage, std::string(name) + " after ncclCommFinalize");
  return ncclSuccess;
}

bool is_of_device(const void* data, std::size_t size_bytes) { return played_device().memory.contains(data, size_bytes); }

ncclResult_t collective(const Call& call, const void* send, std::size_t send_bytes, void* receive, std::size_t receive_bytes,
                        ncclComm_t comm, cudaStream_t stream) {
  const Turn turn;
  Rank& rank = *comm->rank;
  if (const ncclResult_t result = may_call(rank, call.name); result != ncclSuccess) return result;
  if (group.depth > 0) return refuse(rank, ncclInvalidUsage, std::string(call.name) + " in a group: not played");
  const bool sends = call.root < 0 || call.root == rank.number;
  if ((sends && !is_of_device(send, send_bytes)) || !is_of_device(receive, receive_bytes)) {
    return refuse(rank, ncclInvalidArgument, std::string(call.name) + ": a buffer is not in this device's memory");
  }
  return queue(rank, stream, part_in_collective(comm->rank, call, send, send_bytes, receive));
}

ncclResult_t transfer(const char* name, const Transfer& transfer, ncclComm_t comm, cudaStream_t stream) {
  const Turn turn;
  Rank& rank = *comm->rank;
  if (const ncclResult_t result = may_call(rank, name); result != ncclSuccess) return result;
  if (!is_of_device(transfer.data, transfer.size_bytes) || transfer.peer < 0 || transfer.peer >= rank.world->size()) {
    return refuse(rank, ncclInvalidArgument, std::string(name) + ": a buffer or a rank that does not exist");
  }
  if (group.depth == 0) return queue(rank, stream, part_in_group(comm->rank, {transfer}));
  if (!group.transfers.empty() && (group.comm != comm || group.stream != stream)) {
    return refuse(rank, ncclInvalidUsage, std::string(name) + ": a group of several streams or communicators is not played");
  }
  group.comm = comm;
  group.stream = stream;
  group.transfers.push_back(transfer);
  return ncclSuccess;
}

}  // namespace

ncclResult_t ncclGetVersion(int* version) {
  *version = 0;
  return ncclSuccess;
}
const char* ncclGetErrorString(ncclResult_t result) {
  switch (result) {
    case ncclSuccess:
      return "no error";
    case ncclUnhandledCudaError:
      return "unhandled cuda error";
    case ncclSystemError:
      return "unhandled system error";
    case ncclInternalError:
      return "internal error";
    case ncclInvalidArgument:
      return "invalid argument";
    case ncclInvalidUsage:
      return "invalid usage";
    case ncclRemoteError:
      return "remote process exited or there was a network error";
    case ncclInProgress:
      return "NCCL operation in progress";
  }
  return "unknown result code";
}
const char* ncclGetLastError(ncclComm_t comm) {
  if (comm == nullptr) return "";
  const Rank& rank = *comm->rank;
  return rank.world->fault.empty() ? rank.last_error.c_str() : rank.world->fault.c_str();
}

ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  const Turn turn;
  *id = {};
  const std::uint64_t number = new_world();
  std::memcpy(id->internal, &number, sizeof number);
  return ncclSuccess;
}

ncclResult_t ncclCommInitRankConfig(ncclComm_t* comm, int num_ranks, ncclUniqueId id, int rank, ncclConfig_t* config) {
  const Turn turn;
  std::uint64_t world_number = 0;
  std::memcpy(&world_number, id.internal, sizeof world_number);
  if (config->blocking != 0) return ncclInvalidArgument;
  const std::shared_ptr<Rank> joined = join_world(world_number, num_ranks, rank);
  if (joined == nullptr) return ncclInvalidArgument;
  *comm = new ncclComm{joined};
  return ncclInProgress;
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t* result) {
  const Turn turn;
  Rank& rank = *comm->rank;
  *result = ncclInProgress;
  if (played_device().planted_nccl_error != 0) {
    *result = static_cast<ncclResult_t>(played_device().planted_nccl_error);
  } else if (!rank.world->fault.empty()) {
    *result = ncclInternalError;
  } else if (rank.world->complete()) {
    if (!rank.to_queue.empty() && simulator().random().coin()) {
      for (const auto& submit : std::exchange(rank.to_queue, {})) submit();
    }
    if (rank.finalized && rank.num_in_streams > 0) streams().progress();
    if (rank.to_queue.empty() && !(rank.finalized && rank.num_in_streams > 0)) *result = ncclSuccess;
  }
  return ncclSuccess;
}

ncclResult_t ncclCommFinalize(ncclComm_t comm) {
  const Turn turn;
  if (const ncclResult_t result = may_call(*comm->rank, "ncclCommFinalize"); result != ncclSuccess) return result;
  comm->rank->finalized = true;
  return comm->rank->num_in_streams > 0 ? ncclInProgress : ncclSuccess;
}
ncclResult_t ncclCommDestroy(ncclComm_t comm) {
  const Turn turn;
  Rank& rank = *comm->rank;
  if (!rank.finalized || rank.num_in_streams > 0) return refuse(rank, ncclInvalidUsage, "ncclCommDestroy before it is final");
  delete comm;
  return ncclSuccess;
}
ncclResult_t ncclCommAbort(ncclComm_t comm) {
  const Turn turn;
  comm->rank->aborted = true;
  delete comm;
  return ncclSuccess;
}

ncclResult_t ncclReduceScatter(const void* send, void* receive, std::size_t receive_count, ncclDataType_t type,
                               ncclRedOp_t /*op*/, ncclComm_t comm, cudaStream_t stream) {
  if (type != ncclFloat32) return ncclInvalidArgument;  // no other sums are played
  const std::size_t receive_bytes = receive_count * size_of(type);
  const std::size_t send_bytes = receive_bytes * comm->rank->world->devices.size();
  const auto* out = static_cast<const std::byte*>(receive);
  const auto* in = static_cast<const std::byte*>(send);
  const bool overlap = out < in + send_bytes && in < out + receive_bytes;
  if (overlap && out != in + static_cast<std::size_t>(comm->rank->number) * receive_bytes) return ncclInvalidArgument;
  return collective({.name = "ncclReduceScatter", .count = receive_count, .type = type}, send, send_bytes, receive,
                    receive_bytes, comm, stream);
}
ncclResult_t ncclAllGather(const void* send, void* receive, std::size_t send_count, ncclDataType_t type, ncclComm_t comm,
                           cudaStream_t stream) {
  const std::size_t send_bytes = send_count * size_of(type);
  return collective({.name = "ncclAllGather", .count = send_count, .type = type}, send, send_bytes, receive,
                    send_bytes * comm->rank->world->devices.size(), comm, stream);
}
ncclResult_t ncclBroadcast(const void* send, void* receive, std::size_t count, ncclDataType_t type, int root, ncclComm_t comm,
                           cudaStream_t stream) {
  const std::size_t size_bytes = count * size_of(type);
  if (root < 0 || root >= comm->rank->world->size()) return ncclInvalidArgument;
  return collective({.name = "ncclBroadcast", .count = count, .type = type, .root = root}, send, size_bytes, receive,
                    size_bytes, comm, stream);
}

ncclResult_t ncclGroupStart() {
  ++group.depth;
  return ncclSuccess;
}
ncclResult_t ncclGroupEnd() {
  if (group.depth == 0) return ncclInvalidUsage;
  if (--group.depth > 0 || group.transfers.empty()) return ncclSuccess;
  const Turn turn;
  const Group ended = std::exchange(group, {});
  return queue(*ended.comm->rank, ended.stream, part_in_group(ended.comm->rank, ended.transfers));
}
ncclResult_t ncclSend(const void* send, std::size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                      cudaStream_t stream) {
  auto* data = static_cast<std::byte*>(const_cast<void*>(send));
  return transfer("ncclSend", {.sends = true, .data = data, .size_bytes = count * size_of(type), .peer = peer}, comm, stream);
}
ncclResult_t ncclRecv(void* receive, std::size_t count, ncclDataType_t type, int peer, ncclComm_t comm, cudaStream_t stream) {
  auto* data = static_cast<std::byte*>(receive);
  return transfer("ncclRecv", {.sends = false, .data = data, .size_bytes = count * size_of(type), .peer = peer}, comm, stream);
}

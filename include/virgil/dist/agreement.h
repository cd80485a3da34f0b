// What all ranks must know or have in common before they go on.
#pragma once

#include <functional>
#include <string_view>

#include "virgil/base/error.h"
#include "virgil/dist/process_group.h"

namespace virgil {

/// An error that every rank of the group has been told of and throws: one of them may print it for all, and each can end in
/// order.
class AgreedError : public UserError {
 public:
  using UserError::UserError;
};

/// Runs `work` on every rank. Where it throws UserError on any of them, all throw AgreedError with the message, which names the
/// ranks unless it is the same on all. In a group of one it is just called.
void in_agreement(ProcessGroup& group, const std::function<void()>& work);

/// Throws AgreedError on all ranks unless `mine` is the same text on all: "WHAT differs between ranks: rank 1 (...) has B, rank
/// 0
/// (...) has A; REMEDY".
void check_same_on_all(ProcessGroup& group, std::string_view what, std::string_view mine, std::string_view remedy);

}  // namespace virgil

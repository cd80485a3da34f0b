// A group whose ranks are threads of the test.
#pragma once

#include <chrono>
#include <functional>

#include "virgil/dist/process_group.h"

namespace virgil::test_support {

/// Runs body(group) in `num_ranks` threads, each with its own group of that size, and returns when all have ended. With one
/// rank it is the group of a single process. Sums are those of MPI's communicator, bit for bit.
///
/// A rank that throws, or ends while others wait for it, or keeps them waiting for longer than `timeout`, ends the others with
/// LostRankError; the first exception is rethrown.
///
/// The host communicator takes a collective's tensor away at its start, fills it with NaN, and brings the result with the wait
/// for the last collective that was started on it: a use before that shows. It refuses, with InternalError, collectives that
/// differ between ranks or need staging that is not bound, and a tensor that shares only a part with one under way.
void run_ranks(int num_ranks, const std::function<void(ProcessGroup&)>& body,
               std::chrono::milliseconds timeout = std::chrono::minutes(2));

}  // namespace virgil::test_support

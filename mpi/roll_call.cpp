#include "mpi/roll_call.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cstring>
#include <thread>
#include <utility>

#include "mpi/mpi_errors.h"
#include "virgil/dist/process_group.h"

namespace virgil {

namespace {

constexpr int kTag = 0;
/// Letters travel whole, without the receiver's consent (MPI's eager protocol), so that a rank that is stopped holds up nobody.
constexpr std::size_t kMaxTextBytes = 2000;
constexpr std::chrono::milliseconds kMaxGrace = std::chrono::seconds(5);
/// Many times the interval at which ranks that wait look for letters.
constexpr std::chrono::milliseconds kTimeToRead{500};
constexpr std::size_t kMaxNames = 8;

struct Header {
  std::int32_t letter;
  std::int32_t reserved;
  std::int64_t call;
};

double seconds_of(std::chrono::steady_clock::duration duration) { return std::chrono::duration<double>(duration).count(); }

}  // namespace

RollCall::RollCall(MPI_Comm comm, std::chrono::milliseconds timeout, std::atomic<bool>& is_broken)
    : comm_(comm), timeout_(timeout), grace_(std::min(timeout, kMaxGrace)), is_broken_(is_broken) {
  int size = 0;
  check_mpi(MPI_Comm_rank(comm_, &rank_), "MPI_Comm_rank");
  check_mpi(MPI_Comm_size(comm_, &size), "MPI_Comm_size");
  for (int r = 0; r < size; ++r) names_.push_back(fmt::format("rank {}", r));
}

void RollCall::set_names(std::vector<std::string> names) {
  const std::scoped_lock lock(mutex_);
  names_ = std::move(names);
}

void RollCall::condemn(bool is_lost, const std::string& why) {
  const std::scoped_lock lock(mutex_);
  if (!verdict_) {
    verdict_ = {.is_lost = is_lost, .why = why};
    send_to_others(is_lost ? Letter::kLost : Letter::kWrong, 0, why);
  }
  throw_verdict();
}

void RollCall::let_others_read() {
  const auto end = Clock::now() + kTimeToRead;
  while (Clock::now() < end) {
    {
      const std::scoped_lock lock(mutex_);
      forget_sent();
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

void RollCall::throw_verdict() {
  is_broken_ = true;
  if (verdict_->is_lost) throw LostRankError(verdict_->why);
  throw InternalError(verdict_->why);
}

RollCall::Wait::Wait(RollCall& roll_call, std::string place, std::chrono::milliseconds timeout)
    : roll_call_(roll_call), place_(std::move(place)), timeout_(timeout), deadline_(start_ + timeout) {
  const std::scoped_lock lock(roll_call_.mutex_);
  roll_call_.waits_.push_back(this);
}

RollCall::Wait::~Wait() {
  const std::scoped_lock lock(roll_call_.mutex_);
  std::erase(roll_call_.waits_, this);
  if (roll_call_.call_ && roll_call_.call_->caller == this) roll_call_.call_.reset();
}

void RollCall::Wait::check() {
  std::unique_lock lock(roll_call_.mutex_);
  roll_call_.forget_sent();
  roll_call_.read_letters();
  if (roll_call_.verdict_) roll_call_.throw_verdict();
  const auto now = Clock::now();
  if (now < deadline_) return;
  std::optional<Call>& call = roll_call_.call_;
  if (!call) {
    roll_call_.call_roll(*this);
    return;
  }
  // Another thread of this process may be calling; its verdict will be this one's too.
  if (call->caller != this || (call->num_missing > 0 && now < call->deadline)) return;
  if (call->num_missing > 0) {
    const std::string why = roll_call_.describe_lost(*this);
    lock.unlock();
    roll_call_.condemn(true, why);
  }
  // All wait: perhaps the last has just come, and what it brings is under way. Once only.
  if (all_have_answered_) {
    const Verdict verdict = roll_call_.judge_stuck(*this);
    lock.unlock();
    roll_call_.condemn(verdict.is_lost, verdict.why);
  }
  all_have_answered_ = true;
  deadline_ = now + roll_call_.grace_;
  call.reset();
}

void RollCall::call_roll(const Wait& caller) {
  call_ = Call{};
  call_->caller = &caller;
  call_->deadline = Clock::now() + grace_;
  call_->answers.resize(names_.size());
  call_->answers[static_cast<std::size_t>(rank_)] = places();
  call_->num_missing = static_cast<int>(names_.size()) - 1;
  send_to_others(Letter::kCall, ++num_calls_, "");
}

void RollCall::read_letters() {
  int has_come = 1;
  while (has_come != 0) {
    MPI_Message message = MPI_MESSAGE_NULL;
    MPI_Status status;
    // A connection that is broken shows in the wait for what it should have brought.
    if (MPI_Improbe(MPI_ANY_SOURCE, kTag, comm_, &has_come, &message, &status) != MPI_SUCCESS) return;
    if (has_come != 0) read_letter(message, status);
  }
}

void RollCall::read_letter(MPI_Message message, const MPI_Status& status) {
  int count = 0;
  MPI_Get_count(&status, MPI_BYTE, &count);
  std::string bytes(static_cast<std::size_t>(count), '\0');
  if (MPI_Mrecv(bytes.data(), count, MPI_BYTE, &message, MPI_STATUS_IGNORE) != MPI_SUCCESS) return;
  Header header{};
  if (bytes.size() < sizeof(header)) return;
  std::memcpy(&header, bytes.data(), sizeof(header));
  std::string text = bytes.substr(sizeof(header));
  const auto sender = static_cast<std::size_t>(status.MPI_SOURCE);
  switch (static_cast<Letter>(header.letter)) {
    case Letter::kCall:
      send(Letter::kAnswer, header.call, places(), status.MPI_SOURCE);
      break;
    case Letter::kAnswer:
      if (!call_ || header.call != num_calls_ || call_->answers[sender]) break;  // of an earlier call
      call_->answers[sender] = std::move(text);
      --call_->num_missing;
      break;
    case Letter::kLost:
    case Letter::kWrong:
      if (!verdict_) verdict_ = {.is_lost = header.letter == static_cast<std::int32_t>(Letter::kLost), .why = std::move(text)};
      break;
  }
}

void RollCall::send(Letter letter, std::int64_t call, const std::string& text, int to) {
  const Header header{static_cast<std::int32_t>(letter), 0, call};
  Sent& sent = sent_.emplace_back();
  sent.bytes.assign(reinterpret_cast<const char*>(&header), sizeof(header));
  sent.bytes.append(text, 0, kMaxTextBytes);
  // A rank that cannot be reached does not answer, and that is how it is found.
  const int code = MPI_Isend(sent.bytes.data(), static_cast<int>(sent.bytes.size()), MPI_BYTE, to, kTag, comm_, &sent.request);
  if (code != MPI_SUCCESS) sent_.pop_back();
}

void RollCall::send_to_others(Letter letter, std::int64_t call, const std::string& text) {
  for (int r = 0; r < static_cast<int>(names_.size()); ++r) {
    if (r != rank_) send(letter, call, text, r);
  }
}

void RollCall::forget_sent() {
  std::erase_if(sent_, [](Sent& sent) {
    int is_done = 0;
    return MPI_Test(&sent.request, &is_done, MPI_STATUS_IGNORE) != MPI_SUCCESS || is_done != 0;
  });
}

std::string RollCall::places() const {
  std::vector<std::string> texts;
  for (const Wait* wait : waits_) texts.push_back(wait->place_);
  std::ranges::sort(texts);
  return fmt::format("{}", fmt::join(texts, " and "));
}

std::string RollCall::describe_lost(const Wait& caller) const {
  std::string lost;
  std::size_t num_lost = 0;
  for (std::size_t r = 0; r < names_.size(); ++r) {
    if (call_->answers[r]) continue;
    if (++num_lost <= kMaxNames) lost += (num_lost == 1 ? "" : ", ") + names_[r];
  }
  if (num_lost > kMaxNames) lost += fmt::format(" and {} more", num_lost - kMaxNames);
  const bool is_one = num_lost == 1;
  return fmt::format(
      "{} {} died or {}: {} waited {:.1f} s in {} (the limit is {:g} s), and {} did not answer in the last {:g} s of it. The "
      "newest checkpoint is intact",
      lost, is_one ? "has" : "have", is_one ? "hangs" : "hang", names_[static_cast<std::size_t>(rank_)],
      seconds_of(Clock::now() - caller.start_), caller.place_, seconds_of(caller.timeout_), is_one ? "it" : "they",
      seconds_of(grace_));
}

RollCall::Verdict RollCall::judge_stuck(const Wait& caller) const {
  const auto& answers = call_->answers;
  const double seconds = seconds_of(Clock::now() - caller.start_);
  if (std::ranges::all_of(answers, [&](const auto& answer) { return answer == answers.front(); })) {
    return {.is_lost = true,
            .why = fmt::format("all ranks have come to {}, and its messages have not arrived after {:.1f} s (the limit is {:g} "
                               "s): the network does not deliver them. The newest checkpoint is intact",
                               *answers.front(), seconds, seconds_of(caller.timeout_))};
  }
  std::string text = fmt::format("all ranks wait for each other, after {:.1f} s:", seconds);
  for (std::size_t r = 0; r < std::min(names_.size(), kMaxNames); ++r) {
    text += fmt::format(" {} in {};", names_[r], *answers[r]);
  }
  return {.is_lost = false, .why = text + " they have taken different ways through the program"};
}

}  // namespace virgil

#include "virgil/train/run_sessions.h"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "virgil/base/error.h"
#include "virgil/base/json.h"
#include "virgil/base/paths.h"
#include "virgil/base/unix_time.h"
#include "virgil/config/program_version.h"
#include "virgil/format/checkpoint.h"
#include "virgil/train/memory_json.h"

namespace virgil {

namespace {

constexpr std::int64_t kMaxSessionsBytes = std::int64_t{1} << 26;
constexpr std::int64_t kFormat = 1;

nlohmann::ordered_json session_json(const RunSession& session) {
  nlohmann::ordered_json json = {{"first_step", session.first_step},
                                 {"started", session.started},
                                 {"program", session.program},
                                 {"host", session.host},
                                 {"device", session.device},
                                 {"processes", session.processes},
                                 {"parameters", session.parameters},
                                 {"vocab_size", session.vocab_size},
                                 {"train_tokens", session.train_tokens},
                                 {"val_tokens", session.val_tokens},
                                 {"planned", session.planned_by_category.total()},
                                 {"planned_by_category", categories_json(session.planned_by_category)}};
  if (session.peak_gflops > 0) json["peak_gflops"] = session.peak_gflops;
  if (session.process_before_bytes > 0) json["process_before"] = session.process_before_bytes;
  return json;
}

/// Bytes, steps and tokens of any machine, and sums of them are no overflow.
std::int64_t count_in(const JsonObject& json, const char* key, std::int64_t absent) {
  constexpr std::int64_t kMost = std::int64_t{1} << 56;
  const std::int64_t count = json.integer_or(key, absent);
  if (count < 0 || count > kMost)
    throw user_error("{}: \"{}\" is {}, which no run writes: the file is damaged", json.where(), key, count);
  return count;
}

RunSession parse_session(const JsonObject& json) {
  RunSession session{.first_step = count_in(json, "first_step", -1),
                     .started = json.number("started"),
                     .program = json.string("program"),
                     .host = json.string("host"),
                     .device = json.string("device"),
                     .processes = count_in(json, "processes", -1),
                     .peak_gflops = json.number_or("peak_gflops", 0),
                     .parameters = count_in(json, "parameters", -1),
                     .vocab_size = count_in(json, "vocab_size", -1),
                     .train_tokens = count_in(json, "train_tokens", -1),
                     .val_tokens = count_in(json, "val_tokens", -1),
                     .planned_by_category = {},
                     .process_before_bytes = count_in(json, "process_before", 0)};
  const JsonObject planned = json.object("planned_by_category");
  for (const MemoryCategory category : kAllMemoryCategories) {
    session.planned_by_category[category] = count_in(planned, std::string(name_of(category)).c_str(), 0);
  }
  return session;
}

}  // namespace

RunSession begin_session(std::string_view program) {
  RunSession session;
  session.started = unix_seconds();
  session.program = program_version(program);
  while (session.program.ends_with('\n')) session.program.pop_back();
  std::array<char, 256> host{};
  if (gethostname(host.data(), host.size() - 1) == 0) session.host = host.data();
  return session;
}

std::filesystem::path run_sessions_path(const std::filesystem::path& run) { return run / kRunSessionsFile; }

std::vector<RunSession> read_run_sessions(const std::filesystem::path& run) {
  const std::filesystem::path path = run_sessions_path(run);
  if (!path_exists(path)) return {};
  const nlohmann::ordered_json json = parse_json(read_file(path, kMaxSessionsBytes), path.string());
  const JsonObject file(json, path.string());
  if (file.integer("format") != kFormat) {
    throw user_error("{}: its format is {}, and this version of Virgil reads {}", path.string(), file.integer("format"),
                     kFormat);
  }
  std::vector<RunSession> sessions;
  for (const JsonObject& session : file.objects("sessions")) sessions.push_back(parse_session(session));
  return sessions;
}

std::string add_run_session(FileSystem& files, const std::filesystem::path& run, const RunSession& session) {
  std::string problem;
  std::vector<RunSession> sessions;
  try {
    sessions = read_run_sessions(run);
  } catch (const UserError& error) {
    problem = fmt::format("{}; a new file begins with this session", error.what());
  }
  std::erase_if(sessions, [&](const RunSession& earlier) { return earlier.first_step >= session.first_step; });
  sessions.push_back(session);
  nlohmann::ordered_json json = {{"format", kFormat}, {"sessions", nlohmann::ordered_json::array()}};
  for (const RunSession& each : sessions) json["sessions"].push_back(session_json(each));
  constexpr int kIndent = 2;
  const auto replaced = nlohmann::ordered_json::error_handler_t::replace;  // a host's name need not be UTF-8
  write_file_atomically(files, run_sessions_path(run), json.dump(kIndent, ' ', false, replaced) + "\n");
  return problem;
}

}  // namespace virgil

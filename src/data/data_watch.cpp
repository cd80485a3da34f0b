#include "virgil/data/data_watch.h"

#include <fmt/format.h>

#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "virgil/base/error.h"

namespace virgil {

void DataWatch::check() {
  last_ = std::chrono::steady_clock::now();
  if (data_ == nullptr) return;
  const std::vector<std::filesystem::path> written = data_->tokens.written_files();
  if (written.empty()) return;
  std::map<std::filesystem::path, std::filesystem::file_time_type> times;
  for (const std::filesystem::path& file : written) {
    std::error_code ignored;
    times.emplace(file, std::filesystem::last_write_time(file, ignored));
  }
  if (times == verified_) return;
  if (fingerprint_of(data_->tokens) != data_->fingerprint) {
    throw user_error(
        "{}{}: was written to while the run reads it, and holds other tokens than at its start; put the old file back, then go "
        "on "
        "with --resume. To change a file that is in use, write a new one and rename it",
        written.front().string(), written.size() > 1 ? fmt::format(" and {} more", written.size() - 1) : "");
  }
  verified_ = std::move(times);
}

void DataWatch::check_every(std::chrono::steady_clock::duration interval) {
  if (std::chrono::steady_clock::now() - last_ >= interval) check();
}

}  // namespace virgil

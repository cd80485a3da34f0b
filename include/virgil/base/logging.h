// The one way library code says something to a person. The library never writes to a terminal itself; a program hands it a
// Logger, and tests hand it one that records.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace virgil {

class Logger {
 public:
  virtual ~Logger() = default;
  /// A line worth reading once.
  virtual void info(std::string_view line) = 0;
  /// A line that asks for a decision; implementations mark it as a warning.
  virtual void warn(std::string_view line) = 0;
};

/// Drops everything.
class NullLogger final : public Logger {
 public:
  void info(std::string_view) override {}
  void warn(std::string_view) override {}
};

/// Keeps every line, for tests. Warnings are prefixed with "warning: ".
class RecordingLogger final : public Logger {
 public:
  void info(std::string_view line) override { lines_.emplace_back(line); }
  void warn(std::string_view line) override { lines_.push_back("warning: " + std::string(line)); }
  [[nodiscard]] const std::vector<std::string>& lines() const { return lines_; }

 private:
  std::vector<std::string> lines_;
};

}  // namespace virgil

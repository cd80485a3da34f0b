// A FileSystem whose n-th call goes wrong, for tests of what survives.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <set>
#include <span>
#include <system_error>
#include <utility>

#include "virgil/base/error.h"
#include "virgil/base/file_system.h"

namespace virgil::test_support {

/// Counts every call, those on its files included. At call number `fail_at` (the first is 0) the fault happens; an append that
/// is hit writes the first half of its bytes. Owns neither the real file system nor anything on disk.
class FaultyFileSystem final : public FileSystem {
 public:
  enum class Fault {
    kNoSpace,  // that call, and every later one that needs space, throws as a full disk does; renames and removals work
    kKill,     // kill -9: that call and all later ones silently do nothing
    kPowerCut  // as kKill, and every file that was not made durable by then loses its second half
  };

  FaultyFileSystem(FileSystem& real, Fault fault, std::int64_t fail_at) : real_(real), fault_(fault), fail_at_(fail_at) {}

  [[nodiscard]] std::int64_t num_calls() const { return num_calls_; }
  /// Whether the fault has happened.
  [[nodiscard]] bool failed() const { return failed_; }

  std::unique_ptr<WritableFile> create(const std::filesystem::path& path) override { return open(path, &FileSystem::create); }
  std::unique_ptr<WritableFile> open_for_append(const std::filesystem::path& path) override {
    return open(path, &FileSystem::open_for_append);
  }
  void create_directories(const std::filesystem::path& path) override {
    if (works(path, kNeedsSpace)) real_.create_directories(path);
  }
  void rename(const std::filesystem::path& from, const std::filesystem::path& to) override {
    if (works(from, kNeedsNoSpace)) real_.rename(from, to);
  }
  void remove_all(const std::filesystem::path& path) override {
    if (works(path, kNeedsNoSpace)) real_.remove_all(path);
  }
  void sync_directory(const std::filesystem::path& path) override {
    if (works(path, kNeedsSpace)) real_.sync_directory(path);
  }

 private:
  static constexpr bool kNeedsSpace = true;
  static constexpr bool kNeedsNoSpace = false;

  class File final : public WritableFile {
   public:
    File(FaultyFileSystem& owner, std::filesystem::path path, std::unique_ptr<WritableFile> real)
        : owner_(owner), path_(std::move(path)), real_(std::move(real)) {}

    void append(std::span<const std::byte> bytes) override {
      const auto write_half = [&] {
        if (real_ == nullptr) return;
        real_->append(bytes.first(bytes.size() / 2));
        real_->flush();
      };
      if (owner_.works(path_, kNeedsSpace, write_half)) real_->append(bytes);
    }
    void flush() override {
      if (owner_.works(path_, kNeedsSpace)) real_->flush();
    }
    void sync() override {
      if (!owner_.works(path_, kNeedsSpace)) return;
      real_->sync();
      owner_.unsynced_.erase(path_);
    }
    void close_durably() override {
      if (!owner_.works(path_, kNeedsSpace)) return;
      real_->close_durably();
      owner_.unsynced_.erase(path_);
    }

   private:
    FaultyFileSystem& owner_;
    std::filesystem::path path_;
    std::unique_ptr<WritableFile> real_;  // null when it was opened after the end
  };

  template <typename Open>
  std::unique_ptr<WritableFile> open(const std::filesystem::path& path, Open real_open) {
    if (!works(path, kNeedsSpace)) return std::make_unique<File>(*this, path, nullptr);
    unsynced_.insert(path);
    return std::make_unique<File>(*this, path, (real_.*real_open)(path));
  }

  bool works(const std::filesystem::path& path, bool needs_space) {
    return works(path, needs_space, [] {});
  }

  /// Whether the call may go to the real file system. `at_fault` runs when the fault hits this very call.
  template <typename AtFault>
  bool works(const std::filesystem::path& path, bool needs_space, AtFault&& at_fault) {
    const bool hit = num_calls_++ == fail_at_;
    if (hit) {
      failed_ = true;
      at_fault();
      if (fault_ == Fault::kPowerCut) lose_unsynced();
    }
    if (!failed_) return true;
    if (fault_ != Fault::kNoSpace) return false;
    if (hit || needs_space) throw user_error("{}: No space left on device", path.string());
    return true;
  }

  void lose_unsynced() {
    for (const std::filesystem::path& path : unsynced_) {
      std::error_code gone;
      const std::uintmax_t size = std::filesystem::file_size(path, gone);
      if (!gone) std::filesystem::resize_file(path, size / 2);
    }
  }

  FileSystem& real_;
  Fault fault_;
  std::int64_t fail_at_;
  std::int64_t num_calls_ = 0;
  bool failed_ = false;
  std::set<std::filesystem::path> unsynced_;
};

}  // namespace virgil::test_support

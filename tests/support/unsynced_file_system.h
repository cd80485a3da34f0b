// The file system without waiting for the disk, for tests that save hundreds of times. Under FaultyFileSystem "durable" means
// that close_durably() was called, so nothing is lost but time.
#pragma once

#include <cstddef>
#include <filesystem>
#include <fstream>
#include <memory>
#include <span>
#include <system_error>

#include "virgil/base/error.h"
#include "virgil/base/file_system.h"

namespace virgil::test_support {

class UnsyncedFileSystem final : public FileSystem {
 public:
  std::unique_ptr<WritableFile> create(const std::filesystem::path& path) override {
    return std::make_unique<File>(path, std::ios::trunc);
  }
  std::unique_ptr<WritableFile> open_for_append(const std::filesystem::path& path) override {
    return std::make_unique<File>(path, std::ios::app);
  }
  void create_directories(const std::filesystem::path& path) override { std::filesystem::create_directories(path); }
  void rename(const std::filesystem::path& from, const std::filesystem::path& to) override {
    std::error_code error;
    std::filesystem::rename(from, to, error);
    if (error) throw user_error("{}: cannot rename to {}: {}", from.string(), to.string(), error.message());
  }
  void remove_all(const std::filesystem::path& path) override { std::filesystem::remove_all(path); }
  void sync_directory(const std::filesystem::path&) override {}

 private:
  class File final : public WritableFile {
   public:
    File(const std::filesystem::path& path, std::ios::openmode mode) : path_(path), file_(path, std::ios::binary | mode) {
      check();
    }
    void append(std::span<const std::byte> bytes) override {
      file_.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
      check();
    }
    void flush() override {
      file_.flush();
      check();
    }
    void sync() override { flush(); }
    void close_durably() override {
      file_.close();
      check();
    }

   private:
    void check() const {
      if (!file_) throw user_error("{}: cannot write", path_.string());
    }
    std::filesystem::path path_;
    std::ofstream file_;
  };
};

}  // namespace virgil::test_support

#include <fmt/format.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>

#include "virgil/base/child_process.h"
#include "virgil/base/error.h"
#include "virgil/base/excerpt.h"
#include "virgil/run_report/report_page.h"

namespace virgil {

namespace {

constexpr const char* kConverter = "rsvg-convert";

struct CloseFile {
  void operator()(std::FILE* file) const { std::fclose(file); }
};
using File = std::unique_ptr<std::FILE, CloseFile>;

/// A file without a name, which is gone when it is closed.
File make_file() {
  File file(std::tmpfile());
  if (file == nullptr) throw user_error("cannot make a temporary file in /tmp: {}; make room there", std::strerror(errno));
  return file;
}

void write_all(std::FILE* file, std::string_view text) {
  if (std::fwrite(text.data(), 1, text.size(), file) == text.size() && std::fflush(file) == 0) return;
  throw user_error("cannot write a temporary file in /tmp: {}; make room there", std::strerror(errno));
}

std::string read_all(std::FILE* file) {
  std::rewind(file);
  std::string content;
  std::array<char, 1 << 16> piece{};
  while (const std::size_t size = std::fread(piece.data(), 1, piece.size(), file)) content.append(piece.data(), size);
  return content;
}

/// Runs the converter, and gives its exit status.
int run_converter(std::FILE* in, std::FILE* out, std::FILE* messages) {
  const std::array<std::string, 4> arguments = {"--format", "png", "--zoom", "2"};
  try {
    return ChildProcess(kConverter, arguments, {.in = fileno(in), .out = fileno(out), .err = fileno(messages)}).wait();
  } catch (const std::system_error& error) {
    if (error.code() != std::errc::no_such_file_or_directory) {
      throw user_error("{}: cannot be started: {}", kConverter, error.code().message());
    }
  }
  throw user_error(
      "--png needs the program {}, which is not installed: install it (Debian, Ubuntu: apt-get install librsvg2-bin), or open the "
      "page of --output in a browser",
      kConverter);
}

}  // namespace

std::string svg_to_png(std::string_view svg) {
  const File in = make_file();
  const File out = make_file();
  const File messages = make_file();
  write_all(in.get(), svg);
  std::rewind(in.get());
  const int status = run_converter(in.get(), out.get(), messages.get());
  std::string png = read_all(out.get());
  if (status == 0 && png.starts_with("\x89PNG")) return png;
  const std::string words = read_all(messages.get());
  throw user_error("{}: made no picture (exit status {}): {}; is another version installed? It was tried with librsvg 2.54",
                   kConverter, status, words.empty() ? "it said nothing" : quoted_excerpt(words, 300));
}

}  // namespace virgil

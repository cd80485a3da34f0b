#include "virgil/base/foreign_file.h"

#include <algorithm>
#include <cctype>

namespace virgil {
namespace {

using namespace std::string_view_literals;

constexpr std::string_view kGitLfsPointer = "version https://git-lfs.github.com/spec/";

// HTML and XML in any case, after white space and a byte order mark.
bool is_web_page(std::string_view start) {
  if (start.starts_with("\xEF\xBB\xBF"sv)) start.remove_prefix(3);
  while (!start.empty() && std::isspace(static_cast<unsigned char>(start.front())) != 0) start.remove_prefix(1);
  std::string lower(start.substr(0, kForeignFileBytes));
  std::ranges::transform(lower, lower.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  const std::string_view beginnings[] = {"<!doctype", "<html", "<?xml", "<head", "<body"};
  return std::ranges::any_of(beginnings, [&](std::string_view beginning) { return lower.starts_with(beginning); });
}

}  // namespace

std::optional<std::string> describe_foreign_file(std::string_view start) {
  if (start.starts_with(kGitLfsPointer)) {
    return "a Git LFS pointer, not the file itself; run `git lfs pull` in its repository";
  }
  if (is_web_page(start))
    return "a web page, not the file itself; download the file itself (on Hugging Face: its /resolve/ address)";
  if (start.starts_with("\x1F\x8B"sv)) return "compressed with gzip; unpack it with gunzip";
  if (start.starts_with("\x28\xB5\x2F\xFD"sv)) return "compressed with Zstandard; unpack it with unzstd";
  if (start.starts_with("\xFD"
                        "7zXZ\0"sv))
    return "compressed with xz; unpack it with unxz";
  if (start.starts_with("PK\x03\x04"sv)) {
    // torch.save writes a zip whose first member is ARCHIVE/data.pkl.
    if (start.substr(0, kForeignFileBytes).find("/data.pkl"sv) != std::string_view::npos) {
      return "a PyTorch pickle, which can run code when it is opened; convert it to safetensors (docs/coming-from.md has "
             "the scripts)";
    }
    return "a zip archive; unpack it with unzip";
  }
  const bool is_pickle = start.size() >= 2 && start[0] == '\x80' && start[1] >= 2 && start[1] <= 5;
  // The length of a safetensors header may begin with the same two bytes, but its seventh and eighth are zero then.
  if (is_pickle && !(start.size() > 8 && start.substr(4, 5) == "\0\0\0\0{"sv)) {
    return "a Python pickle, which can run code when it is opened; convert it to safetensors (docs/coming-from.md has the scripts)";
  }
  if (start.starts_with("GGUF"sv)) return "a GGUF file of llama.cpp; give the Hugging Face folder it was made from";
  return std::nullopt;
}

}  // namespace virgil

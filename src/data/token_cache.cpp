#include "data/token_cache.h"

#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "data/file_bytes.h"
#include "virgil/base/error.h"
#include "virgil/base/json.h"
#include "virgil/base/remove_quietly.h"
#include "virgil/base/shape.h"
#include "virgil/data/token_file.h"

namespace virgil {
namespace {

namespace fs = std::filesystem;

constexpr const char* kIndexFile = "index.json";
constexpr const char* kCacheFormat = "virgil-token-cache";
constexpr int kCacheVersion = 1;
constexpr std::int64_t kMaxIndexBytes = std::int64_t{16} << 20;

UserError damaged(const fs::path& path, std::string_view what) {
  return user_error("{}: this entry of the token cache is damaged: {}; delete the folder to have it made again", path.string(),
                    what);
}

TokenData read_part(const JsonObject& part, const fs::path& folder, const Tokenizer& tokenizer, ProgressMonitor* progress) {
  TokenData data;
  for (const std::string& name : part.strings("files")) {
    if (fs::path(name).has_parent_path()) throw damaged(folder, "index.json names no file");
    const fs::path path = folder / name;
    ProgressPhase phase(progress, "reading the token cache", "bytes", file_bytes({&path, 1}));
    const TokenFile file = open_token_file(path, TokenType::kAuto, &phase);
    if (file.info.tokenizer_fingerprint != tokenizer.fingerprint())
      throw damaged(folder, path.string() + " is of another tokenizer");
    check_token_file_ids(file, tokenizer.vocab_size(), path, &phase);
    data.tokens.append(file.tokens);
    data.text_bytes = checked_add(data.text_bytes, file.info.text_bytes);
  }
  data.fingerprint = fingerprint_of(data.tokens, progress);
  if (part.string("fingerprint") != data.fingerprint) throw damaged(folder, "its tokens are not those of index.json");
  return data;
}

nlohmann::ordered_json describe_part(const fs::path& folder, const std::vector<std::string>& names, ProgressMonitor* progress) {
  TokenSequence tokens;
  for (const std::string& name : names) tokens.append(open_token_file(folder / name).tokens);
  return {{"files", names}, {"fingerprint", fingerprint_of(tokens, progress)}};
}

}  // namespace

TokenCache::TokenCache(FileSystem& files, fs::path directory, ProgressMonitor* progress)
    : files_(files), directory_(std::move(directory)), progress_(progress) {}

std::optional<TokenCache::Entry> TokenCache::find(const std::string& key, const Tokenizer& tokenizer) const {
  const fs::path folder = folder_of(key);
  const fs::path index = folder / kIndexFile;
  std::error_code ignored;
  if (!fs::exists(folder, ignored)) return std::nullopt;
  try {
    const nlohmann::ordered_json parsed = parse_json(read_file(index, kMaxIndexBytes), index.string());
    const JsonObject document(parsed, index.string());
    if (document.string("format") != kCacheFormat || document.integer("version") != kCacheVersion) {
      throw damaged(folder, "index.json is of an unknown format");
    }
    return Entry{read_part(document.object("train"), folder, tokenizer, progress_),
                 read_part(document.object("val"), folder, tokenizer, progress_)};
  } catch (const UserError& error) {
    const std::string what = error.what();
    if (what.starts_with(folder.string() + ":")) throw;
    throw damaged(folder, what);
  }
}

TokenCache::Entry TokenCache::make(const std::string& key, const Tokenizer& tokenizer, const Fill& fill) const {
  const fs::path folder = folder_of(key);
  fs::path partial = folder;
  partial += fmt::format(".tmp-{}", ::getpid());
  remove_leftovers(key);
  try {
    files_.create_directories(partial);
    ShardSink train(files_, partial, "train", tokenizer);
    ShardSink val(files_, partial, "val", tokenizer);
    fill(train, val);
    const nlohmann::ordered_json document = {{"format", kCacheFormat},
                                             {"version", kCacheVersion},
                                             {"train", describe_part(partial, train.finish(), progress_)},
                                             {"val", describe_part(partial, val.finish(), progress_)}};
    write_file_atomically(files_, partial / kIndexFile, document.dump(1) + "\n");
    std::error_code ignored;
    // Another run may have made the same entry meanwhile; its tokens are the same.
    if (!fs::exists(folder, ignored)) files_.rename(partial, folder);
    files_.sync_directory(directory_);
  } catch (...) {
    remove_quietly(files_, partial);
    throw;
  }
  remove_quietly(files_, partial);
  std::optional<Entry> entry = find(key, tokenizer);
  if (!entry) throw user_error("{}: the token cache's entry vanished while it was made", folder.string());
  return std::move(*entry);
}

// Folders "<key>.tmp-<pid>" of processes that are no more.
void TokenCache::remove_leftovers(const std::string& key) const {
  const std::string prefix = key + ".tmp-";
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(directory_, error)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with(prefix)) continue;
    pid_t pid = 0;
    const auto [end, parse_error] = std::from_chars(name.data() + prefix.size(), name.data() + name.size(), pid);
    const bool alive = parse_error == std::errc() && pid > 0 && (::kill(pid, 0) == 0 || errno == EPERM);
    if (!alive) remove_quietly(files_, entry.path());
  }
}

}  // namespace virgil

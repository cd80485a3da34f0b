#include "data/foreign_input.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <iterator>
#include <vector>

#include "virgil/base/foreign_file.h"
#include "virgil/base/shell_quote.h"

namespace virgil {
namespace {

using namespace std::string_view_literals;

struct Signature {
  std::size_t offset;
  std::string_view bytes;
  std::string_view what;
  // With {0} for the file and {1} for what it becomes, both quoted for the shell; empty: nothing can be got out of it.
  std::string_view remedy;
  std::string_view suffix = ".txt";  // of what it becomes
};

// Python prints what a column holds; pyarrow reads the file piece by piece.
constexpr std::string_view kParquetRemedy =
    "python3 -c \"import json, pyarrow.parquet as q; [print(json.dumps({{'text': t}})) for b in "
    "q.ParquetFile({0}).iter_batches(columns=['text']) for t in b.column(0).to_pylist()]\" > {1} (with pyarrow; put the "
    "column's name for 'text')";
constexpr std::string_view kArrowRemedy =
    "python3 -c \"import json, datasets as d; [print(json.dumps(r)) for r in d.Dataset.from_file({0})]\" > {1} (with the "
    "package datasets)";
constexpr std::string_view kNumpyRemedy =
    "python3 -c \"import numpy as n; a = n.load({0}, mmap_mode='r').reshape(-1); a.astype(n.uint16 if a.max() < 65536 else "
    "n.uint32).tofile({1})\" (an array of token ids)";
constexpr std::string_view kNumpyZipRemedy =
    "python3 -c \"import numpy as n; f = n.load({0}); a = f[f.files[0]].reshape(-1); a.astype(n.uint16 if a.max() < 65536 else "
    "n.uint32).tofile({1})\" (its first array, of token ids)";
constexpr std::string_view kPandoc = "pandoc -t plain --wrap none -o {1} {0}";

constexpr Signature kSignatures[] = {
    {0, "BZh"sv, "compressed with bzip2", "bzip2 -dc {0} > {1}"},
    {0,
     "\xFD"
     "7zXZ\0"sv,
     "compressed with xz", "xz -dc {0} > {1}"},
    {0, "\x28\xB5\x2F\xFD"sv, "compressed with Zstandard", "zstd -dc {0} > {1}"},
    {0, "\x04\x22\x4D\x18"sv, "compressed with LZ4", "lz4 -dc {0} > {1}"},
    {0, "7z\xBC\xAF\x27\x1C"sv, "a 7-Zip archive", "7z x {0}"},
    {0, "Rar!\x1A\x07"sv, "a RAR archive", "unrar x {0}"},
    {257, "ustar"sv, "a tar archive", "tar -xf {0}"},
    {0, "%PDF-"sv, "a PDF document", "pdftotext {0} {1}"},
    {0, "{\\rtf"sv, "an RTF document", "pandoc -f rtf -t plain --wrap none -o {1} {0}"},
    {0, "\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1"sv, "an old Microsoft Office document",
     "libreoffice --headless --convert-to txt:Text {0}"},
    {0, "PAR1"sv, "a Parquet table", kParquetRemedy, ".jsonl"},
    {0, "ARROW1"sv, "an Arrow table", kArrowRemedy, ".jsonl"},
    {0, "\xFF\xFF\xFF\xFF"sv, "an Arrow stream, as the package datasets keeps them", kArrowRemedy, ".jsonl"},
    {0, "\x93NUMPY"sv, "a NumPy array", kNumpyRemedy, ".bin"},
    {0, "\x89HDF\r\n\x1A\n"sv, "an HDF5 file",
     "python3 -c \"import h5py; h5py.File({0}).visititems(print)\" shows what is in it (with h5py)"},
    {0, "SQLite format 3\0"sv, "an SQLite database",
     "sqlite3 {0} 'select text from TABLE' > {1} (sqlite3 {0} .schema names the tables and columns)"},
    {0, "MMIDIDX\0\0"sv, "Megatron's index of a token file",
     "give the .bin file beside it, with --token_type uint16 or uint32 (what its ids are wide)", ""},
    {0, "Obj\x01"sv, "an Avro file", ""},
    {0, "ORC"sv, "an ORC table", ""},
    {0, "\x89PNG\r\n\x1A\n"sv, "a PNG picture", ""},
    {0, "\xFF\xD8\xFF"sv, "a JPEG picture", ""},
    {0, "GIF8"sv, "a GIF picture", ""},
    {0, "OggS"sv, "an Ogg recording", ""},
    {0, "fLaC"sv, "a FLAC recording", ""},
    {0, "ID3"sv, "an MP3 recording", ""},
    {4, "ftyp"sv, "an MP4 film", ""},
    {0,
     "\x7F"
     "ELF"sv,
     "a program", ""},
    {0, "GGUF"sv, "the weights of a model (GGUF)", ""},
    {4, "\0\0\0\0{\""sv, "the weights of a model (safetensors)", ""},
};

// A zip archive tells what it is by the names of its first members.
constexpr Signature kZipKinds[] = {
    {0, "application/epub+zip"sv, "an EPUB book", kPandoc},
    {0, "application/vnd.oasis"sv, "an OpenDocument file", kPandoc},
    {0, "word/"sv, "a Word document", kPandoc},
    {0, "[Content_Types].xml"sv, "a Microsoft Office document", kPandoc},
    {0, "/data.pkl"sv, "the weights of a model (a PyTorch pickle)", ""},
    {0, ".npy"sv, "a NumPy archive", kNumpyZipRemedy, ".bin"},
    {0, ""sv, "a zip archive", "unzip {0} -d {1}", ""},
};

/// The file without the suffix of its old form, or with one of its new form.
std::filesystem::path output_of(const std::filesystem::path& path, std::string_view suffix) {
  std::filesystem::path stem = path;
  stem.replace_extension();
  const std::string inner = stem.extension().string();
  const bool was_packed = inner == ".txt" || inner == ".jsonl" || inner == ".json" || inner == ".csv" || inner == ".bin";
  if (was_packed && suffix == ".txt") return stem;
  stem += suffix.empty() && !path.has_extension() ? "-unpacked" : suffix;
  return stem == path ? std::filesystem::path(path.string() + std::string(suffix)) : stem;
}

/// In single quotes, whatever it holds: within a Python program in the shell's double quotes it becomes a string of Python.
std::string python_quote(const std::filesystem::path& path) {
  std::string quoted = "'";
  for (const char c : path.string()) {
    if (c == '\\') quoted += "\\\\\\";
    if (c == '\'') quoted += "\\\\";
    if (c == '"' || c == '$' || c == '`') quoted += '\\';
    quoted += c;
  }
  return quoted + "'";
}

std::string describe(const Signature& kind, const std::filesystem::path& path) {
  if (kind.remedy.empty()) return fmt::format("{}, not a text; leave it out", kind.what);
  const std::filesystem::path output = output_of(path, kind.suffix);
  const bool is_python = kind.remedy.starts_with("python3");
  // What Python writes itself it names in its own quotes; what the shell redirects to, the shell's.
  const bool shell_writes = kind.remedy.find("> {1}") != kind.remedy.npos;
  const std::string in = is_python ? python_quote(path) : shell_quote(path.string());
  const std::string out = is_python && !shell_writes ? python_quote(output) : shell_quote(output.string());
  const std::string remedy = fmt::format(fmt::runtime(kind.remedy), in, out);
  return fmt::format("{}, which is not read as it is; {}{}", kind.what,
                     kind.remedy.starts_with("give ") ? "" : "convert it: ", remedy);
}

std::optional<std::string> find_signature(std::string_view start, const std::filesystem::path& path, std::size_t least_bytes) {
  if (is_gzip(start)) {
    return fmt::format("compressed with gzip, which is not read here; convert it: gzip -dc {} > {}", shell_quote(path.string()),
                       shell_quote(output_of(path, ".txt").string()));
  }
  if (start.starts_with("PK\x03\x04"sv)) {
    const auto* kind = std::ranges::find_if(kZipKinds, [&](const Signature& k) { return start.find(k.bytes) != start.npos; });
    return describe(*kind, path);
  }
  const bool is_text = looks_like_text(start);
  for (const Signature& signature : kSignatures) {
    if (signature.bytes.size() < least_bytes || start.size() < signature.offset) continue;
    if (!start.substr(signature.offset).starts_with(signature.bytes)) continue;
    // A text may well begin with the letters of a signature, such as ORC or ID3.
    const bool is_document = signature.bytes == "%PDF-" || signature.bytes == "{\\rtf";
    if (is_document || !is_text) return describe(signature, path);
  }
  return std::nullopt;
}

bool is_field_name(std::string_view field) {
  constexpr std::size_t kLongest = 40;
  const auto fits = [](unsigned char c) { return std::isalnum(c) != 0 || c == '_' || c == '-' || c == ' ' || c >= 0x80; };
  return !field.empty() && field.size() <= kLongest && field.front() != ' ' && field.back() != ' ' &&
         std::ranges::all_of(field, fits);
}

/// The fields of the rows of a table (RFC 4180), as far as `text` reaches; the last row, which may be cut, is left out.
std::vector<std::vector<std::string>> read_rows(std::string_view text, char separator, std::size_t most_rows) {
  std::vector<std::vector<std::string>> rows(1, std::vector<std::string>(1));
  bool quoted = false;
  for (std::size_t i = 0; i < text.size() && rows.size() <= most_rows; ++i) {
    const char c = text[i];
    std::string& field = rows.back().back();
    if (c == '"' && (quoted || field.empty())) {
      quoted = !quoted;
    } else if (!quoted && c == separator) {
      rows.back().emplace_back();
    } else if (!quoted && c == '\n') {
      rows.emplace_back(1);
    } else {
      field += c;
    }
  }
  rows.pop_back();
  return rows;
}

}  // namespace

bool is_gzip(std::string_view start) { return start.starts_with("\x1F\x8B\x08"sv); }

bool is_web_page(std::string_view start) {
  const std::optional<std::string> found = describe_foreign_file(start);
  return found && found->starts_with("a web page");
}

bool looks_like_text(std::string_view start) {
  constexpr std::size_t kEnough = 16;
  const auto is_control = [](unsigned char c) { return (c < 0x20 && c != '\n' && c != '\r' && c != '\t') || c == 0x7F; };
  const auto controls = static_cast<std::size_t>(std::ranges::count_if(start, is_control));
  return start.size() >= kEnough && start.find('\0') == start.npos && controls * 100 <= start.size();
}

std::optional<std::string> describe_foreign_input(std::string_view start, const std::filesystem::path& path) {
  start = start.substr(0, kForeignInputBytes);
  if (const auto found = find_signature(start, path, 1)) return found;
  const std::optional<std::string> found = describe_foreign_file(start);
  if (!found || is_web_page(start)) return std::nullopt;  // a page is a text as well
  return looks_like_text(start) && !found->starts_with("a Git LFS") ? std::nullopt : found;
}

std::optional<std::string> describe_foreign_ids(std::string_view start, const std::filesystem::path& path) {
  constexpr std::size_t kSurelyNoIds = 4;
  start = start.substr(0, kForeignInputBytes);
  if (const auto found = find_signature(start, path, kSurelyNoIds)) return found;
  if (!looks_like_text(start)) return std::nullopt;
  if (const auto found = describe_foreign_file(start)) return found;
  return "a text by its look, and files whose name ends in .bin are taken for token ids; rename it to .txt";
}

std::optional<std::string> describe_table(std::string_view start, const std::filesystem::path& path) {
  constexpr std::size_t kMostBytes = std::size_t{1} << 16;
  constexpr std::size_t kFewestRows = 4;
  constexpr std::size_t kMostRows = 30;
  constexpr std::ptrdiff_t kMostNames = 6;
  for (const char separator : {',', '\t'}) {
    const auto rows = read_rows(start.substr(0, kMostBytes), separator, kMostRows);
    if (rows.size() < kFewestRows || rows.front().size() < 2) continue;
    const auto& header = rows.front();
    const bool has_names = std::ranges::all_of(header, is_field_name);
    const bool is_even = std::ranges::all_of(rows, [&](const auto& row) { return row.size() == header.size(); });
    if (!has_names || !is_even) continue;
    const auto end = header.begin() + std::min(kMostNames, std::ssize(header));
    return fmt::format(
        "a table of {} columns ({}{}) and is read as it is, with its separators and quotes; to train on one column: "
        "python3 -c \"import csv, json; [print(json.dumps({{'text': r['COLUMN']}})) for r in csv.DictReader(open({}){})]\" > "
        "{}",
        header.size(), fmt::join(header.begin(), end, ", "), end == header.end() ? "" : ", ...", python_quote(path),
        separator == ',' ? "" : ", delimiter='\\t'", shell_quote(output_of(path, ".jsonl").string()));
  }
  return std::nullopt;
}

}  // namespace virgil

// Reading safetensors. The header is read by events (SAX), so that depth, duplicates and number types are checked as they come
// and a hostile header costs no more memory than its own entries.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "virgil/base/error.h"
#include "virgil/base/excerpt.h"
#include "virgil/base/foreign_file.h"
#include "virgil/base/json.h"
#include "virgil/format/safetensors.h"

namespace virgil {
namespace {

constexpr std::uint64_t kMaxHeaderBytes = 100'000'000;  // the reference implementation's limit
constexpr std::size_t kPrefixBytes = 8;

struct RawTensor {
  std::string name;
  std::string dtype = {};
  std::vector<std::uint64_t> shape = {};
  bool has_shape = false;  // an empty shape is a scalar's
  std::vector<std::uint64_t> offsets = {};
};

/// Size in bytes of an element, or 0 for a name the format does not have.
std::uint64_t element_bytes(std::string_view dtype) {
  struct Size {
    std::string_view name;
    std::uint64_t bytes;
  };
  constexpr std::array kSizes = {Size{"BOOL", 1}, Size{"U8", 1},  Size{"I8", 1},  Size{"F8_E4M3", 1}, Size{"F8_E5M2", 1},
                                 Size{"U16", 2},  Size{"I16", 2}, Size{"F16", 2}, Size{"BF16", 2},    Size{"U32", 4},
                                 Size{"I32", 4},  Size{"F32", 4}, Size{"U64", 8}, Size{"I64", 8},     Size{"F64", 8}};
  const auto* found = std::ranges::find(kSizes, dtype, &Size::name);
  return found == kSizes.end() ? 0 : found->bytes;
}

/// {"__metadata__": {"key": "text"}, "tensor": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}
class HeaderReader final : public JsonEvents {
 public:
  HeaderReader(std::map<std::string, std::string>& metadata, const std::string& file) : JsonEvents(file), metadata_(metadata) {}

  [[nodiscard]] std::vector<RawTensor> take_tensors() { return std::move(tensors_); }

  bool string(string_t& value) override {
    if (depth() == 2 && in_metadata()) {
      metadata_.emplace(field_, value);
    } else if (depth() == 2 && field_ == "dtype") {
      tensors_.back().dtype = value;
    } else {
      throw defect("an unexpected string");
    }
    return true;
  }
  bool number_unsigned(number_unsigned_t value) override {
    if (list_ == nullptr) throw defect("an unexpected number");
    // A shape may have any length in the file; one element above what Virgil takes is enough to refuse it.
    if (list_->size() > Shape::kMaxRank) throw defect(fmt::format("more than {} dimensions", Shape::kMaxRank));
    list_->push_back(value);
    return true;
  }
  bool number_integer(number_integer_t) override { throw defect("a negative number"); }
  bool number_float(number_float_t, const string_t&) override { throw defect("a number that is not a whole one below 2^64"); }
  bool boolean(bool) override { throw defect("an unexpected boolean"); }
  bool null() override { throw defect("an unexpected null"); }

 private:
  void on_start_object() override {
    if (depth() > 2) throw defect("an object stands where a value belongs");
    if (depth() == 2 && !in_metadata()) tensors_.push_back({.name = name_});
  }
  void on_end_object() override {}
  void on_key(std::string& key) override {
    if (depth() == 1) name_ = key;
    field_ = key;
  }
  void on_start_array() override {
    if (depth() != 3 || in_metadata()) throw defect("an unexpected list");
    RawTensor& tensor = tensors_.back();
    if (field_ == "shape") {
      tensor.has_shape = true;
      list_ = &tensor.shape;
    } else if (field_ == "data_offsets") {
      list_ = &tensor.offsets;
    } else {
      throw defect("an unexpected list");
    }
  }
  void on_end_array() override { list_ = nullptr; }
  void on_duplicate_key(const std::string& name) override {
    if (depth() == 1) throw user_error("{}: the tensor {} is listed twice", where(), quoted_excerpt(name));
    field_ = name;
    throw defect("a key that is given twice,");
  }
  void on_syntax_error(std::size_t byte, const std::string&, const std::string&) override {
    throw user_error("{}: the header is not valid JSON at byte {}: the file is damaged", where(), byte + kPrefixBytes);
  }

  [[nodiscard]] bool in_metadata() const { return name_ == "__metadata__"; }
  [[nodiscard]] UserError defect(std::string_view what) const {
    return user_error("{}: the header holds {} at {} / {}: the file is damaged", where(), what, quoted_excerpt(name_),
                      quoted_excerpt(field_));
  }

  std::map<std::string, std::string>& metadata_;
  std::vector<RawTensor> tensors_;
  std::string name_;
  std::string field_;
  std::vector<std::uint64_t>* list_ = nullptr;  // the list being filled
};

Shape make_shape(const RawTensor& tensor, const std::string& file) {
  const std::vector<std::uint64_t>& s = tensor.shape;
  const auto size = [&](std::size_t i) {
    if (s[i] > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
      throw user_error("{}: dimension {} of {} is {}: the file is damaged", file, i, quoted_excerpt(tensor.name), s[i]);
    }
    return static_cast<std::int64_t>(s[i]);
  };
  switch (s.size()) {
    case 0:
      return {};
    case 1:
      return {size(0)};
    case 2:
      return {size(0), size(1)};
    case 3:
      return {size(0), size(1), size(2)};
    case 4:
      return {size(0), size(1), size(2), size(3)};
    default:
      throw user_error("{}: {} has more than {} dimensions", file, quoted_excerpt(tensor.name), Shape::kMaxRank);
  }
}

/// Bytes the tensor's shape and dtype ask for.
std::uint64_t expected_bytes(const RawTensor& tensor, const std::string& file) {
  std::uint64_t bytes = element_bytes(tensor.dtype);
  if (bytes == 0) {
    throw user_error("{}: {} has the unknown dtype {}", file, quoted_excerpt(tensor.name), quoted_excerpt(tensor.dtype));
  }
  for (const std::uint64_t size : tensor.shape) {
    if (__builtin_mul_overflow(bytes, size, &bytes)) {
      throw user_error("{}: the shape of {} overflows: the file is damaged", file, quoted_excerpt(tensor.name));
    }
  }
  return bytes;
}

/// Checks one tensor against the data it lies in; `position` is where the one before it ends.
SafetensorsFile::Entry make_entry(const RawTensor& tensor, std::span<const std::byte> data, std::uint64_t position,
                                  const std::string& file) {
  const std::uint64_t begin = tensor.offsets[0];
  const std::uint64_t end = tensor.offsets[1];
  if (begin != position || end < begin || end > data.size()) {
    throw user_error("{}: {} claims bytes {} to {} of {}, where {} is the next free one: the file is damaged or truncated",
                     file, quoted_excerpt(tensor.name), begin, end, data.size(), position);
  }
  const std::uint64_t expected = expected_bytes(tensor, file);
  if (end - begin != expected) {
    throw user_error("{}: {} has {} bytes, its shape and dtype ask for {}: the file is damaged", file,
                     quoted_excerpt(tensor.name), end - begin, expected);
  }
  return {tensor.name, tensor.dtype, make_shape(tensor, file), data.subspan(begin, end - begin)};
}

std::span<const std::byte> read_header_span(std::span<const std::byte> file_bytes, const std::string& file) {
  const std::size_t start = std::min(file_bytes.size(), kForeignFileBytes);
  if (const auto foreign = describe_foreign_file({reinterpret_cast<const char*>(file_bytes.data()), start})) {
    throw user_error("{}: is {}", file, *foreign);
  }
  if (file_bytes.size() < kPrefixBytes) {
    throw user_error("{}: {} bytes are too few for a safetensors file: it is truncated", file, file_bytes.size());
  }
  std::uint64_t length = 0;
  for (std::size_t i = 0; i < kPrefixBytes; ++i) length |= std::to_integer<std::uint64_t>(file_bytes[i]) << (8 * i);
  if (length > kMaxHeaderBytes || length > file_bytes.size() - kPrefixBytes) {
    throw user_error("{}: the header claims {} bytes of a file of {}: it is truncated, or no safetensors file", file, length,
                     file_bytes.size());
  }
  return file_bytes.subspan(kPrefixBytes, length);
}

}  // namespace

std::vector<SafetensorsFile::Entry> parse_safetensors(std::span<const std::byte> file_bytes,
                                                      std::map<std::string, std::string>& metadata,
                                                      const std::string& file_name) {
  const std::span<const std::byte> header = read_header_span(file_bytes, file_name);
  const std::span<const std::byte> data = file_bytes.subspan(kPrefixBytes + header.size());
  const std::string_view text(reinterpret_cast<const char*>(header.data()), header.size());
  // The specification fixes the first byte, which also keeps byte order marks and bare values out.
  if (!text.starts_with('{')) throw user_error("{}: the header is not a JSON object: no safetensors file", file_name);
  HeaderReader reader(metadata, file_name);
  parse_json_events(text, reader);

  std::vector<RawTensor> tensors = reader.take_tensors();
  for (const RawTensor& tensor : tensors) {
    if (!tensor.dtype.empty() && tensor.has_shape && tensor.offsets.size() == 2) continue;
    throw user_error("{}: {} lacks its dtype, shape or two data_offsets: the file is damaged", file_name,
                     quoted_excerpt(tensor.name));
  }
  // Empty tensors share their offset with a neighbour and come before it.
  std::ranges::sort(tensors, {}, [](const RawTensor& t) { return std::pair(t.offsets[0], t.offsets[1]); });
  std::vector<SafetensorsFile::Entry> entries;
  std::uint64_t position = 0;
  for (const RawTensor& tensor : tensors) {
    entries.push_back(make_entry(tensor, data, position, file_name));
    position = tensor.offsets[1];
  }
  if (position != data.size()) {
    throw user_error("{}: {} bytes follow the last tensor: the file is damaged", file_name, data.size() - position);
  }
  return entries;
}

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path) : SafetensorsFile(MappedFile(path)) {}

SafetensorsFile::SafetensorsFile(MappedFile file)
    : file_(std::move(file)), entries_(parse_safetensors(file_.bytes(), metadata_, file_.path().string())) {}

const SafetensorsFile::Entry* SafetensorsFile::find(std::string_view name) const {
  const auto found = std::ranges::find(entries_, name, &Entry::name);
  return found == entries_.end() ? nullptr : &*found;
}

}  // namespace virgil

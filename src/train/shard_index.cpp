#include "train/shard_index.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "train/quoted_name.h"
#include "virgil/base/error.h"

namespace virgil {
namespace {

constexpr int kMaxDepth = 8;

/// {"metadata": {"total_size": 123}, "weight_map": {"tensor": "model-00001-of-00002.safetensors"}}. Read by events, so that
/// duplicates and depth are seen as they come; metadata may hold anything and is not used.
class IndexReader final : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit IndexReader(const std::string& where) : where_(where) {}

  [[nodiscard]] ShardIndex take_index() {
    if (!has_map_) throw user_error("{}: \"weight_map\" is missing", where_);
    return std::move(index_);
  }

  bool start_object(std::size_t) override {
    if (depth_ == 1 && section_ == kMapKey) {
      if (has_map_) throw user_error("{}: \"{}\" is given twice", where_, kMapKey);
      has_map_ = true;
    } else if (depth_ > 0) {
      refuse_in_map("an object");
    }
    return enter();
  }
  bool key(string_t& key) override {
    if (depth_ == 1) section_ = key;
    tensor_ = key;
    return true;
  }
  bool string(string_t& value) override {
    if (depth_ == 2 && section_ == kMapKey) {
      check_file_name(value);
      if (!index_.emplace(tensor_, value).second) {
        throw user_error("{}: the tensor {} is listed twice", where_, quoted_name(tensor_));
      }
      return true;
    }
    return take_other("a string");
  }
  bool start_array(std::size_t) override {
    (void)take_other("a list");
    return enter();
  }
  bool end_object() override { return leave(); }
  bool end_array() override { return leave(); }
  bool null() override { return take_other("null"); }
  bool boolean(bool) override { return take_other("a boolean"); }
  bool number_integer(number_integer_t) override { return take_other("a number"); }
  bool number_unsigned(number_unsigned_t) override { return take_other("a number"); }
  bool number_float(number_float_t, const string_t&) override { return take_other("a number"); }
  bool binary(binary_t&) override { return take_other("binary data"); }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception&) override {
    throw user_error("{}: not valid JSON at byte {}: the file is damaged", where_, position);
  }

 private:
  static constexpr std::string_view kMapKey = "weight_map";

  bool enter() {
    if (++depth_ > kMaxDepth) throw user_error("{}: nested deeper than {} levels", where_, kMaxDepth);
    return true;
  }
  bool leave() {
    --depth_;
    return true;
  }
  void refuse_in_map(std::string_view what) const {
    if (section_ == kMapKey) throw user_error("{}: \"{}\" holds {} where a file's name belongs", where_, kMapKey, what);
  }
  bool take_other(std::string_view what) {
    if (depth_ == 0) throw user_error("{}: is {}, but must be a JSON object", where_, what);
    refuse_in_map(what);
    return true;
  }
  /// An index speaks of its own folder only.
  void check_file_name(std::string_view name) const {
    constexpr std::string_view kSeparators("/\\\0", 3);
    const bool is_plain = !name.starts_with('.') && name.find_first_of(kSeparators) == name.npos;
    if (is_plain && name.ends_with(".safetensors")) return;
    throw user_error("{}: {} lies in {}, which is not the name of a safetensors file in this folder", where_,
                     quoted_name(tensor_), quoted_name(name));
  }

  const std::string& where_;
  ShardIndex index_;
  std::string section_;  // key of the outermost object
  std::string tensor_;
  bool has_map_ = false;
  int depth_ = 0;
};

}  // namespace

ShardIndex parse_shard_index(std::string_view text, const std::string& where) {
  IndexReader reader(where);
  nlohmann::json::sax_parse(text, &reader);
  return reader.take_index();
}

}  // namespace virgil

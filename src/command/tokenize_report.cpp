#include "command/tokenize_report.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstddef>
#include <nlohmann/json.hpp>
#include <span>
#include <string_view>

#include "virgil/base/format.h"
#include "virgil/base/utf8.h"

namespace virgil {
namespace {

using Json = nlohmann::ordered_json;

std::string bytes_of(const TokenizeReport& report, std::int32_t id) { return report.tokenizer.decode({&id, 1}); }

bool is_utf8(std::string_view bytes) {
  for (std::size_t i = 0; i < bytes.size();) {
    const std::uint32_t length = decode_utf8(bytes, i).length;
    if (length == 0) return false;
    i += length;
  }
  return true;
}

double bytes_per_token(const TokenizeReport& report) {
  return static_cast<double>(report.text_bytes) / static_cast<double>(report.statistics.num_tokens());
}

std::string token_lines(const TokenizeReport& report, const std::vector<std::int32_t>& ids) {
  std::string text;
  for (const std::int32_t id : ids) {
    const std::string bytes = bytes_of(report, id);
    text += fmt::format("  {:>7}  {:>11} times  {:>3} bytes  \"{}\"\n", id, format_count(report.statistics.count_of(id)),
                        bytes.size(), readable_token(bytes));
  }
  return text;
}

/// The first ids of a long list.
std::string id_list(const std::vector<std::int32_t>& ids) {
  constexpr std::ptrdiff_t kShown = 12;
  const auto end = ids.begin() + std::min(kShown, std::ssize(ids));
  return fmt::format("{}{}", fmt::join(ids.begin(), end, ", "), end == ids.end() ? "" : ", ...");
}

std::string input_text(const TokenizeReport& report) {
  if (report.inputs.empty()) return fmt::format("{} bytes given", format_count(report.text_bytes));
  return fmt::format("{}: {} {}{}, {} bytes of text", fmt::join(report.inputs, ", "), format_count(report.num_documents),
                     report.num_documents == 1 ? "document" : "documents",
                     report.num_split_marks == 0
                         ? ""
                         : fmt::format(" (split at {} {})", format_count(report.num_split_marks), report.end_mark),
                     format_count(report.text_bytes));
}

std::string output_text(const TokenizeReport& report) {
  if (report.output.empty()) return {};
  const std::string val = report.val_tokens > 0 ? fmt::format(" --val_input {}/val", report.output) : "";
  return fmt::format("written     {}: {} files\ntrain with  --input {}/train{} --tokenizer {}\n", report.output,
                     report.files.size(), report.output, val, report.output);
}

Json token_json(const TokenizeReport& report, std::int32_t id) {
  const std::string bytes = bytes_of(report, id);
  Json json = {{"id", id}, {"bytes", bytes.size()}, {"text", bytes}};
  if (is_utf8(bytes)) return json;
  std::string hex;
  for (const char byte : bytes) hex += fmt::format("{:02x}", static_cast<unsigned char>(byte));
  json["hex"] = hex;
  return json;
}

Json token_list_json(const TokenizeReport& report, const std::vector<std::int32_t>& ids) {
  Json list = Json::array();
  for (const std::int32_t id : ids) {
    list.push_back(token_json(report, id));
    list.back()["count"] = report.statistics.count_of(id);
  }
  return list;
}

}  // namespace

std::string readable_token(std::string_view bytes) {
  std::string text;
  for (std::size_t i = 0; i < bytes.size();) {
    const Utf8Char character = decode_utf8(bytes, i);
    const std::size_t length = std::max<std::size_t>(character.length, 1);
    const bool is_control = character.code_point < 0x20 || (character.code_point >= 0x7F && character.code_point < 0xA0);
    if (bytes[i] == '\n' || bytes[i] == '\t') {
      text += bytes[i] == '\n' ? "\\n" : "\\t";
    } else if (character.length == 0 || is_control) {
      for (const char byte : bytes.substr(i, length)) text += fmt::format("\\x{:02X}", static_cast<unsigned char>(byte));
    } else {
      text += bytes.substr(i, length);
    }
    i += length;
  }
  return text;
}

std::string cut_into_tokens(const Tokenizer& tokenizer, std::span<const std::int32_t> tokens) {
  std::string text;
  bool at_line_start = true;
  for (const std::int32_t id : tokens) {
    const std::string bytes = tokenizer.decode({&id, 1});
    if (!at_line_start) text += '|';
    text += readable_token(bytes);
    at_line_start = bytes.ends_with('\n');
    if (at_line_start) text += '\n';
  }
  return at_line_start ? text : text + '\n';
}

std::string tokenize_text_report(const TokenizeReport& report) {
  const TokenStatistics& statistics = report.statistics;
  const std::vector<std::int32_t> unused = statistics.unused_ids();
  const auto vocab_size = static_cast<std::int64_t>(report.tokenizer.vocab_size());
  std::string text;
  if (!report.shown.empty()) text += cut_into_tokens(report.tokenizer, report.shown) + "\n";
  text += fmt::format("tokenizer   {}: {} ids\n", report.tokenizer.name(), format_count(vocab_size));
  text += fmt::format("input       {}\n", input_text(report));
  text += fmt::format("tokens      {}{}; {:.3f} bytes per token\n", format_count(statistics.num_tokens()),
                      report.val_tokens > 0 ? fmt::format(" ({} of them held out)", format_count(report.val_tokens)) : "",
                      bytes_per_token(report));
  text += fmt::format("ids         {} used, {} not{}\n", format_count(vocab_size - std::ssize(unused)),
                      format_count(std::ssize(unused)), unused.empty() ? "" : ": " + id_list(unused));
  text += fmt::format("time        {:.2f} s\n", report.elapsed_s);
  if (!report.tokenizer_folder.empty()) text += fmt::format("tokenizer   saved in {}\n", report.tokenizer_folder);
  text += output_text(report);
  if (report.top == 0) return text;
  text += "longest tokens that occur\n" + token_lines(report, statistics.longest_ids(report.tokenizer, report.top));
  return text + "most frequent tokens\n" + token_lines(report, statistics.most_frequent_ids(report.top));
}

std::string tokenize_json_report(const TokenizeReport& report) {
  const TokenStatistics& statistics = report.statistics;
  Json json = {{"tokenizer",
                {{"name", report.tokenizer.name()},
                 {"vocab_size", report.tokenizer.vocab_size()},
                 {"fingerprint", report.tokenizer.fingerprint()}}},
               {"inputs", report.inputs},
               {"documents", report.num_documents},
               {"split_marks", report.num_split_marks},
               {"bytes", report.text_bytes},
               {"tokens", statistics.num_tokens()},
               {"train_tokens", report.train_tokens},
               {"val_tokens", report.val_tokens},
               {"bytes_per_token", bytes_per_token(report)},
               {"unused_ids", statistics.unused_ids()},
               {"longest_tokens", token_list_json(report, statistics.longest_ids(report.tokenizer, report.top))},
               {"most_frequent_tokens", token_list_json(report, statistics.most_frequent_ids(report.top))},
               {"elapsed_ms", 1000 * report.elapsed_s}};
  if (!report.shown.empty()) {
    Json& shown = json["inspected"] = Json::array();
    for (const std::int32_t id : report.shown) shown.push_back(token_json(report, id));
  }
  if (!report.output.empty()) {
    json["output"] = report.output;
    json["files"] = report.files;
  }
  if (!report.tokenizer_folder.empty()) json["tokenizer_folder"] = report.tokenizer_folder;
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace virgil

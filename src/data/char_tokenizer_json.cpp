// How `tokenizers` is brought to two ids for each byte of an unknown character, the upper and the lower half:
//
//   - Every known character is an added token, found in the text before anything else.
//   - What is left goes through the normalizer, which writes each byte b as a stand-in character. Its UTF-8 form has two bytes,
//     of which the first tells the upper half of b, the second the lower half.
//   - The model knows no stand-in, so byte_fallback spells its two bytes as tokens such as <0xC6> and <0x80>: these have the
//   ids
//     of the halves.
//
// The decoder goes back. Its ByteLevel step would take some known characters for bytes, so these get a mark before and lose it
// after.
#include "data/char_tokenizer_json.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <functional>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "data/byte_pair_vocabulary.h"
#include "virgil/base/utf8.h"

namespace virgil {
namespace {

using nlohmann::ordered_json;

constexpr std::uint32_t kFirstLead = 0xC6;  // U+0180: below lie the characters that spell bytes
constexpr std::uint32_t kNumLeads = 26;     // to 0xDF
constexpr std::uint32_t kFirstTrail = 0x80;
constexpr std::uint32_t kNumTrails = 64;
constexpr int kHalves = 16;

constexpr std::uint32_t code_point_of(std::uint32_t lead, std::uint32_t trail) {
  return ((lead & 0x1FU) << 6) | (trail & 0x3FU);
}

/// First and second bytes of UTF-8 that together form no known character.
struct StandIns {
  std::vector<std::uint32_t> leads;
  std::vector<std::uint32_t> trails;
  [[nodiscard]] std::string of(unsigned byte) const {
    std::string text;
    append_utf8(text, code_point_of(leads[byte >> 4], trails[byte & 15U]));
    return text;
  }
};

std::optional<StandIns> find_stand_ins(const std::vector<std::uint32_t>& known) {
  std::array<std::uint32_t, kNumTrails> free_leads{};  // for each trail, a bit for each lead
  free_leads.fill((1U << kNumLeads) - 1);
  for (const std::uint32_t code_point : known) {
    if (code_point < code_point_of(kFirstLead, kFirstTrail) || code_point > 0x7FF) continue;
    free_leads[code_point & 0x3FU] &= ~(1U << ((code_point >> 6) - (kFirstLead & 0x1FU)));
  }
  std::array<std::uint32_t, kNumTrails> order{};
  for (std::uint32_t i = 0; i < kNumTrails; ++i) order[i] = i;
  std::ranges::stable_sort(order, std::greater<>(), [&](std::uint32_t i) { return std::popcount(free_leads[i]); });
  StandIns found;
  std::uint32_t leads = (1U << kNumLeads) - 1;
  for (const std::uint32_t trail : order) {
    if (found.trails.size() == kHalves || std::popcount(leads & free_leads[trail]) < kHalves) continue;
    leads &= free_leads[trail];
    found.trails.push_back(kFirstTrail + trail);
  }
  if (found.trails.size() < kHalves) return std::nullopt;
  for (std::uint32_t lead = 0; lead < kNumLeads && found.leads.size() < kHalves; ++lead) {
    if ((leads >> lead & 1U) != 0) found.leads.push_back(kFirstLead + lead);
  }
  return found;
}

ordered_json replace(std::string_view pattern, std::string_view content) {
  return {{"type", "Replace"}, {"pattern", {{"String", pattern}}}, {"content", content}};
}

std::string hex_token(std::uint32_t byte) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  return std::string("<0x") + kDigits[byte >> 4] + kDigits[byte & 15U] + ">";
}

/// Bytes that unknown characters can have in UTF-8.
std::vector<unsigned> list_unknown_bytes(const std::vector<std::uint32_t>& known) {
  std::vector<unsigned> bytes;
  for (unsigned byte = 0; byte < 0xF5; ++byte) {
    const bool is_ascii = byte < 0x80 && std::ranges::find(known, byte) == known.end();
    if (is_ascii || (byte >= 0x80 && byte != 0xC0 && byte != 0xC1)) bytes.push_back(byte);
  }
  return bytes;
}

/// A noncharacter that is not among the known ones.
std::string find_mark(const std::vector<std::uint32_t>& known) {
  std::uint32_t mark = 0xFDD0;
  while (mark < 0xFDEF && std::ranges::find(known, mark) != known.end()) ++mark;
  std::string text;
  append_utf8(text, mark);
  return text;
}

/// Whether ByteLevel's decoder takes the character for another byte.
bool spells_a_byte(std::uint32_t code_point) { return code_point >= 0xA1 && code_point <= 0x143 && code_point != 0xAD; }

ordered_json make_decoder(const std::vector<std::string>& characters, const std::vector<std::uint32_t>& known,
                          const StandIns& stand_ins, const std::vector<unsigned>& bytes) {
  const std::string mark = find_mark(known);
  ordered_json steps = ordered_json::array();
  for (std::size_t i = 0; i < characters.size(); ++i) {
    if (spells_a_byte(known[i])) steps.push_back(replace(characters[i], mark + characters[i]));
  }
  const bool has_marks = !steps.empty();
  steps.push_back({{"type", "ByteFallback"}});
  for (const unsigned byte : bytes) {
    steps.push_back(replace(stand_ins.of(byte), spell_bytes(std::string(1, static_cast<char>(byte)))));
  }
  steps.push_back({{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", false}});
  if (has_marks) steps.push_back(replace(mark, ""));
  return {{"type", "Sequence"}, {"decoders", std::move(steps)}};
}

}  // namespace

std::optional<std::string> write_char_tokenizer_json(const std::vector<std::string>& characters,
                                                     const std::vector<std::uint32_t>& code_points) {
  const std::optional<StandIns> stand_ins = find_stand_ins(code_points);
  if (!stand_ins) return std::nullopt;
  const std::vector<unsigned> bytes = list_unknown_bytes(code_points);
  ordered_json normalizers = ordered_json::array({{{"type", "ByteLevel"}}});
  for (const unsigned byte : bytes) {
    normalizers.push_back(replace(spell_bytes(std::string(1, static_cast<char>(byte))), stand_ins->of(byte)));
  }
  ordered_json::object_t vocab;  // a plain list underneath, so push_back keeps this linear
  ordered_json::array_t added;
  for (std::size_t id = 0; id < characters.size(); ++id) {
    vocab.push_back({characters[id], id});
    added.push_back({{"id", id},
                     {"content", characters[id]},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false},
                     {"special", false}});
  }
  for (std::size_t i = 0; i < kHalves; ++i) vocab.push_back({hex_token(stand_ins->leads[i]), characters.size() + i});
  for (std::size_t i = 0; i < kHalves; ++i) vocab.push_back({hex_token(stand_ins->trails[i]), characters.size() + kHalves + i});
  ordered_json model = {{"type", "BPE"},
                        {"dropout", nullptr},
                        {"unk_token", nullptr},
                        {"continuing_subword_prefix", nullptr},
                        {"end_of_word_suffix", nullptr},
                        {"fuse_unk", false},
                        {"byte_fallback", true},
                        {"ignore_merges", false}};
  model["vocab"] = std::move(vocab);
  model["merges"] = ordered_json::array();
  ordered_json document = {{"version", "1.0"}, {"truncation", nullptr}, {"padding", nullptr}};
  document["added_tokens"] = std::move(added);
  document["normalizer"] = {{"type", "Sequence"}, {"normalizers", std::move(normalizers)}};
  document["pre_tokenizer"] = nullptr;
  document["post_processor"] = nullptr;
  document["decoder"] = make_decoder(characters, code_points, *stand_ins, bytes);
  document["model"] = std::move(model);
  return document.dump() + "\n";
}

}  // namespace virgil

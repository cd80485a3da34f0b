#include "data/tokenizer_settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "virgil/base/error.h"
#include "virgil/base/excerpt.h"
#include "virgil/base/json.h"

namespace virgil {
namespace {

using nlohmann::json;

// word_scanner.h is this pattern; a Split that spells it gives the same words.
constexpr std::string_view kGpt2Pattern = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

std::string type_of(const json& object) {
  if (object.is_null()) return "none";
  const json type = object.is_object() ? object.value("type", json("without a type")) : json("malformed");
  return type.is_string() ? type.get<std::string>() : shorten_json(type);
}

bool flag(const json& object, const char* key, bool otherwise) { return object.value(key, json(otherwise)) == true; }

constexpr std::size_t kMostOfType = 60;  // bytes, in a message

class SettingsReader {
 public:
  explicit SettingsReader(const json& document) : document_(document) {}

  BytePairRules read() {
    read_model();
    read_normalizer(document_.value("normalizer", json()));
    read_pre_tokenizer(document_.value("pre_tokenizer", json()));
    if (!document_.value("added_tokens", json::array()).is_array()) add_obstacle("\"added_tokens\" is not a list");
    return std::move(rules_);
  }
  [[nodiscard]] const std::vector<std::string>& obstacles() const { return obstacles_; }

 private:
  void add_obstacle(std::string what) {
    if (std::ranges::find(obstacles_, what) == obstacles_.end()) obstacles_.push_back(std::move(what));
  }

  void read_model() {
    const json model = document_.value("model", json());
    if (!model.is_object()) return add_obstacle("it has no model");
    const std::string type = model.contains("type") ? type_of(model) : "BPE";
    if (type != "BPE") {
      const char* kin = type == "Unigram" ? " (SentencePiece's)" : type == "WordPiece" ? " (BERT's)" : "";
      return add_obstacle(fmt::format("its model is of type {}{}, not BPE", excerpt(type, kMostOfType), kin));
    }
    const json dropout = model.value("dropout", json());
    if (!dropout.is_null() && dropout != 0)
      add_obstacle(fmt::format("\"dropout\" is {}: ids at random", shorten_json(dropout)));
    for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
      const json value = model.value(key, json());
      if (!value.is_null() && value != "") add_obstacle(fmt::format("\"{}\" is {}", key, shorten_json(value)));
    }
    rules_.ignores_merges = flag(model, "ignore_merges", false);
  }

  void read_normalizer(const json& normalizer) {
    if (normalizer.is_null()) return;
    const std::string type = type_of(normalizer);
    if (type == "NFC") {
      rules_.composes = true;
    } else if (type == "Sequence" && normalizer.value("normalizers", json()).is_array()) {
      for (const json& part : normalizer["normalizers"]) read_normalizer(part);
    } else {
      add_obstacle(fmt::format("its normalizer is {} (NFC is read)", excerpt(type, kMostOfType)));
    }
  }

  void read_pre_tokenizer(const json& splitter) {
    std::vector<json> steps;
    flatten(splitter, steps);
    const bool ends_in_bytes = !steps.empty() && type_of(steps.back()) == "ByteLevel";
    if (!ends_in_bytes) add_obstacle("its pre_tokenizer does not end in ByteLevel");
    SplittingRules& splitting = rules_.splitting;
    for (std::size_t i = 0; i + (ends_in_bytes ? 1 : 0) < steps.size(); ++i) read_step(steps[i]);
    if (!ends_in_bytes) return;
    splitting.gpt2_words = flag(steps.back(), "use_regex", true);
    splitting.add_prefix_space = flag(steps.back(), "add_prefix_space", true);
    const bool spells_gpt2 = splitting.splits.size() == 1 && is_gpt2_split(splitting.splits[0]) && !splitting.gpt2_words &&
                             !splitting.add_prefix_space;
    if (spells_gpt2) splitting = {};
  }

  /// Takes a rule, unless its pattern is not known.
  void add_rule(SplitRule rule) {
    try {
      (void)compile_split(rule);
      rules_.splitting.splits.push_back(std::move(rule));
    } catch (const UserError& error) {
      add_obstacle(fmt::format("its splitting rule: {}", error.what()));
    }
  }

  static bool is_gpt2_split(const SplitRule& rule) {
    return !rule.is_literal && rule.pattern == kGpt2Pattern && rule.behavior == SplitRule::Behavior::kIsolated;
  }

  void flatten(const json& splitter, std::vector<json>& steps) {
    if (type_of(splitter) == "Sequence" && splitter.value("pretokenizers", json()).is_array()) {
      for (const json& part : splitter["pretokenizers"]) flatten(part, steps);
    } else if (!splitter.is_null()) {
      steps.push_back(splitter);
    }
  }

  void read_step(const json& step) {
    const std::string type = type_of(step);
    using Behavior = SplitRule::Behavior;
    if (type == "Digits") {
      const bool individual = flag(step, "individual_digits", false);
      add_rule({.pattern = individual ? "\\p{N}" : "\\p{N}+"});
    } else if (type == "Punctuation") {
      const std::optional<Behavior> behavior = read_behavior(step, "Isolated");
      if (!behavior) return add_obstacle(fmt::format("its Punctuation is malformed: {}", shorten_json(step)));
      add_rule({.pattern = "[!-/:-@\\[-`{-~\\p{P}]", .behavior = *behavior});
    } else if (type == "WhitespaceSplit") {
      add_rule({.pattern = "\\s", .behavior = Behavior::kRemoved});
    } else if (type == "Whitespace") {  // words and runs of other signs; in Rust's \w are the joiners
      add_rule({.pattern = "[\\w\\u200C\\u200D]+|[^\\w\\u200C\\u200D\\s]+", .behavior = Behavior::kRemoved, .inverted = true});
    } else if (type == "CharDelimiterSplit" && step.value("delimiter", json()).is_string()) {
      add_rule({.pattern = step["delimiter"].get<std::string>(), .is_literal = true, .behavior = Behavior::kRemoved});
    } else if (type == "Split") {
      if (std::optional<SplitRule> rule = read_split(step)) add_rule(std::move(*rule));
    } else {
      add_obstacle(
          fmt::format("its pre_tokenizer holds {} (Split, Digits, Punctuation, Whitespace, WhitespaceSplit, CharDelimiterSplit "
                      "and a last ByteLevel are read)",
                      excerpt(type, kMostOfType)));
    }
  }

  static std::optional<SplitRule::Behavior> read_behavior(const json& step, const char* otherwise) {
    using Behavior = SplitRule::Behavior;
    const std::pair<const char*, Behavior> behaviors[] = {{"Isolated", Behavior::kIsolated},
                                                          {"Removed", Behavior::kRemoved},
                                                          {"MergedWithPrevious", Behavior::kMergedWithPrevious},
                                                          {"MergedWithNext", Behavior::kMergedWithNext},
                                                          {"Contiguous", Behavior::kContiguous}};
    const json name = step.value("behavior", json(otherwise));
    const auto behavior = std::ranges::find_if(behaviors, [&](const auto& entry) { return name == entry.first; });
    return behavior == std::end(behaviors) ? std::nullopt : std::optional(behavior->second);
  }

  std::optional<SplitRule> read_split(const json& step) {
    const std::optional<SplitRule::Behavior> behavior = read_behavior(step, "");
    const json pattern = step.value("pattern", json());
    const json regex = pattern.is_object() ? pattern.value("Regex", json()) : json();
    const json literal = pattern.is_object() ? pattern.value("String", json()) : json();
    const json& text = regex.is_string() ? regex : literal;
    if (!behavior || !text.is_string()) {
      add_obstacle(fmt::format("its Split is malformed: {}", shorten_json(step)));
      return std::nullopt;
    }
    return SplitRule{text.get<std::string>(), !regex.is_string(), *behavior, flag(step, "invert", false)};
  }

  const json& document_;
  BytePairRules rules_;
  std::vector<std::string> obstacles_;
};

}  // namespace

BytePairRules read_tokenizer_settings(const json& document, const std::filesystem::path& path) {
  (void)SortedJsonObject(document, path.string()).at("model");
  SettingsReader reader(document);
  BytePairRules rules = reader.read();
  if (reader.obstacles().empty()) return rules;
  constexpr std::size_t kMostObstacles = 6;
  std::string list;
  for (std::size_t i = 0; i < std::min(kMostObstacles, reader.obstacles().size()); ++i) {
    list += (list.empty() ? "" : "; ") + reader.obstacles()[i];
  }
  if (reader.obstacles().size() > kMostObstacles)
    list += fmt::format("; and {} more", reader.obstacles().size() - kMostObstacles);
  throw user_error(
      "{}: not a byte-level BPE tokenizer that Virgil reads: {}. Encode the texts with its own program and give token files "
      "(docs/data.md), or take another tokenizer: --tokenizer gpt2, or bpe:4096 to train one",
      path.string(), list);
}

std::string shorten_json(const json& value) {
  constexpr std::size_t kMostBytes = 80;
  return excerpt(value.dump(-1, ' ', true, json::error_handler_t::replace), kMostBytes);
}

}  // namespace virgil

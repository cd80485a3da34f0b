// Making a tokenizer from a text that need not fit into memory.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "virgil/base/progress.h"
#include "virgil/data/tokenizer.h"

namespace virgil {

/// Collects what the tokenizer that a spec names learns from its training text. Not safe from several threads.
class TokenizerBuilder {
 public:
  virtual ~TokenizerBuilder() = default;
  /// Whether the tokenizer is made from text at all ("char" and "bpe:<size>").
  [[nodiscard]] virtual bool needs_text() const = 0;
  /// What the tokenizer's end of text looks like in a text; empty where it has none.
  [[nodiscard]] virtual std::string end_of_text_mark() const = 0;
  /// Takes the next piece of the training text, cut as TextReader cuts.
  virtual void add_text(std::string_view piece) = 0;
  /// Call once. Throws UserError when the text was empty, or too short for the vocabulary's size.
  [[nodiscard]] virtual std::unique_ptr<Tokenizer> finish() = 0;
};

/// Throws UserError on an unknown spec, naming the nearest known one, and on a file or vocabulary that cannot be read.
/// `progress` watches finish().
[[nodiscard]] std::unique_ptr<TokenizerBuilder> make_tokenizer_builder(std::string_view spec,
                                                                       ProgressMonitor* progress = nullptr);

}  // namespace virgil

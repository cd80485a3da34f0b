// Normalization form C (Unicode Standard Annex #15): canonical decomposition, canonical order of marks, canonical composition.
#pragma once

#include <string>
#include <string_view>

namespace virgil {

/// NFC of UTF-8; a byte that belongs to no well-formed character stays and separates what is around it. The data are those of
/// Hugging Face's `tokenizers` (see unicode_properties.inc).
[[nodiscard]] std::string compose_canonically(std::string_view text);

}  // namespace virgil

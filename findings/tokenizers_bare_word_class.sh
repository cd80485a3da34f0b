#!/usr/bin/env bash
# `tokenizers` 0.22.1 (Oniguruma): in a Split pattern \w is another set outside of brackets than [\w] inside them. Bare \w, \W, \b and \B
# count the superscript digits and fractions of Latin-1 (U+00B2, B3, B9, BC, BD, BE; category No) as parts of words; [\w] does not, and
# neither does any other superscript or fraction, such as U+2074 or U+2153. One would expect \w and [\w] to be the same, as in PCRE2, Rust and
# Python, and a reimplementation that takes one set for both gives other ids.
# Seen (tokenizers 0.22.1, Python 3.11):
#   \w     matches ['0xb2', '0xb3', '0xb9', '0xbc', '0xbd', '0xbe'] of category No below U+3000
#   [\w]   matches [] of category No below U+3000
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet tokenizers==0.22.1
"$folder/venv/bin/python" - <<'END'
import unicodedata

from tokenizers import Regex
from tokenizers.pre_tokenizers import Split


def numbers_in(pattern):
    splitter = Split(Regex(pattern), "removed")
    characters = (chr(c) for c in range(0x3000) if unicodedata.category(chr(c)) == "No")
    return [hex(ord(c)) for c in characters if not splitter.pre_tokenize_str(c)]


for pattern in (r"\w", r"[\w]"):
    print(f"{pattern:6} matches {numbers_in(pattern)} of category No below U+3000")
assert numbers_in(r"\w") == ["0xb2", "0xb3", "0xb9", "0xbc", "0xbd", "0xbe"]
assert numbers_in(r"[\w]") == []
# \b sees a border between a blank and U+00BD, and none between U+00BD and a letter.
assert [piece for piece, _ in Split(Regex(r"\b"), "isolated").pre_tokenize_str("\u00bdb")] == ["\u00bdb"]
END

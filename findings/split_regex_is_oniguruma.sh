#!/usr/bin/env bash
# A splitting pattern copied from tiktoken means something else in Hugging Face's tokenizer.json, without an error.
#
# Versions: tiktoken 0.14.0, tokenizers 0.23.3.
# tiktoken's own cl100k_base uses possessive quantifiers: \p{N}{1,3}+ and \s++$ in
#   '(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s
# `tokenizers` takes the same string as {"Split": {"Regex": ...}}, but reads it with Oniguruma in Ruby's syntax. There "{1,3}+" is
# no possessive quantifier but a repetition of a repetition, so digits are no longer cut into threes, and every number is one
# word. Ids change silently. tokenizer.json files must spell \p{N}{1,3} (as the conversions on the Hub do).
#
# Seen:
#   tiktoken    ['123', '456', '7', ' a', '  \n', 'b']
#   tokenizers  ['1234567', ' a', '  \n', 'b']
# Ends with 1 when that changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check tiktoken==0.14.0 tokenizers==0.23.3
"$work/venv/bin/python" - <<'PY'
import sys

import tiktoken
from tokenizers import Regex, pre_tokenizers

PATTERN = r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s"
TEXT = "1234567 a  \nb"

# A vocabulary in which every piece of the text is a token, so that the ids show how it was cut.
pieces = {TEXT[i:j].encode() for i in range(len(TEXT)) for j in range(i + 2, len(TEXT) + 1)}
ranks = {bytes([b]): b for b in range(256)} | {piece: 256 + i for i, piece in enumerate(sorted(pieces, key=len))}
encoding = tiktoken.Encoding("pieces", pat_str=PATTERN, mergeable_ranks=ranks, special_tokens={})
of_tiktoken = [encoding.decode([i]) for i in encoding.encode_ordinary(TEXT)]
of_tokenizers = [piece for piece, _ in pre_tokenizers.Split(Regex(PATTERN), "isolated").pre_tokenize_str(TEXT)]
print("tiktoken   ", of_tiktoken)
print("tokenizers ", of_tokenizers)
same = of_tiktoken[:3] == ["123", "456", "7"] and of_tokenizers[0] == "1234567" and of_tokenizers != of_tiktoken
sys.exit(0 if same else 1)
PY

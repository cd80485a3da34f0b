#!/usr/bin/env python3
"""Writes src/data/unicode_properties.inc: general categories, Han and canonical decompositions, for splitting patterns and NFC.

A text must give the same ids on every machine, and the ids that Hugging Face's `tokenizers` gives: so the categories are asked
of `tokenizers` itself (its regular expressions), and of the normalization data of unicodedata2 only those characters are kept
that `tokenizers` normalizes in the same way.

Usage: make_unicode_properties.py > src/data/unicode_properties.inc    (needs: pip install tokenizers unicodedata2; 2 minutes)
"""

import tokenizers
import unicodedata2
from tokenizers import Regex, normalizers, pre_tokenizers

CATEGORIES = "Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp Cc Cf Co Cn".split()
SURROGATES = range(0xD800, 0xE000)
CODE_POINTS = [c for c in range(0x110000) if c not in SURROGATES]


def members(pattern):
    keep = pre_tokenizers.Split(Regex(pattern), "removed", invert=True)
    found = []
    for i in range(0, len(CODE_POINTS), 4096):
        text = "".join(map(chr, CODE_POINTS[i : i + 4096]))
        for piece, _ in keep.pre_tokenize_str(text):
            found.extend(map(ord, piece))
    return found


def is_known_to_tokenizers(c):
    """Its normalizers know an older Unicode than its regular expressions: what came later they leave as it stands."""
    nfd = normalizers.NFD()
    texts = (chr(c), f"a\u0301{chr(c)}", f"a{chr(c)}\u0323", f"a{chr(c)}\u0334")
    return all(nfd.normalize_str(text) == unicodedata2.normalize("NFD", text) for text in texts)


def combining_class(c):
    value = unicodedata2.combining(chr(c))
    return value if value and is_known_to_tokenizers(c) else 0


def print_table(declaration, entries, per_line):
    print(f"constexpr {declaration} = {{")
    for i in range(0, len(entries), per_line):
        print("    " + " ".join(entry + "," for entry in entries[i : i + per_line]))
    print("};")


def category_starts():
    category = {c: name for name in CATEGORIES for c in members(rf"\p{{{name}}}")}
    starts, last = [], None
    for c in range(0x110000):
        name = category.get(c, "Cn")
        if name != last:
            starts.append(f"0x{c << 8 | CATEGORIES.index(name):X}")
        last = name
    return starts


def runs(pairs):
    """(code point, value) in order, joined where neighbours have the same value."""
    found = []
    for c, value in pairs:
        if found and found[-1][1] == c - 1 and found[-1][2] == value:
            found[-1][1] = c
        else:
            found.append([c, c, value])
    return found


def decompositions():
    entries = []
    for c in CODE_POINTS:
        if 0xAC00 <= c < 0xD7A4:
            continue
        fields = unicodedata2.decomposition(chr(c)).split()
        if fields and not fields[0].startswith("<") and is_known_to_tokenizers(c):
            first, second = (fields + ["0"])[:2]
            composes = len(fields) == 2 and unicodedata2.normalize("NFC", chr(c)) == chr(c)
            entries.append(f"{{0x{c:X}, 0x{first}, 0x{second}, {int(composes)}}}")
    return entries


def main():
    print(f"// Made by tests/reference/make_unicode_properties.py from tokenizers {tokenizers.__version__} and the Unicode")
    print(f"// {unicodedata2.unidata_version} data of unicodedata2. Do not edit.")
    print("// Where a run of a general category begins: the code point in the upper bits, the category's index in the lower eight.")
    print_table("std::uint32_t kCategoryStarts[]", category_starts(), 11)
    print("// {first, last} of the script Han.")
    print_table("CodePointRange kHanRanges[]", [f"{{0x{a:X}, 0x{b:X}}}" for a, b, _ in runs((c, 0) for c in members(r"\p{Han}"))], 6)
    print("// {first, last, canonical combining class} where it is not 0.")
    classes = runs((c, combining_class(c)) for c in CODE_POINTS if combining_class(c))
    print_table("CombiningRange kCombiningRanges[]", [f"{{0x{a:X}, 0x{b:X}, {v}}}" for a, b, v in classes], 5)
    print("// {character, its canonical decomposition (one or two characters), whether the two compose again}; Hangul has a rule.")
    print_table("Decomposition kDecompositions[]", decompositions(), 3)


if __name__ == "__main__":
    main()

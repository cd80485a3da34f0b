#!/usr/bin/env python3
"""Writes src/data/unicode_classes.inc: the letters, numbers and white space that tiktoken's regular expressions know.

GPT-2's splitting rule asks for \\p{L}, \\p{N} and \\s. Which characters those are depends on the Unicode version, and a text must
give the same ids on every machine, so the classes are a table made once from tiktoken itself (Unicode 16.0 in tiktoken 0.14) and
not whatever Unicode version the machine's PCRE2 or ICU has.

Usage: make_unicode_classes.py > src/data/unicode_classes.inc    (needs: pip install tiktoken)
"""

import tiktoken

CODE_POINTS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
PER_LINE = 6


def members(pattern):
    """Code points that match: an encoding with this pattern keeps exactly the matching characters of a text."""
    encoding = tiktoken.Encoding("classes", pat_str=pattern, mergeable_ranks={bytes([b]): b for b in range(256)}, special_tokens={})
    return [ord(c) for c in encoding.decode(encoding.encode_ordinary("".join(map(chr, CODE_POINTS))))]


def ranges(code_points):
    found = []
    for c in code_points:
        if found and found[-1][1] == c - 1:
            found[-1][1] = c
        else:
            found.append([c, c])
    return found


def main():
    print(f"// Made by tests/reference/make_unicode_classes.py from tiktoken {tiktoken.__version__}. Do not edit.")
    print("// {first, last} code points.")
    for name, pattern in (("kLetterRanges", r"\p{L}"), ("kNumberRanges", r"\p{N}"), ("kSpaceRanges", r"\s")):
        found = ranges(members(pattern))
        print(f"constexpr CodePointRange {name}[] = {{")
        for i in range(0, len(found), PER_LINE):
            print("    " + " ".join(f"{{0x{a:X}, 0x{b:X}}}," for a, b in found[i : i + PER_LINE]))
        print("};")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Writes tests/golden/added_words.json: ids that Hugging Face's `tokenizers` gives for texts with added tokens of every kind.

Each case draws its tokens, their flags (single_word, lstrip, rstrip, normalized, special) and whether texts are normalized and given a
space; its texts are made of the tokens, parts of them, white space and what stands beside words. The vocabulary is that of
foreign_tokenizers.json, of whose base a case is a JSON merge patch. A text on which `tokenizers` panics is left out.

Usage: make_added_words_golden.py [--cases N] [--texts N] [--seed S] > tests/golden/added_words.json    (needs: pip install tokenizers)
"""

import argparse
import json
import pathlib
import random
import sys

from make_foreign_golden import patched
from tokenizers import Tokenizer

GOLDEN = pathlib.Path(__file__).resolve().parents[1] / "golden"
CONTENTS = ["foo", "foobar", "oo", "bar", "bar baz", " bar", "baz ", "ab", "b", "a", "\n", "\n\n", " ", "  ", "\t", "12", "_", "<x>", "[PAD]", "\u00e9", "e\u0301", "\u0301",
            "\u6f22", "\u6f22\u5b57", "\u2028", "\u00a0", "\u200d", "'s", ".", "...", "\U0001f600", "\u212b", "\u00c5", "\u017f", "\uac01"]
BESIDE = [" ", "  ", "\n", "\t", "\u00a0", "\u3000", "\u2028", "\u0085", "\x1c", "_", "-", ".", "x", "1", "\u00b2", "\u0301", "\u200d", "\u203f", "\u24d0", "\u6f22", "\u0915\u093f", "e", "A\u030a", ""]
FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")


def draw_case(rng, base):
    contents = rng.sample(CONTENTS, rng.randrange(2, 7))
    tokens = []
    for content in contents:
        flags = {flag: rng.random() < 0.35 for flag in FLAGS}
        tokens.append({"id": base["model"]["vocab"].get(content, 400 + len(tokens)), "content": content, **flags})
    # Behind the vocabulary ids follow one another, as `tokenizers` itself gives them.
    following = 1 + max(base["model"]["vocab"].values())
    for token in tokens:
        if token["id"] >= 400:
            token["id"], following = following, following + 1
    patch = {"added_tokens": base["added_tokens"] + sorted(tokens, key=lambda token: token["id"])}
    if rng.random() < 0.3:
        patch["normalizer"] = {"type": "NFC"}
    if rng.random() < 0.3:
        patch["pre_tokenizer"] = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}
    return contents, patch


def draw_text(rng, contents):
    parts = []
    for _ in range(rng.randrange(1, 8)):
        content = rng.choice(contents)
        parts.append(rng.choice([content, content, content[: rng.randrange(len(content)) + 1], rng.choice(BESIDE), rng.choice(BESIDE)]))
    return "".join(parts)


def ids_of(tokenizer, text):
    try:
        return tokenizer.encode(text, add_special_tokens=False).ids
    except BaseException as error:  # noqa: BLE001, as a panic is no Exception
        if type(error).__name__ != "PanicException":
            raise
        return None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--cases", type=int, default=24)
    parser.add_argument("--texts", type=int, default=14)
    parser.add_argument("--seed", type=int, default=3)
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    base = json.loads((GOLDEN / "foreign_tokenizers.json").read_text())["base"]
    cases, panics = [], 0
    while len(cases) < arguments.cases:
        contents, patch = draw_case(rng, base)
        tokenizer = Tokenizer.from_str(json.dumps(patched(base, patch)))
        tokenizer.encode_special_tokens = True  # Virgil takes them as text
        found = {}
        for _ in range(20 * arguments.texts):
            text = draw_text(rng, contents)
            ids = ids_of(tokenizer, text) if text and text not in found and len(found) < arguments.texts else None
            panics += text not in found and ids is None and len(found) < arguments.texts
            if ids is not None:
                found[text] = ids
        cases.append({"patch": patch, "texts": found})
    print(f"{panics} texts left out", file=sys.stderr)
    print(json.dumps({"cases": cases}, ensure_ascii=True, separators=(",", ":")))


if __name__ == "__main__":
    main()

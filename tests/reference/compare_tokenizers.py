#!/usr/bin/env python3
"""Compares Virgil's tokenizers id for id with tiktoken and Hugging Face's tokenizers.

  compare_tokenizers.py TOKENIZE_STREAM TEXT [--code DIR] [--fuzz N] [--seed S]

TOKENIZE_STREAM is the program of that name in the build folder's tests/; TEXT is a text in UTF-8 (the poem); gpt2.tiktoken must
be where Virgil finds it. Checked: the text, every Unicode scalar value alone and in company, random bytes, source code, fuzzed
strings; the same through the tokenizer.json that Virgil writes; and bpe:<size> trained here against tokenizers' BpeTrainer.
Ends with 1 at a difference. Needs: pip install tiktoken tokenizers regex.
"""

import argparse
import base64
import os
import pathlib
import random
import struct
import subprocess
import sys
import tempfile

import regex
import tiktoken
import tokenizers

SPLIT = r"""'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""


def virgil_encode(program, arguments, strings, environment=None):
    stream = b"".join(struct.pack("<I", len(s)) + s for s in strings)
    result = subprocess.run([program, *map(str, arguments)], input=stream, stdout=subprocess.PIPE, env=environment)
    if result.returncode != 0:
        sys.exit(f"tokenize_stream ended with {result.returncode}")
    ids, at = [], 0
    for _ in strings:
        (count,) = struct.unpack_from("<I", result.stdout, at)
        ids.append(list(struct.unpack_from(f"<{count}i", result.stdout, at + 4)))
        at += 4 + 4 * count
    return ids


def all_planes():
    """Every scalar value: in one long text, and each between letters, spaces, digits and marks."""
    scalars = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    yield "".join(scalars)
    for before, after in (("a", "b"), (" ", "a"), ("1", "2"), ("!", "?"), ("  ", " "), ("'", "s")):
        for start in range(0, len(scalars), 4096):
            yield "".join(before + c + after for c in scalars[start : start + 4096])


def fuzzed(count, rng):
    """Short strings over alphabets that press on the splitting rule."""
    alphabets = [
        "'strvelmd  ",
        " \t\n\r\v\f\u0085\u00a0\u1680\u2003\u3000a1!",
        "abcXYZ 0129 .,;!?'\"()-\n",
        "\u00e9\u00e8\u0438\u6f22\u5b57\u0661\u00bd\u2160\U0001f600\u200d\u0301 a'",
    ]
    for i in range(count):
        length = rng.randrange(1, 60)
        if i % 5 == 4:
            yield "".join(chr(rng.choice([rng.randrange(0x80), rng.randrange(0x800), rng.randrange(0xD800),
                                          rng.randrange(0xE000, 0x110000)])) for _ in range(length))
        else:
            yield "".join(rng.choices(alphabets[i % 5], k=length))


def first_difference(name, strings, ours, theirs):
    for string, a, b in zip(strings, ours, theirs):
        if a != b:
            at = next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
            print(f"{name}: DIFFERS at id {at}: {a[at:at + 5]} instead of {b[at:at + 5]} in {string[:200]!r}")
            return 1
    print(f"{name}: {len(strings)} strings, {sum(map(len, strings))} bytes, {sum(map(len, ours))} ids, all equal")
    return 0


def encode_bytes(encoding, text):
    """The splitting rule on any bytes: one that is not UTF-8 counts as "other", as a lone surrogate does."""
    pieces = regex.findall(SPLIT, text.decode("utf-8", "surrogateescape"))
    return [i for piece in pieces for i in encoding._encode_single_piece(piece.encode("utf-8", "surrogateescape"))]


def compare_gpt2(options, rng, gpt2):
    text = options.text.read_bytes()
    code = [f.read_bytes() for f in sorted(options.code.rglob("*")) if f.suffix in (".py", ".h", ".cpp", ".c", ".cu", ".md")]
    code = [c for c in code if c.decode("utf-8", "ignore").encode() == c][:400]
    sets = {
        "the text": [text, text.replace(b"\r\n", b"\n")],
        "all planes": [s.encode() for s in all_planes()],
        "code": code,
        "fuzzed strings": [s.encode() for s in fuzzed(options.fuzz, rng)],
        "random bytes as Latin-1": [bytes(rng.randrange(256) for _ in range(2000)).decode("latin-1").encode() for _ in range(200)],
        "long words": [b"a" * 100000, b"ab" * 50000, b" " * 100000, ("\u6f22" * 30000).encode(), text.replace(b" ", b"")[:100000]],
    }
    failures = 0
    for name, strings in sets.items():
        ours = virgil_encode(options.program, ["gpt2"], strings)
        failures += first_difference(f"gpt2, {name}", strings, ours, [gpt2.encode_ordinary(s.decode()) for s in strings])
    raw = [bytes(rng.randrange(256) for _ in range(rng.randrange(1, 300))) for _ in range(5000)]
    raw += [bytes(rng.choices(b"a \xe9\xc3\xa9\xff'1\n", k=rng.randrange(1, 80))) for _ in range(5000)]
    ours = virgil_encode(options.program, ["gpt2"], raw)
    failures += first_difference("gpt2, random bytes", raw, ours, [encode_bytes(gpt2, s) for s in raw])
    return failures, sets


def compare_hugging_face(options, sets):
    """What Virgil saves, read by `tokenizers`; and the trainer."""
    failures = 0
    for spec in ("gpt2", "bpe:4353", "bpe:600"):
        with tempfile.TemporaryDirectory() as directory:
            virgil_encode(options.program, [spec, options.text, directory], [])
            saved = tokenizers.Tokenizer.from_file(f"{directory}/tokenizer.json")
            for name, strings in sets.items():
                ours = virgil_encode(options.program, [f"{directory}/tokenizer.json"], strings)
                theirs = [e.ids for e in saved.encode_batch([s.decode() for s in strings], add_special_tokens=False)]
                failures += first_difference(f"{spec} saved, {name}", strings, ours, theirs)
            if spec != "gpt2":
                failures += compare_trainer(options, spec, saved)
    return failures


def compare_trainer(options, spec, saved):
    size = int(spec[4:])
    trainer = tokenizers.trainers.BpeTrainer(vocab_size=size - 1, special_tokens=[], show_progress=False, min_frequency=2,
                                             initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet())
    reference = tokenizers.Tokenizer(tokenizers.models.BPE())
    reference.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    reference.train_from_iterator([options.text.read_bytes().decode()], trainer)
    same = {k: v for k, v in saved.get_vocab().items() if k != "<|endoftext|>"} == reference.get_vocab()
    print(f"{spec} trained: {'the same vocabulary as BpeTrainer' if same else 'DIFFERS from BpeTrainer'}")
    return 0 if same else 1


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program", type=pathlib.Path)
    parser.add_argument("text", type=pathlib.Path)
    parser.add_argument("--ranks", type=pathlib.Path, default=pathlib.Path(os.environ.get("VIRGIL_DATA_DIR", "data")) / "gpt2.tiktoken")
    parser.add_argument("--code", type=pathlib.Path, default=pathlib.Path(tokenizers.__file__).parent.parent)
    parser.add_argument("--fuzz", type=int, default=100000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    ranks = {base64.b64decode(t): int(r) for t, r in (line.split() for line in options.ranks.read_bytes().splitlines())}
    gpt2 = tiktoken.Encoding("gpt2", pat_str=SPLIT, mergeable_ranks=ranks, special_tokens={"<|endoftext|>": 50256})
    failures, sets = compare_gpt2(options, random.Random(options.seed), gpt2)
    failures += compare_hugging_face(options, sets)
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Writes the tokenizers' golden files: tests/golden/gpt2_tokens.json (ids by tiktoken, words by the regular expression) and
tests/golden/bpe_merges.json (merges by Hugging Face's BpeTrainer).

Usage: tokenizer_golden.py GPT2_TIKTOKEN OUTPUT_FOLDER    (needs: pip install tiktoken tokenizers regex)
"""

import base64
import json
import pathlib
import random
import sys

import regex
import tiktoken
import tokenizers

SPLIT = r"""'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""

TERCETS = """Nel mezzo del cammin di nostra vita
mi ritrovai per una selva oscura,
ché la diritta via era smarrita.

Ahi quanto a dir qual era è cosa dura
esta selva selvaggia e aspra e forte
che nel pensier rinova la paura!

Tant' è amara che poco è più morte;
ma per trattar del ben ch'i' vi trovai,
dirò de l'altre cose ch'i' v'ho scorte.
"""

TEXTS = [
    "a", " ", "\n", "Hello world", " Hello  world ", TERCETS, "<|endoftext|>", "a<|endoftext|>b",
    "I'm you're he's they've I'll we'd don't DON'T 'S 'tis ''s '' ' 's", "'", "it'", "'r", "'l", "'v", "'re", "'rex", " 's", "x'sy'ty",
    "  two", "   three", "tab\tword", "\ttab", "\n\nword", "word\n\n", "word \n", "a \n b", " \n", "\r\n\r\n", "a\u00a0b", "a \u00a0 b",
    "a\u3000\u3000b", "\u2028x\u2029", "\u0085\u0085", "\u200bzero\u200bwidth", "a\u180eb", "\x1c\x1d\x1e\x1f a",
    "123 4567 89a b12 1,234.56 \u00bd\u2160\u0661\u0967\u2460 x\u00b2", "3.14159e-10", "foo_bar __init__ a->b x+=1; // !?", "...!!!???",
    "naïve café Zürich Ελλάδα Москва Київ العربية עברית हिन्दी ไทย 한국어 日本語 中文字符", "e\u0301 n\u0303o", "漢字 かな 漢字。「引用」、",
    "\U0001f600\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f1ee\U0001f1f9", "a\U0001f600b 1\U0001f6002", "\ufeffmark", "\ufffd\ufffd", "a\u0000b",
    "def f(x):\n    return x ** 2  # square\n\n\nclass A:\n\tpass\n", "https://example.org/a?b=c&d=%20", "{\"key\": [1, 2.5, null]}\r\n",
    "ABCDEFGHIJKLMNOPQRSTUVWXYZ" * 4, "a" * 100, "ab" * 60, " " * 40 + "x", "-" * 70, "pneumonoultramicroscopicsilicovolcanoconiosis" * 3,
]

# Letters and numbers by the Unicode version that gave them: 14 and before, 15, 15.1, 16; then one that only 17 has, an unassigned
# and a private one.
NEW_CHARACTERS = [0x31300, 0x31350, 0x1E4F0, 0x2EBF0, 0x105C0, 0x10D40, 0x1CCF0, 0x16EA0, 0x38000, 0xE000]

INVALID = ["ff", "c3", "61ff62", "20ff20", "c3a9c3", "eda080", "f5808080", "c080", "e2809fe280", "27ff73", "2727c3", "e3808020e380",
           "6120ffc3a9", "31ff32ff", "f09f9880f09f98"]


def words_of(text):
    return [len(piece.encode("utf-8", "surrogateescape")) for piece in regex.findall(SPLIT, text)]


def gpt2_cases(gpt2):
    rng = random.Random(2)
    alphabet = " '\n\t.,!?sdt1AéZ漢\u00a0\u0301\U0001f600½l r e v"
    texts = TEXTS + ["".join(rng.choices(alphabet, k=rng.randrange(2, 40))) for _ in range(150)]
    cases = [{"bytes": t.encode().hex(), "ids": gpt2.encode_ordinary(t), "words": words_of(t)} for t in texts]
    for c in NEW_CHARACTERS:  # no words: the regex module may have another Unicode version than tiktoken
        text = f"a{chr(c)}b 1{chr(c)}2 {chr(c)}{chr(c)} .{chr(c)}."
        cases.append({"bytes": text.encode().hex(), "ids": gpt2.encode_ordinary(text)})
    for data in INVALID:  # a byte that is not UTF-8 counts as "other", as a lone surrogate does
        text = bytes.fromhex(data).decode("utf-8", "surrogateescape")
        pieces = regex.findall(SPLIT, text)
        ids = [i for p in pieces for i in gpt2._encode_single_piece(p.encode("utf-8", "surrogateescape"))]
        cases.append({"bytes": data, "ids": ids, "words": words_of(text)})
    return cases


def trained_merges(text, vocab_size):
    """Virgil's <|endoftext|> takes the last id, so the trainer makes one token less."""
    trainer = tokenizers.trainers.BpeTrainer(vocab_size=vocab_size - 1, special_tokens=[], show_progress=False, min_frequency=2,
                                             initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet())
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.train_from_iterator([text], trainer)
    model = json.loads(tokenizer.to_str())["model"]
    return {"text": text, "vocab_size": vocab_size, "vocab": model["vocab"], "merges": [" ".join(m) for m in model["merges"]],
            "ids": tokenizer.encode(text).ids}


def write(path, value):
    path.write_text(json.dumps(value, indent=None, separators=(",", ":"), ensure_ascii=True).replace("},{", "},\n{") + "\n")


def main():
    ranks_path, output = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    ranks = {base64.b64decode(t): int(r) for t, r in (line.split() for line in ranks_path.read_bytes().splitlines())}
    gpt2 = tiktoken.Encoding("gpt2", pat_str=SPLIT, mergeable_ranks=ranks, special_tokens={"<|endoftext|>": 50256})
    write(output / "gpt2_tokens.json", gpt2_cases(gpt2))
    write(output / "bpe_merges.json", [trained_merges(TERCETS, 290), trained_merges("aaaa aaaa abababab aabb bbaa " * 3 + "aaaaa\n", 268)])


if __name__ == "__main__":
    main()

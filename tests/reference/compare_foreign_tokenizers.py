#!/usr/bin/env python3
"""Compares Virgil's reading of tokenizers from elsewhere, and what it writes for others, id for id with Hugging Face's `tokenizers`.

  compare_foreign_tokenizers.py TOKENIZE_STREAM [--fuzz N] [--seed S] [--only NAME] [--save DIRECTORY] [FOLDER ...]

TOKENIZE_STREAM is the program of that name in the build folder's tests/. Vocabularies are trained here with every setting that
people use (five special tokens, a space put before, no alphabet, NFC, GPT-4's and other splitting rules, digits apart, added
words, byte_fallback, ignore_merges, vocab.json with merges.txt), and the FOLDERs named are taken as they are; N fuzzed strings
and texts too long for one thread are encoded with both. --save keeps the vocabularies. Then the tokenizer.json that Virgil
writes for byte, char and bpe. Ends with 1 at a difference. Needs: pip install tokenizers.
"""

import argparse
import json
import pathlib
import random
import struct
import subprocess
import sys
import tempfile

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
NANOCHAT = r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,2}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"
CL100K = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
CL100K_POSSESSIVE = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s"
)
O200K = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
DEEPSEEK = (
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
END = "<|endoftext|>"
FIVE = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
ALPHABET = pre_tokenizers.ByteLevel.alphabet()
PIECES = (
    [chr(c) for c in range(128)]
    + "  \n\r\n \t \u00a0 \u2028 \u3000 \u0085 a e o Nel mezzo del cammin DON'T 's 'S 'ſ 'll 'LL 'Re 12 1234567 ½ ² Ⅷ ٣ é e\u0301 "
    "a\u0323\u0301 a\u0301\u0323 Å \u212b ﬁ ß ẞ ſ K 漢字 ひらがな 한국어 \u1100\u1161\u11a8 각 \uac00\u11a8 ǅ ʰ Привет مرحبا שלום हिन्दी 😀 "
    "👩\u200d👩\u200d👧 🏽 \ufeff \u200d \ufffd \x00 \x7f \u0301 \u0958 \u0344 \u1e9b\u0323 \u0f73 \U0001d15e \U00010400 \U000e0101 "
    "\U0010ffff ... --- !!\n ??\r\n //\n <s> </s> <|endoftext|> [PAD] <unk> foobar foo bar baz <0x41> _ __x \u203f ⓐ".split(" ")
    + [" ", "  ", "   ", "\n", "\n\n", "\r\n", " \n", "\t"]
)


def level(**options):
    return pre_tokenizers.ByteLevel(**{"add_prefix_space": False, **options})


def split(pattern, behavior="isolated", invert=False):
    return pre_tokenizers.Split(Regex(pattern), behavior, invert)


def behind(*steps, **options):
    return pre_tokenizers.Sequence([*steps, level(use_regex=False, **options)])


def make(pre_tokenizer, texts, special=(END,), vocab_size=420, alphabet=True, normalizer=None, **model):
    tokenizer = Tokenizer(models.BPE(**model))
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, special_tokens=list(special), initial_alphabet=ALPHABET if alphabet else [], show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def changed(tokenizer, change):
    document = json.loads(tokenizer.to_str())
    change(document)
    return Tokenizer.from_str(json.dumps(document))


def same_token_by_two_merges(document):
    """As in conversions of tiktoken's vocabularies: a token has a merge for every way to cut it."""
    vocab, merges = document["model"]["vocab"], []
    for token, _ in sorted(vocab.items(), key=lambda item: item[1]):
        for cut in range(1, len(token)):
            if token[:cut] in vocab and token[cut:] in vocab:
                merges.append([token[:cut], token[cut:]])
    document["model"]["merges"] = merges


def leave_a_gap(document):
    document["added_tokens"].append({**document["added_tokens"][0], "content": "[PAD]", "id": len(document["model"]["vocab"]) + 7})
    document["model"]["vocab"]["[PAD]"] = len(document["model"]["vocab"]) + 7


def cases(texts):
    plain = make(level(), texts)
    yield "plain", plain
    yield "eos_is_s", make(level(), texts, ["</s>"])
    yield "start_and_end", make(level(), texts, ["<|startoftext|>", END])
    yield "five", make(level(), texts, FIVE)
    yield "prefix_space", make(level(add_prefix_space=True), texts)
    yield "no_alphabet", make(level(), texts, alphabet=False, vocab_size=300)
    yield "no_alphabet_unk", make(level(), texts, [END, "<unk>"], alphabet=False, vocab_size=300, unk_token="<unk>")
    yield "no_alphabet_fuse", make(level(), texts, ["<unk>"], alphabet=False, vocab_size=300, unk_token="<unk>", fuse_unk=True)
    yield "byte_fallback", make(level(), texts, byte_fallback=True)
    yield "nfc", make(level(), texts, normalizer=normalizers.NFC())
    yield "nfc_sequence", make(level(add_prefix_space=True), texts, normalizer=normalizers.Sequence([normalizers.NFC()]))
    yield "sequence_of_one", make(pre_tokenizers.Sequence([level()]), texts)
    yield "split_gpt2", make(behind(split(GPT2)), texts)
    yield "split_gpt2_prefix", make(behind(split(GPT2), add_prefix_space=True), texts)
    yield "nanochat", make(behind(split(NANOCHAT)), texts, ["<|bos|>"], byte_fallback=True)
    yield "cl100k", make(behind(split(CL100K)), texts)
    yield "cl100k_removed_inverted", make(behind(split(CL100K, "removed", True)), texts)
    yield "cl100k_possessive", make(behind(split(CL100K_POSSESSIVE)), texts)
    yield "o200k", make(behind(split(O200K)), texts)
    yield "deepseek", make(behind(split(r"\p{N}{1,3}"), split("[一-龥\u0800-\u4e00가-퟿]+"), split(DEEPSEEK)), texts)
    yield "han", make(behind(split(r"[\p{Han}]+|[^\p{Han}\s]+&&[^\d]|[\w&&[^\p{Han}]]+|\d{,2}x|\h\b?".replace(r"\b?", ""))), texts)
    for behavior in ("removed", "merged_with_previous", "merged_with_next", "contiguous", "isolated"):
        yield f"space_{behavior}", make(behind(split(r"\s", behavior)), texts)
        yield f"inverted_{behavior}", make(behind(split(r"[^\s\d]+", behavior, True)), texts)
    yield "literal", make(pre_tokenizers.Sequence([pre_tokenizers.Split(" ", "merged_with_next"), level()]), texts)
    yield "look_behind", make(behind(split(r"(?<!\S)\p{L}+|(?<=[\p{L}])\d|(?<=ab|o)\s+|(?<w>\p{Lu})(?=\p{Ll})")), texts)
    yield "word_border", make(behind(split(r"\b\w+\b|\B[^\w\s]\B|\b'\b|\d\B|(?<=\b\w)\s")), texts)
    yield "line_begin", make(behind(split(r"^\s+|^\p{L}+|\n^|\S+$|\d{1,2}")), texts)
    yield "text_ends", make(behind(split(r"\A\s*\S|\S+\z|\s+|\p{L}(?!\z)")), texts)
    yield "punctuation", make(pre_tokenizers.Sequence([pre_tokenizers.Punctuation("contiguous"), level()]), texts)
    yield "whitespace", make(pre_tokenizers.Sequence([pre_tokenizers.Whitespace(), level()]), texts)
    yield "whitespace_split", make(pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), level(add_prefix_space=True)]), texts)
    yield "delimiter", make(pre_tokenizers.Sequence([pre_tokenizers.CharDelimiterSplit("e"), level()]), texts)
    yield "digits", make(pre_tokenizers.Sequence([pre_tokenizers.Digits(True), level()]), texts)
    yield "digit_runs", make(pre_tokenizers.Sequence([pre_tokenizers.Digits(False), level(add_prefix_space=True)]), texts)
    yield "whole_text", make(level(use_regex=False), [word for text in texts for word in text.split(" ")])
    yield "ignore_merges", changed(plain, lambda d: d["model"].update(ignore_merges=True, merges=d["model"]["merges"][:60]))
    yield "two_merges", changed(plain, same_token_by_two_merges)
    yield "merges_out_of_order", changed(plain, lambda d: d["model"]["merges"].reverse())
    yield "merge_twice", changed(plain, lambda d: d["model"]["merges"].append(d["model"]["merges"][3]))
    yield "string_merges", changed(plain, lambda d: d["model"].update(merges=[" ".join(m) for m in d["model"]["merges"]]))
    yield "gap", changed(plain, leave_a_gap)
    added = make(level(), texts)
    added.add_special_tokens(["[PAD]"])
    added.add_tokens(["foobar", "foo", AddedToken("bar baz", normalized=False), "\n\n"])
    yield "added", added
    words = make(level(), texts)
    words.add_tokens([AddedToken("foo", single_word=True), AddedToken("bar", lstrip=True), AddedToken("baz", rstrip=True),
                      AddedToken("ab", single_word=True, lstrip=True, rstrip=True), AddedToken("\n", rstrip=True, normalized=False),
                      AddedToken("\u6f22", single_word=True), AddedToken("12", single_word=True)])
    yield "added_words", words
    composed = make(level(), texts, normalizer=normalizers.NFC())
    composed.add_tokens(["Å", AddedToken("e\u0301", normalized=False), "각"])
    yield "added_nfc", composed


def fuzzed(rng, count):
    for _ in range(count):
        text = "".join(rng.choice(PIECES) for _ in range(rng.randrange(1, 14)))
        if rng.random() < 0.3:
            text += "".join(chr(rng.choice([rng.randrange(0x20, 0xD800), rng.randrange(0xE000, 0x110000)])) for _ in range(3))
        yield text
    yield from ("".join(rng.choice(PIECES) for _ in range(120000)) for _ in range(2))  # more than one piece each


def virgil(program, spec, strings, training=None, save=None):
    """Ids of each string, and the text that they give."""
    stream = b"".join(struct.pack("<I", len(s)) + s for s in strings)
    arguments = [program, "--texts", str(spec)] + ([str(training)] if training else []) + ([str(save)] if save else [])
    result = subprocess.run(arguments, input=stream, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if result.returncode != 0:
        return result.stderr.decode()
    found, at = [], 0
    for _ in strings:
        (count,) = struct.unpack_from("<I", result.stdout, at)
        ids = list(struct.unpack_from(f"<{count}i", result.stdout, at + 4))
        at += 4 + 4 * count
        (length,) = struct.unpack_from("<I", result.stdout, at)
        found.append((ids, result.stdout[at + 4 : at + 4 + length]))
        at += 4 + length
    return found


def compare(name, tokenizer, found, strings, with_text=True):
    if isinstance(found, str):
        print(f"{name}: {found.strip()}")
        return False
    tokenizer.encode_special_tokens = True  # Virgil takes them as text
    for text, (ids, decoded) in zip(strings, found):
        wanted = tokenizer.encode(text, add_special_tokens=False).ids
        if wanted != ids:
            at = next((i for i, (a, b) in enumerate(zip(wanted, ids)) if a != b), min(len(wanted), len(ids)))
            print(f"{name}: {text[:200]!r} (of {len(text)}) at id {at}: tokenizers {wanted[at:at + 8]}, Virgil {ids[at:at + 8]}")
            return False
        back = tokenizer.decode(ids, skip_special_tokens=False)
        if with_text and back != decoded.decode(errors="replace"):
            print(f"{name}: {text[:200]!r} decodes to {back[:200]!r}, in Virgil to {decoded[:200]!r}")
            return False
    print(f"{name}: {len(strings)} texts agree")
    return True


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("folders", nargs="*", type=pathlib.Path)
    parser.add_argument("--fuzz", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only")
    parser.add_argument("--save", type=pathlib.Path)
    arguments = parser.parse_intermixed_args()
    rng = random.Random(arguments.seed)
    training = [" ".join(rng.choice(PIECES) for _ in range(40)) for _ in range(200)]
    training += ["Nel mezzo del cammin di nostra vita mi ritrovai per una selva oscura, 1234 !!\n"] * 40
    strings = list(fuzzed(rng, arguments.fuzz))
    encoded = [s.encode() for s in strings]
    good = True
    with tempfile.TemporaryDirectory() as temporary:
        root = arguments.save or pathlib.Path(temporary)
        for name, tokenizer in cases(training):
            if arguments.only and arguments.only != name:
                continue
            (root / name).mkdir(parents=True, exist_ok=True)
            tokenizer.save(str(root / name / "tokenizer.json"))
            # ByteLevel's decoder drops bytes of broken words, and takes an added token such as "\u00c5" for a byte.
            with_text = "inverted" not in name and name != "added_nfc"
            good &= compare(name, tokenizer, virgil(arguments.program, root / name, encoded), strings, with_text)
            if name in ("plain", "five"):
                (root / f"{name}_parts").mkdir(exist_ok=True)
                tokenizer.model.save(str(root / f"{name}_parts"))
                good &= compare(f"{name}_parts", tokenizer, virgil(arguments.program, root / f"{name}_parts", encoded), strings)
        for folder in arguments.folders:
            tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
            good &= compare(str(folder), tokenizer, virgil(arguments.program, folder, encoded), strings)
        text = root / "training.txt"
        text.write_text("".join(training)[:4000])
        for spec in ("byte", "char", "bpe:300") if not arguments.only else ():
            (root / f"written_{spec}").mkdir(exist_ok=True)
            found = virgil(arguments.program, spec, encoded, text, root / f"written_{spec}")
            tokenizer = Tokenizer.from_file(str(root / f"written_{spec}" / "tokenizer.json"))
            good &= compare(f"written for {spec}", tokenizer, found, strings)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()

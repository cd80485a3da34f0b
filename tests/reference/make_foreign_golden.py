#!/usr/bin/env python3
"""Writes tests/golden/foreign_tokenizers.json: ids that Hugging Face's `tokenizers` gives with the settings people use.

All share one small vocabulary; a case is a JSON merge patch (RFC 7396) on its tokenizer.json. compare_foreign_tokenizers.py
tries the same settings with vocabularies of their own on thousands of strings.

Usage: make_foreign_golden.py > tests/golden/foreign_tokenizers.json    (needs: pip install tokenizers)
"""

import json
import random

from compare_foreign_tokenizers import PIECES, cases, fuzzed, make, level
from tokenizers import Tokenizer

TEXTS = 24
# What differs by tokens, not by settings, is tested elsewhere.
LEFT_OUT = {"eos_is_s", "start_and_end", "five", "no_alphabet", "no_alphabet_unk", "no_alphabet_fuse", "two_merges", "merges_out_of_order",
            "merge_twice", "string_merges", "gap"}


def patched(document, patch):
    if not isinstance(patch, dict):
        return patch
    result = dict(document) if isinstance(document, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = patched(result.get(key), value)
    return result


def settings(document):
    model = {key: document["model"][key] for key in ("byte_fallback", "ignore_merges") if document["model"][key]}
    patch = {"pre_tokenizer": document["pre_tokenizer"], "normalizer": document["normalizer"], "model": model}
    extra = [token for token in document["added_tokens"] if not token["special"]]
    return {**patch, "added_tokens": extra} if extra else patch


def main():
    rng = random.Random(5)
    training = [" ".join(rng.choice(PIECES) for _ in range(40)) for _ in range(60)] + ["Nel mezzo del cammin di nostra vita\n"] * 30
    base = json.loads(make(level(), training, vocab_size=330).to_str())
    base["added_tokens"][0]["id"] = base["model"]["vocab"]["<|endoftext|>"]
    texts = [text for text in fuzzed(rng, TEXTS - 2)][: TEXTS - 2] + [" a  b\n\nDON'T 'ſ 1234567 e\u0301x !!\n漢字", "don't I'LL  12½ foo foobar\n\n"]
    found = []
    for name, tokenizer in cases(training):
        if name in LEFT_OUT:
            continue
        patch = settings(json.loads(tokenizer.to_str()))
        for token in patch.get("added_tokens", []):
            token["id"] = base["model"]["vocab"].get(token["content"], token["id"] + 100)
        if "added_tokens" in patch:
            patch["added_tokens"] = base["added_tokens"] + [
                {**token, "id": 330 + i} for i, token in enumerate(t for t in patch["added_tokens"] if t["id"] >= 330)]
        found.append((name, patch))
    dropping = {"model": {"vocab": {character: None for character in ("\u0100", "\u0121", "\u00e9", "z")}}}
    base["model"]["merges"] = [m for m in base["model"]["merges"] if not any(c in "".join(m) for c in "\u0100\u0121\u00e9z")]
    found.append(("no_id_dropped", dropping))
    found.append(("no_id_unknown", {"model": {**dropping["model"], "unk_token": "!"}}))
    found.append(("no_id_fused", {"model": {**dropping["model"], "unk_token": "!", "fuse_unk": True}}))
    out = []
    for name, patch in found:
        tokenizer = Tokenizer.from_str(json.dumps(patched(base, patch)))
        tokenizer.encode_special_tokens = True
        out.append({"name": name, "patch": patch, "ids": [tokenizer.encode(t, add_special_tokens=False).ids for t in texts]})
    print(json.dumps({"base": base, "texts": texts, "cases": out}, ensure_ascii=True, separators=(",", ":")))


if __name__ == "__main__":
    main()

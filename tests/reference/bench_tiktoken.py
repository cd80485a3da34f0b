#!/usr/bin/env python3
"""Times tiktoken's GPT-2 encoding of a text on one thread, for `bench --tokenizers --compare_tiktoken`.

  bench_tiktoken.py TEXT [--ranks FILE] [--seconds S]

Prints {"tiktoken": version, "mb_per_s": rate}. Ends with 3 where tiktoken is not installed. The ranks are gpt2.tiktoken, so that nothing
is downloaded.
"""

import argparse
import base64
import json
import os
import pathlib
import statistics
import sys
import time

try:
    import tiktoken
except ImportError:
    sys.exit(3)

SPLIT = r"""'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""
ROOT = pathlib.Path(__file__).resolve().parents[2]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("text", type=pathlib.Path)
    parser.add_argument("--ranks", type=pathlib.Path,
                        default=pathlib.Path(os.environ.get("VIRGIL_DATA_DIR", ROOT / "data")) / "gpt2.tiktoken")
    parser.add_argument("--seconds", type=float, default=0.5)
    options = parser.parse_args()
    ranks = {base64.b64decode(t): int(r) for t, r in (line.split() for line in options.ranks.read_bytes().splitlines())}
    gpt2 = tiktoken.Encoding("gpt2", pat_str=SPLIT, mergeable_ranks=ranks, special_tokens={"<|endoftext|>": 50256})
    text = options.text.read_bytes().decode(errors="replace")
    num_bytes = len(text.encode())
    gpt2.encode_ordinary(text)
    times = []
    while len(times) < 3 or sum(times) < options.seconds:
        start = time.perf_counter()
        gpt2.encode_ordinary(text)
        times.append(time.perf_counter() - start)
    print(json.dumps({"tiktoken": tiktoken.__version__, "mb_per_s": num_bytes / 1e6 / statistics.median(times)}))


if __name__ == "__main__":
    main()

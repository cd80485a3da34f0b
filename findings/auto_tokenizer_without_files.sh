#!/usr/bin/env bash
# AutoTokenizer of a folder without any tokenizer file is an error in transformers 4.57.6 and an empty tokenizer in 5.24.0.
#
# A folder with config.json ("model_type": "gpt2") and no tokenizer files, as trainers with a tokenizer of their own leave it:
#   4.57.6  from_pretrained raises (TypeError or OSError: it cannot find vocab.json)
#   5.24.0  returns a GPT2Tokenizer with one token, without a warning; every text encodes to [], and only a model or a pipeline
#           that is given no ids fails, far from the cause.
# A tokenizer_config.json {"tokenizer_class": "PreTrainedTokenizerFast"} in the folder brings the error back in both.
#
# Seen:
#   4.57.6 without tokenizer_config.json: raises
#   4.57.6 with: raises
#   5.24.0 without tokenizer_config.json: GPT2Tokenizer of 1 tokens, encode('Nel mezzo') = []
#   5.24.0 with: raises
# Ends with 1 when that changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/without" "$work/with"
printf '{"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "vocab_size": 300}' | tee "$work/without/config.json" >"$work/with/config.json"
printf '{"tokenizer_class": "PreTrainedTokenizerFast"}' >"$work/with/tokenizer_config.json"
for version in 4.57.6 5.24.0; do
  python3 -m venv "$work/$version"
  "$work/$version/bin/pip" install --quiet --disable-pip-version-check "transformers==$version"
  for folder in without with; do
    HF_HUB_OFFLINE=1 "$work/$version/bin/python" -W ignore - "$work/$folder" "$version" <<'PY' 2>/dev/null
import sys

from transformers import AutoTokenizer

folder, version = sys.argv[1:]
name = "with" if folder.endswith("with") else "without tokenizer_config.json"
expected = version == "5.24.0" and folder.endswith("without")
try:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = tokenizer.encode("Nel mezzo")
    print(f"{version} {name}: {type(tokenizer).__name__} of {len(tokenizer)} tokens, encode('Nel mezzo') = {ids}")
    sys.exit(0 if expected and ids == [] else 1)
except (TypeError, OSError, ValueError, ImportError):
    print(f"{version} {name}: raises")
    sys.exit(1 if expected else 0)
PY
  done
done

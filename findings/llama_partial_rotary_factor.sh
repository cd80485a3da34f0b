#!/usr/bin/env bash
# partial_rotary_factor in a Llama's config: transformers 5.24.0 ignores it for plain rotary positions, and obeys it for scaled ones.
#
# "rope_parameters" takes partial_rotary_factor, the share of a head that turns, and its page lists it as a setting of every rope_type. With a
# factor of 0.5 and heads of 16 (8 pairs) a LlamaForCausalLM has
#   default               8 frequencies: all turn, and nothing says that the factor was dropped
#   linear, yarn, llama3  4 frequencies, fewer than the rest of the class, which always turns whole heads, has room for
# So no reader of such a config.json can be right for both: refuse it for this class (families with a part that does not turn, as Phi,
# have classes that mean it).
#
# Seen with torch 2.15.0:
#   default: 8 frequencies of 8
#   linear: 4 frequencies of 8
#   yarn: 4 frequencies of 8
#   llama3: 4 frequencies of 8
# Ends with 1 when that changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check transformers==5.24.0 torch==2.15.0 numpy
HF_HUB_OFFLINE=1 "$work/venv/bin/python" -W ignore - <<'PY'
import sys

from transformers import LlamaConfig, LlamaForCausalLM

SETTINGS = {
    "default": {},
    "linear": {"factor": 2.0},
    "yarn": {"factor": 2.0, "original_max_position_embeddings": 16},
    "llama3": {"factor": 2.0, "original_max_position_embeddings": 16, "low_freq_factor": 1.0, "high_freq_factor": 4.0},
}
seen = {}
for kind, settings in SETTINGS.items():
    rope = {"rope_type": kind, "rope_theta": 10000.0, "partial_rotary_factor": 0.5, **settings}
    config = LlamaConfig(vocab_size=32, hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
                         max_position_embeddings=32, rope_parameters=rope)
    seen[kind] = LlamaForCausalLM(config).model.rotary_emb.inv_freq.numel()
    print(f"{kind}: {seen[kind]} frequencies of 8")
sys.exit(0 if seen == {"default": 8, "linear": 4, "yarn": 4, "llama3": 4} else 1)
PY

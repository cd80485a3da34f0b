#!/usr/bin/env python3
"""Makes tests/golden/rope_frequencies.json: the frequencies of rotary positions as transformers computes them from a config.json.

tests/model/rotary_settings_test.cpp compares Virgil's, read from the same config. A case of a context that is longer than the original
one asks for those at its whole length.

Usage: make_rope_golden.py OUTPUT_DIRECTORY
Needs: torch, transformers (versions: tests/golden/README.md).
"""

import json
import pathlib
import sys

import torch
from transformers import AutoConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

SIZES = {"model_type": "llama", "num_hidden_layers": 1, "num_attention_heads": 2, "hidden_size": 64, "intermediate_size": 96,
         "vocab_size": 64, "max_position_embeddings": 128}
LLAMA3 = {"rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 64}
CASES = {
    "default": {"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}},
    "another base, another head": {"head_dim": 40, "rope_parameters": {"rope_type": "default", "rope_theta": 1e6}},
    "linear": {"rope_parameters": {"rope_type": "linear", "rope_theta": 10000.0, "factor": 2.5}},
    "dynamic": {"rope_parameters": {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 2.0}},
    "yarn": {"rope_parameters": {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 32}},
    "yarn, all numbers": {"rope_parameters": {"rope_type": "yarn", "rope_theta": 1000.0, "factor": 4.0, "beta_fast": 16.0, "beta_slow": 2.0,
                                              "attention_factor": 1.25, "truncate": False, "original_max_position_embeddings": 32}},
    "llama3": {"rope_parameters": LLAMA3},
    "llama3, low base": {"rope_parameters": {**LLAMA3, "rope_theta": 100.0, "factor": 2.0}},
}


def frequencies(case):
    config = AutoConfig.for_model(**{**SIZES, **case})
    rotary = LlamaRotaryEmbedding(config)
    positions = torch.arange(config.max_position_embeddings)[None]
    rotary(torch.zeros(1), positions)  # dynamic frequencies follow the longest position
    return [float(f) for f in rotary.inv_freq.float()], float(rotary.attention_scaling)


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    cases = []
    for name, case in CASES.items():
        found, scale = frequencies(case)
        cases.append({"name": name, "config": {**SIZES, **case}, "frequencies": found, "attention_scaling": scale})
    path = pathlib.Path(sys.argv[1]) / "rope_frequencies.json"
    path.write_text(json.dumps(cases, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Makes tests/golden/gpt2_float16 and gpt2_bfloat16: tiny GPT-2 models as transformers saves them in shards, with their logits.

Each folder is what save_pretrained writes, and expected.safetensors: `inputs` (B, T) int32 and `logits` (B, T, V) of the saved, rounded
weights, computed in float64 and stored as float32. tests/format/pretrained_model_test.cpp compares Virgil with them.

Usage: make_import_golden.py OUTPUT_DIRECTORY
Needs: torch, transformers, safetensors (versions: tests/golden/README.md).
"""

import pathlib
import shutil
import sys

import torch
import transformers
from safetensors.torch import save_file


def make_model():
    torch.manual_seed(11)
    config = transformers.GPT2Config(
        vocab_size=65, n_positions=12, n_embd=24, n_layer=1, n_head=3, attn_implementation="eager", bos_token_id=None, eos_token_id=None)
    model = transformers.GPT2LMHeadModel(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.15 * torch.randn_like(parameter))
    return model.eval()


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    torch.set_num_threads(1)
    for name in ("float16", "bfloat16"):
        folder = pathlib.Path(sys.argv[1]) / f"gpt2_{name}"
        shutil.rmtree(folder, ignore_errors=True)
        model = make_model().to(getattr(torch, name))
        model.save_pretrained(folder, max_shard_size="8KB")
        (folder / "generation_config.json").unlink(missing_ok=True)
        inputs = torch.randint(65, (2, 12), generator=torch.Generator().manual_seed(12))
        with torch.no_grad():
            logits = model.double()(inputs).logits
        save_file({"inputs": inputs.int(), "logits": logits.float().contiguous()}, folder / "expected.safetensors")
        for path in folder.iterdir():
            path.chmod(0o644)


if __name__ == "__main__":
    main()

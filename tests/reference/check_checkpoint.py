#!/usr/bin/env python3
"""Checks that transformers loads Virgil's checkpoints and computes the same logits.

    check_checkpoint.py --dump_logits BINARY CHECKPOINT...      checkpoints made by `train`
    check_checkpoint.py --dump_logits BINARY --train BINARY     trains tiny models of every kind and checks those

Each checkpoint is loaded by AutoModelForCausalLM.from_pretrained, which must neither miss nor ignore a tensor. Virgil's logits are compared
with those of the model widened to float64; float32 logits of transformers are reported beside them.
Exit status: 0 equal within rounding, 1 not, 77 (ctest: skipped) when torch or transformers are missing.
"""

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile

from logits import SKIPPED, rounding_bound, virgil_logits

BATCH_SIZE = 3

# What tiny models are trained as; the keys are those of `train`.
VARIANTS = {
    "tied, no biases": {"bias": False, "tie_weights": True},
    "tied, biases": {"bias": True, "tie_weights": True},
    "untied, biases": {"bias": True, "tie_weights": False},
    "tied, no biases, own d_ff": {"bias": False, "tie_weights": True, "d_ff": 72},
    "llama, shared heads, untied": {"family": "llama", "n_kv_head": 1, "tie_weights": False, "rope_theta": 500},
    "llama, yarn": {"family": "llama", "rope_scaling": "yarn:factor=4,original=8"},
    "llama, linear, geglu": {"family": "llama", "rope_scaling": "linear:factor=2", "mlp": "geglu"},
    "mistral, window": {"family": "mistral", "n_kv_head": 1, "window": 5},
    "qwen2, frequencies of llama3": {"family": "qwen2", "rope_scaling": "llama3:factor=4,original=8", "norm_epsilon": 1e-6},
}


def load(checkpoint):
    is_gpt2 = transformers.AutoConfig.from_pretrained(checkpoint).model_type == "gpt2"
    model, report = transformers.AutoModelForCausalLM.from_pretrained(
        checkpoint, output_loading_info=True, attn_implementation="eager" if is_gpt2 else "sdpa", dtype=torch.float32)
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if report[kind]:
            sys.exit(f"{checkpoint}: {kind}: {sorted(report[kind])}")
    return model.eval()


def check(name, binary, checkpoint):
    """Prints one line; returns whether the logits are equal within rounding."""
    model = load(checkpoint)
    length = model.config.max_position_embeddings
    tokens = np.random.default_rng(1).integers(model.config.vocab_size, size=(BATCH_SIZE, length))
    ours = virgil_logits(binary, checkpoint, tokens, model.config.vocab_size)
    with torch.no_grad():
        single = model(torch.from_numpy(tokens)).logits.numpy()
        double = in_float64(model)(torch.from_numpy(tokens)).logits.numpy()
    largest = np.abs(double).max()
    bound = rounding_bound(model.config, length) * largest
    difference = np.abs(ours - double).max()
    ok = bool(difference <= bound)
    print(f"{name}: largest logit {largest:.3f}, Virgil differs from float64 by {difference:.3g} at most (allowed {bound:.3g}), "
          f"transformers in float32 by {np.abs(single - double).max():.3g}: {'ok' if ok else 'FAILED'}")
    return ok


def train_tiny(binary, folder, variant):
    """Trains a model of this kind for a few steps; returns its last checkpoint."""
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "programs"))
    import harness

    text = folder / "input.txt"
    text.write_text(harness.make_text(), encoding="utf-8")
    settings = {**harness.TINY, "learning_rate": 0.01, **variant, "input": text, "out_dir": folder}
    subprocess.run([binary, *harness.flags_of(settings)], check=True, stdout=subprocess.DEVNULL)
    return sorted((folder / settings["model_name"]).glob("step-*"))[-1]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dump_logits", required=True, type=os.path.abspath, help="the program tests/reference/dump_logits")
    parser.add_argument("--train", type=os.path.abspath, help="the program train")
    parser.add_argument("checkpoints", nargs="*", type=pathlib.Path)
    arguments = parser.parse_args()
    if not arguments.checkpoints and not arguments.train:
        parser.error("give checkpoints or --train")
    ok = True
    for checkpoint in arguments.checkpoints:
        ok &= check(str(checkpoint), arguments.dump_logits, checkpoint)
    if arguments.train:
        for name, variant in VARIANTS.items():
            with tempfile.TemporaryDirectory(prefix="virgil-checkpoint-") as folder:
                ok &= check(name, arguments.dump_logits, train_tiny(arguments.train, pathlib.Path(folder), variant))
    sys.exit(0 if ok else 1)


if __name__ == "__main__":
    try:
        import numpy as np
        import torch
        import transformers

        from float64 import in_float64
    except ImportError as error:
        print(f"skipped: {error}")
        sys.exit(SKIPPED)
    main()

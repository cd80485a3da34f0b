#!/usr/bin/env python3
"""Checks that Virgil reads directories of transformers and goes on training them as PyTorch would.

    check_import.py --dump_logits BINARY --train BINARY

A GPT-2 with random weights and biases is saved by transformers in float32, float16 and bfloat16, whole and in shards, with and without
the prefix of its names, and with the masks and the tied head that old versions saved besides; so are Llama, Mistral and Qwen2, also with
the config.json of transformers 4. Virgil's logits are compared with those
of the model that transformers reads back, widened to float64. Then `train --init_from` makes a few updates on a text of one window, and
losses and weights are compared with PyTorch's AdamW in float64.
Exit status: 0 equal within rounding, 1 not, 77 (ctest: skipped) when torch, transformers or safetensors are missing.
"""

import argparse
import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile

from logits import SKIPPED, UNIT_ROUNDOFF, rounding_bound, virgil_logits

BATCH_SIZE = 3
SIZES = {"n_layer": 3, "n_head": 4, "n_embd": 64, "n_positions": 48, "vocab_size": 257}
TEXT_SIZE = SIZES["n_positions"] + 1  # bytes: the only window of the text
STEPS = 3
OPTIMIZER = {"learning_rate": 0.05, "weight_decay": 0.1, "beta1": 0.9, "beta2": 0.95, "eps": 1.0}


def random_model(**sizes):
    """GPT-2 in which no parameter is as a new model has it: biases and layernorms count."""
    torch.manual_seed(5)
    config = transformers.GPT2Config(**{**SIZES, **sizes}, bos_token_id=0, eos_token_id=0)
    model = transformers.GPT2LMHeadModel(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * (0.1 if parameter.dim() == 1 else 0.03))
    return model


def save_without_prefix(folder):
    """As GPT2Model saves itself, which has no head."""
    random_model().transformer.save_pretrained(folder)


def save_with_extras(folder):
    """As old versions saved it: without prefix, with the masks of attention, and the tied head under its own name."""
    model = random_model()
    model.save_pretrained(folder)
    tensors = {name.removeprefix("transformer."): value.clone() for name, value in model.state_dict().items()}
    size = SIZES["n_positions"]
    for layer in range(SIZES["n_layer"]):
        tensors[f"h.{layer}.attn.bias"] = torch.tril(torch.ones(size, size, dtype=torch.uint8)).view(1, 1, size, size)
        tensors[f"h.{layer}.attn.masked_bias"] = torch.tensor(-1e4)
    safetensors.torch.save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def save_as(dtype, **options):
    return lambda folder: random_model().to(dtype).save_pretrained(folder, **options)


# Of Llama and its kin: shared heads, and an MLP whose width no vector divides.
FAMILY_SIZES = {"num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "hidden_size": 64, "intermediate_size": 104,
                "max_position_embeddings": 48, "vocab_size": 257, "bos_token_id": 0, "eos_token_id": 0}


def random_family_model(model_type, **sizes):
    torch.manual_seed(6)
    config = transformers.AutoConfig.for_model(model_type, **{**FAMILY_SIZES, **sizes})
    model = transformers.AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * (0.1 if parameter.dim() == 1 else 0.03))
    return model


def save_family(model_type, dtype=None, options=None, **sizes):
    return lambda folder: random_family_model(model_type, **sizes).to(dtype or torch.float32).save_pretrained(folder, **(options or {}))


def save_llama_as_before(folder):
    """With the keys of transformers 4, and the frequencies that old versions saved with every layer; without prefix."""
    model = random_family_model("llama")
    model.save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    del config["rope_parameters"]
    config.update(rope_theta=500.0, rope_scaling={"type": "linear", "factor": 2.0})
    (folder / "config.json").write_text(json.dumps(config))
    tensors = {name.removeprefix("model."): value.clone() for name, value in model.state_dict().items()}
    for layer in range(FAMILY_SIZES["num_hidden_layers"]):
        tensors[f"layers.{layer}.self_attn.rotary_emb.inv_freq"] = torch.ones(8)
    safetensors.torch.save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def variants():
    return {
        "float32": save_as(torch.float32),
        "float16": save_as(torch.float16),
        "bfloat16": save_as(torch.bfloat16),
        "float32, shards": save_as(torch.float32, max_shard_size="60KB"),
        "float16, shards": save_as(torch.float16, max_shard_size="60KB"),
        "without prefix": save_without_prefix,
        "masks and head": save_with_extras,
        "untied": lambda folder: random_model(tie_word_embeddings=False).save_pretrained(folder),
        "own width": lambda folder: random_model(n_inner=104).save_pretrained(folder),
        "llama": save_family("llama", rope_parameters={"rope_type": "default", "rope_theta": 300.0}),
        "llama of transformers 4": save_llama_as_before,
        "llama3 frequencies, tied": save_family(
            "llama", tie_word_embeddings=True,
            rope_parameters={"rope_type": "llama3", "rope_theta": 300.0, "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                             "original_max_position_embeddings": 16}),
        "mistral, bfloat16, shards": save_family("mistral", torch.bfloat16, {"max_shard_size": "60KB"}, sliding_window=7),
        "qwen2, float16": save_family("qwen2", torch.float16),
        "qwen2, own heads": save_family("qwen2", head_dim=8, num_key_value_heads=1, tie_word_embeddings=True),
    }


def read_back(folder):
    is_gpt2 = transformers.AutoConfig.from_pretrained(folder).model_type == "gpt2"
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager" if is_gpt2 else "sdpa",
                                                              dtype=torch.float32)
    return in_float64(model).eval()


def report(name, differences, bounds, what):
    worst = max(range(len(bounds)), key=lambda i: differences[i] / bounds[i])
    ok = all(d <= b for d, b in zip(differences, bounds))
    print(f"{name}: {what} differ by {differences[worst]:.3g} at most (allowed {bounds[worst]:.3g}): {'ok' if ok else 'FAILED'}")
    return ok


def check_logits(name, binary, folder):
    model = read_back(folder)
    tokens = np.random.default_rng(1).integers(model.config.vocab_size, size=(BATCH_SIZE, model.config.max_position_embeddings))
    ours = virgil_logits(binary, folder, tokens, model.config.vocab_size)
    with torch.no_grad():
        expected = model(torch.from_numpy(tokens)).logits.numpy()
    bound = rounding_bound(model.config, model.config.max_position_embeddings) * np.abs(expected).max()
    return report(name, [np.abs(ours - expected).max()], [bound], "logits")


def torch_updates(model, tokens):
    """Losses before each update and the largest gradient of each parameter; leaves the model trained."""
    decayed = [p for p in model.parameters() if p.dim() > 1]
    others = [p for p in model.parameters() if p.dim() == 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": OPTIMIZER["weight_decay"]}, {"params": others, "weight_decay": 0.0}],
        lr=OPTIMIZER["learning_rate"], betas=(OPTIMIZER["beta1"], OPTIMIZER["beta2"]), eps=OPTIMIZER["eps"])
    losses, largest = [], dict.fromkeys(dict(model.named_parameters()), 0.0)
    for _ in range(STEPS):
        optimizer.zero_grad()
        logits = model(tokens[None, :-1]).logits[0]
        loss = torch.nn.functional.cross_entropy(logits, tokens[1:])
        loss.backward()
        losses.append(loss.item())
        for name, parameter in model.named_parameters():
            largest[name] = max(largest[name], parameter.grad.abs().max().item())
        optimizer.step()
    return losses, largest


def fine_tune(binary, source, folder, text):
    settings = {**OPTIMIZER, "min_lr": OPTIMIZER["learning_rate"], "lr_schedule": "constant", "warmup_iters": 0, "grad_clip": 0,
                "max_iters": STEPS, "batch_size": 1, "val_fraction": 0, "sample_interval": 0, "save_interval": 0, "tokenizer": "byte",
                "input": text, "out_dir": folder, "model_name": "tuned", "init_from": source, "dtype": "float32"}
    subprocess.run([binary, *(f"--{key}={value}" for key, value in settings.items())], check=True, stdout=subprocess.DEVNULL,
                   env={**os.environ, "OMP_WAIT_POLICY": "passive"})
    run = folder / "tuned"
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if "loss" in line]
    return losses, safetensors.torch.load_file(run / f"step-{STEPS:08}" / "model.safetensors")


def check_training(name, binary, source, folder):
    """eps = 1 keeps an update from being a ratio of two small numbers: with g off by d, m and sqrt(v) are off by d at most, and
    lr m / (sqrt(v) + 1) by lr 2 d as long as |m| <= sqrt(v) + 1. A loss is allowed its own rounding once more, for that of the weights
    it is computed from."""
    text = folder / "text.txt"
    text.write_bytes(bytes(np.random.default_rng(2).integers(97, 123, size=TEXT_SIZE, dtype=np.uint8)))
    model = read_back(source)
    losses, largest = torch_updates(model, torch.tensor(list(text.read_bytes())))
    our_losses, our_weights = fine_tune(binary, source, folder, text)
    forward = rounding_bound(model.config, SIZES["n_positions"])
    # Three times the forward path and the sum over the batch's rows, as tests/support/test_model.h counts.
    backward = forward * math.sqrt(3 + SIZES["n_positions"] / 500)
    ok = report(name, [abs(a - b) for a, b in zip(our_losses, losses)], [2 * forward * loss for loss in losses], "losses of updates")
    differences, bounds = [], []
    for key, parameter in model.named_parameters():
        expected = parameter.detach()
        differences.append((our_weights[key].double() - expected).abs().max().item())
        drift = STEPS * OPTIMIZER["learning_rate"] * 2 * backward * largest[key]
        bounds.append(drift + 2 * STEPS * UNIT_ROUNDOFF * expected.abs().max().item())
    return ok & report(name, differences, bounds, "updated weights")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dump_logits", required=True, type=os.path.abspath, help="the program tests/reference/dump_logits")
    parser.add_argument("--train", required=True, type=os.path.abspath, help="the program train")
    arguments = parser.parse_args()
    ok = True
    with tempfile.TemporaryDirectory(prefix="virgil-import-") as name:
        folder = pathlib.Path(name)
        for number, (variant, save) in enumerate(variants().items()):
            source = folder / str(number)
            save(source)
            ok &= check_logits(variant, arguments.dump_logits, source)
        for variant, save in (("float16, shards", save_as(torch.float16, max_shard_size="60KB")),
                              ("llama", save_family("llama")), ("qwen2, tied", save_family("qwen2", tie_word_embeddings=True))):
            place = folder / variant
            place.mkdir()
            save(place / "source")
            ok &= check_training(f"fine-tuning from {variant}", arguments.train, place / "source", place)
    sys.exit(0 if ok else 1)


if __name__ == "__main__":
    try:
        import numpy as np
        import safetensors.torch
        import torch
        import transformers

        from float64 import in_float64
    except ImportError as error:
        print(f"skipped: {error}")
        sys.exit(SKIPPED)
    transformers.utils.logging.disable_progress_bar()
    main()

#!/usr/bin/env python3
"""Counts the published models with `transformers` modules on PyTorch's meta device, from the shapes in data/models.json.

    tests/reference/count_reference.py [--models data/models.json]

Prints the rows of tests/plan/published_counts.inc, the golden totals of catalogue_test. Needs torch and transformers; the test
itself needs neither.
"""

import argparse
import json
import pathlib

import torch
import transformers

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def make_model(shape):
    """The module that `transformers` builds for a shape, without memory for its weights."""
    if shape["family"] == "gpt2":
        config = transformers.GPT2Config(
            n_layer=shape["n_layer"],
            n_head=shape["n_head"],
            n_embd=shape["n_embd"],
            n_positions=shape["block_size"],
            vocab_size=shape["vocab_size"],
        )
        module = transformers.GPT2LMHeadModel
    else:
        mistral = shape["name"].startswith("mistral")
        make_config = transformers.MistralConfig if mistral else transformers.LlamaConfig
        config = make_config(
            num_hidden_layers=shape["n_layer"],
            num_attention_heads=shape["n_head"],
            num_key_value_heads=shape["n_kv_head"],
            head_dim=shape.get("head_size", shape["n_embd"] // shape["n_head"]),
            hidden_size=shape["n_embd"],
            intermediate_size=shape["d_ff"],
            max_position_embeddings=shape["block_size"],
            vocab_size=shape["vocab_size"],
            tie_word_embeddings=shape.get("tie_weights", False),
        )
        module = transformers.MistralForCausalLM if mistral else transformers.LlamaForCausalLM
    with torch.device("meta"):
        model = module(config)
    model.tie_weights()
    return model


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=pathlib.Path, default=ROOT / "data" / "models.json")
    shapes = json.loads(parser.parse_args().models.read_text(encoding="utf-8"))["models"]
    print(f"// Made by tests/reference/count_reference.py with transformers {transformers.__version__}.")
    for shape in shapes:
        # parameters() gives a shared tensor once.
        total = sum(p.numel() for p in make_model(shape).parameters())
        print(f'{{"{shape["name"]}", {total}}},')


if __name__ == "__main__":
    main()

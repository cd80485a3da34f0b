#!/usr/bin/env python3
"""Trains a GPT-2 of characters in PyTorch with train's flags: what `bench --to_loss` races Virgil against.

The same sizes, batch, schedule and held-out text; batches are drawn by PyTorch's own random numbers. As one would write it for
speed: fused attention, fused AdamW; with --optimizer muon the matrices of blocks by torch.optim.Muon (queries, keys and values
apart, its updates as large as AdamW's) and the rest by AdamW. --compile asks for torch.compile.

Leaves OUT_DIR/MODEL_NAME/metrics.jsonl, of which `bench` reads step, dt_ms, tokens_per_s and val_bpb. Takes characters alone
(tokenizer char), without gradient accumulation. Exit codes: 0 done, 2 what it cannot do, 3 PyTorch is missing.

Usage: train_torch.py --config configs/tiny.json --input FILE [--optimizer muon] [--compile] [train's flags]
"""

import argparse
import json
import math
import pathlib
import sys
import time

try:
    import torch
    import torch.nn.functional as F
    from torch import nn
except ImportError:
    sys.exit(3)

DEFAULTS = dict(n_layer=12, n_head=12, n_embd=768, block_size=1024, d_ff=0, dropout=0.0, tokenizer="gpt2", batch_size=12,
                max_iters=1000, learning_rate=6e-4, min_lr=6e-5, warmup_iters=100, lr_schedule="cosine",
                wsd_decay_fraction=0.2, optimizer="adamw", muon_momentum=0.95, weight_decay=0.1, beta1=0.9, beta2=0.95,
                eps=1e-8, grad_clip=1.0, val_fraction=0.1, eval_interval=250, seed=1337, threads=0, dtype="auto", bias=False,
                tie_weights=True, mlp="gelu", conv_taps=0)
IGNORED = ("sample_interval", "save_interval", "eval_iters", "model_name", "recompute", "log_interval")


class CausalConv(nn.Module):
    """Shifts and products: on a processor they take less time than a grouped conv1d."""

    def __init__(self, o):
        super().__init__()
        self.weight = nn.ParameterList(nn.Parameter(torch.zeros(o.n_embd)) for _ in range(o.conv_taps))

    def forward(self, x):
        y = x
        for k, weight in enumerate(self.weight, start=1):
            y = y + weight * F.pad(x, (0, 0, k, 0))[:, : x.shape[1]]
        return y


class Block(nn.Module):
    def __init__(self, o):
        super().__init__()
        self.n_head, self.dropout, self.mlp = o.n_head, o.dropout, o.mlp
        self.conv1, self.conv2 = CausalConv(o), CausalConv(o)
        self.norm1 = nn.LayerNorm(o.n_embd, bias=False)
        self.norm2 = nn.LayerNorm(o.n_embd, bias=False)
        for name, outputs, inputs in (("q", o.n_embd, o.n_embd), ("k", o.n_embd, o.n_embd), ("v", o.n_embd, o.n_embd),
                                      ("attention", o.n_embd, o.n_embd), ("up", o.d_ff, o.n_embd), ("down", o.n_embd, o.d_ff)):
            residual = name in ("attention", "down")
            weight = torch.empty(outputs, inputs).normal_(std=0.02 / math.sqrt(2 * o.n_layer) if residual else 0.02)
            setattr(self, name, nn.Parameter(weight))

    def forward(self, x):
        B, T, C = x.shape
        qkv = F.linear(self.conv1(self.norm1(x)), torch.cat((self.q, self.k, self.v)))
        heads = qkv.view(B, T, 3, self.n_head, C // self.n_head).permute(2, 0, 3, 1, 4)
        p = self.dropout if self.training else 0.0
        y = F.scaled_dot_product_attention(*heads, dropout_p=p, is_causal=True)
        x = x + F.dropout(F.linear(y.transpose(1, 2).reshape(B, T, C), self.attention), p)
        hidden = F.linear(self.conv2(self.norm2(x)), self.up)
        hidden = F.relu(hidden).square() if self.mlp == "relu2" else F.gelu(hidden, approximate="tanh")
        return x + F.dropout(F.linear(hidden, self.down), p)


class Gpt(nn.Module):
    def __init__(self, o, vocab_size):
        super().__init__()
        self.dropout = o.dropout
        self.wte = nn.Parameter(torch.empty(vocab_size, o.n_embd).normal_(std=0.02))
        self.wpe = nn.Parameter(torch.empty(o.block_size, o.n_embd).normal_(std=0.02))
        self.blocks = nn.ModuleList(Block(o) for _ in range(o.n_layer))
        self.norm = nn.LayerNorm(o.n_embd, bias=False)

    def forward(self, tokens, targets):
        x = F.dropout(F.embedding(tokens, self.wte) + self.wpe[: tokens.shape[1]], self.dropout if self.training else 0.0)
        for block in self.blocks:
            x = block(x)
        logits = F.linear(self.norm(x), self.wte)
        return F.cross_entropy(logits.view(-1, logits.shape[-1]), targets.reshape(-1))


def make_optimizers(model, o):
    hidden = [p for block in model.blocks for p in block.parameters() if p.dim() > 1]
    of_muon = hidden if o.optimizer == "muon" else []
    ids = {id(p) for p in of_muon}
    rest = [p for p in model.parameters() if id(p) not in ids]
    adamw = torch.optim.AdamW([{"params": [p for p in rest if p.dim() > 1], "weight_decay": o.weight_decay},
                               {"params": [p for p in rest if p.dim() < 2], "weight_decay": 0.0}],
                              lr=o.learning_rate, betas=(o.beta1, o.beta2), eps=o.eps, fused=True)
    if not of_muon:
        return [adamw]
    return [adamw, torch.optim.Muon(of_muon, lr=o.learning_rate, weight_decay=o.weight_decay, momentum=o.muon_momentum,
                                    nesterov=True, adjust_lr_fn="match_rms_adamw")]


def learning_rate(step, o):
    if step < o.warmup_iters:
        return o.learning_rate * (step + 1) / (o.warmup_iters + 1)
    progress = (step - o.warmup_iters) / max(1, o.max_iters - o.warmup_iters)
    if o.lr_schedule == "cosine":
        share = 0.5 * (1 + math.cos(math.pi * progress))
    elif o.lr_schedule == "linear":
        share = 1 - progress
    elif o.lr_schedule == "wsd":
        share = min(1.0, (o.max_iters - step) / (o.wsd_decay_fraction * o.max_iters))
    else:
        share = 1.0
    return o.min_lr + share * (o.learning_rate - o.min_lr)


@torch.no_grad()
def evaluate(model, tokens, o):
    model.eval()
    n = (len(tokens) - 1) // o.block_size
    inputs, targets = tokens[: n * o.block_size].view(n, -1), tokens[1 : n * o.block_size + 1].view(n, -1)
    total = sum(model(inputs[i : i + o.batch_size], targets[i : i + o.batch_size]).item() * len(inputs[i : i + o.batch_size])
                for i in range(0, n - n % o.batch_size, o.batch_size))  # whole batches: one shape to compile
    model.train()
    return total / (n - n % o.batch_size)


def train(o, text, run):
    ids = {c: i for i, c in enumerate(sorted(set(text)))}
    tokens = torch.tensor([ids[c] for c in text])
    data = text.encode()
    cut = len(data[: int(len(data) * (1 - o.val_fraction))].decode(errors="ignore"))
    training, held_out = tokens[:cut], tokens[cut:]
    bytes_per_character = len(text[cut:].encode()) / len(text[cut:])
    torch.manual_seed(o.seed)
    plain = Gpt(o, len(ids)).train()
    optimizers = make_optimizers(plain, o)
    model = torch.compile(plain) if o.compile else plain
    tokens_per_step = o.batch_size * o.block_size
    with open(run / "metrics.jsonl", "w", encoding="utf-8") as metrics:
        for step in range(o.max_iters + 1):
            line = {"step": step}
            if step % o.eval_interval == 0 or step == o.max_iters:
                line["val_loss"] = evaluate(model, held_out, o)
                line["val_bpb"] = line["val_loss"] / math.log(2) / bytes_per_character
                print(f"step {step}: validation loss {line['val_loss']:.4f}", flush=True)
            if step < o.max_iters:
                start = time.perf_counter()
                starts = torch.randint(len(training) - o.block_size - 1, (o.batch_size, 1))
                windows = training[starts + torch.arange(o.block_size + 1)]
                with torch.autocast("cpu", torch.bfloat16, enabled=o.dtype == "bfloat16"):
                    loss = model(windows[:, :-1], windows[:, 1:])
                loss.backward()
                if o.grad_clip > 0:
                    torch.nn.utils.clip_grad_norm_(plain.parameters(), o.grad_clip)
                for optimizer in optimizers:
                    for group in optimizer.param_groups:
                        group["lr"] = learning_rate(step, o)
                    optimizer.step()
                    optimizer.zero_grad(set_to_none=True)
                line["loss"] = loss.item()
                elapsed = time.perf_counter() - start
                line |= {"dt_ms": 1000 * elapsed, "tokens_per_s": tokens_per_step / elapsed, "time": time.time(),
                         "tokens": (step + 1) * tokens_per_step}
            metrics.write(json.dumps(line) + "\n")
            metrics.flush()


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", required=True)
    parser.add_argument("--input", nargs="+", required=True)
    parser.add_argument("--out_dir", default="runs")
    parser.add_argument("--model_name", default="torch")
    parser.add_argument("--overwrite", action="store_true")
    parser.add_argument("--compile", action="store_true")
    config = json.loads(pathlib.Path(parser.parse_known_args()[0].config).read_text(encoding="utf-8"))
    unknown = set(config) - set(DEFAULTS) - set(IGNORED)
    if unknown:
        parser.error(f"{', '.join(sorted(unknown))}: not a key that this script knows")
    for key, value in (DEFAULTS | {k: v for k, v in config.items() if k in DEFAULTS}).items():
        kind = (lambda word: word.lower() == "true") if isinstance(value, bool) else type(value)
        parser.add_argument(f"--{key}", type=kind, default=value)
    for key in IGNORED:
        if key != "model_name":
            parser.add_argument(f"--{key}")
    o = parser.parse_args()
    if o.tokenizer != "char" or o.bias or not o.tie_weights or o.optimizer not in ("adamw", "muon"):
        parser.error("takes tokenizer char, no bias, tied weights, and adamw or muon")
    o.d_ff = o.d_ff or 4 * o.n_embd
    return o


def main():
    o = parse()
    if o.threads > 0:
        torch.set_num_threads(o.threads)
    run = pathlib.Path(o.out_dir) / o.model_name
    run.mkdir(parents=True, exist_ok=o.overwrite)
    train(o, "".join(pathlib.Path(name).read_text(encoding="utf-8") for name in o.input), run)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Times training steps of a GPT-2 in PyTorch: what `bench --compare_torch` holds Virgil against.

The same sizes, the same batch, random tokens. As one would write it for speed: fused attention
(scaled_dot_product_attention), fused AdamW, one product for q, k and v, GELU in its tanh form; eager and with torch.compile,
where that works, and the faster of the two counts.

Prints one JSON object. Exit codes: 0 done, 3 PyTorch is missing.
Usage: bench_torch.py --n_layer 6 --n_head 6 --n_embd 384 --block_size 256 --vocab_size 128 --batch_size 12 [...]
"""

import argparse
import json
import statistics
import sys
import time

try:
    import torch
    import torch.nn.functional as F
    from torch import nn
except ImportError:
    sys.exit(3)


class Block(nn.Module):
    def __init__(self, o):
        super().__init__()
        self.n_head, self.dropout = o.n_head, o.dropout
        self.norm1 = nn.LayerNorm(o.n_embd, bias=o.bias)
        self.qkv = nn.Linear(o.n_embd, 3 * o.n_embd, bias=o.bias)
        self.attention = nn.Linear(o.n_embd, o.n_embd, bias=o.bias)
        self.norm2 = nn.LayerNorm(o.n_embd, bias=o.bias)
        self.fc = nn.Linear(o.n_embd, o.d_ff, bias=o.bias)
        self.mlp = nn.Linear(o.d_ff, o.n_embd, bias=o.bias)

    def forward(self, x):
        B, T, C = x.shape
        heads = self.qkv(self.norm1(x)).view(B, T, 3, self.n_head, C // self.n_head).permute(2, 0, 3, 1, 4)
        p = self.dropout if self.training else 0.0
        y = F.scaled_dot_product_attention(*heads, dropout_p=p, is_causal=True)
        x = x + F.dropout(self.attention(y.transpose(1, 2).reshape(B, T, C)), p)
        hidden = F.gelu(self.fc(self.norm2(x)), approximate="tanh")
        return x + F.dropout(self.mlp(hidden), p)


class Gpt(nn.Module):
    def __init__(self, o):
        super().__init__()
        self.dropout = o.dropout
        self.wte = nn.Embedding(o.vocab_size, o.n_embd)
        self.wpe = nn.Embedding(o.block_size, o.n_embd)
        self.blocks = nn.ModuleList(Block(o) for _ in range(o.n_layer))
        self.norm = nn.LayerNorm(o.n_embd, bias=o.bias)
        self.head = nn.Linear(o.n_embd, o.vocab_size, bias=False)
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.normal_(parameter, std=0.02)
        if not o.untied:
            self.head.weight = self.wte.weight

    def forward(self, tokens, targets):
        x = self.wte(tokens) + self.wpe.weight[: tokens.shape[1]]
        x = F.dropout(x, self.dropout if self.training else 0.0)
        for block in self.blocks:
            x = block(x)
        logits = self.head(self.norm(x))
        return F.cross_entropy(logits.view(-1, logits.shape[-1]), targets.view(-1))


def make_optimizer(model):
    matrices = [p for p in model.parameters() if p.dim() > 1]
    vectors = [p for p in model.parameters() if p.dim() <= 1]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
    try:
        return torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.95), fused=True)
    except (RuntimeError, TypeError):  # before 2.4 there is none for the CPU
        return torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.95), foreach=True)


def time_steps(o, compiled):
    torch.manual_seed(1)
    model = Gpt(o).train()
    optimizer = make_optimizer(model)
    if compiled:
        model = torch.compile(model)
    tokens = torch.randint(o.vocab_size, (o.batch_size, o.block_size))
    targets = torch.randint(o.vocab_size, (o.batch_size, o.block_size))
    times = []
    warm_up = 2  # compilation, and what is allocated once
    for _ in range(o.steps + warm_up):
        start = time.perf_counter()
        for _ in range(o.grad_accum_steps):
            with torch.autocast("cpu", torch.bfloat16, enabled=o.dtype == "bfloat16"):
                loss = model(tokens, targets) / o.grad_accum_steps
            loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        times.append(time.perf_counter() - start)
    return statistics.median(times[warm_up:])


def time_compiled_steps(o):
    """None where this PyTorch, or this machine's compiler, cannot compile the model."""
    if o.no_compile or not hasattr(torch, "compile"):
        return None
    try:
        return time_steps(o, compiled=True)
    except Exception as error:  # whatever its backend raises
        print(f"torch.compile does not work here: {type(error).__name__}", file=sys.stderr)
        return None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("n_layer", "n_head", "n_embd", "block_size", "vocab_size", "batch_size"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--d_ff", type=int, default=0, help="0: 4 * n_embd")
    parser.add_argument("--grad_accum_steps", type=int, default=1)
    parser.add_argument("--dropout", type=float, default=0.0)
    parser.add_argument("--bias", action="store_true")
    parser.add_argument("--untied", action="store_true")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--threads", type=int, default=0, help="0: PyTorch's choice")
    parser.add_argument("--no_compile", action="store_true", help="do not try torch.compile")
    parser.add_argument("--steps", type=int, default=5)
    o = parser.parse_args()
    o.d_ff = o.d_ff or 4 * o.n_embd
    if o.threads > 0:
        torch.set_num_threads(o.threads)
    step_s = time_steps(o, compiled=False)
    compiled_s = time_compiled_steps(o)
    is_compiled = compiled_s is not None and compiled_s < step_s
    if is_compiled:
        step_s = compiled_s
    tokens = o.batch_size * o.block_size * o.grad_accum_steps
    version = torch.__version__ + (", compiled" if is_compiled else ", eager")
    print(json.dumps({"torch": version, "threads": torch.get_num_threads(), "step_ms": step_s * 1000,
                      "tokens_per_s": tokens / step_s}))


if __name__ == "__main__":
    main()

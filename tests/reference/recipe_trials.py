#!/usr/bin/env python3
"""Tries parts of training recipes on a small GPT in PyTorch, before one is written by hand: docs/recipes.md has what came out.

A GPT-2 of 5 layers and a width of 192 learns a text for a few hundred steps; each flag changes one thing. The last line is the
validation loss in nats a character, so that vocabularies compare.

Usage: recipe_trials.py --input TEXT [--vocab 1024] [--steps 150] [--lr 6e-3] [--qk_norm] [--relu2] [...]
Needs: torch, tokenizers.
"""

import argparse
import math
import pathlib

import torch
import torch.nn.functional as F
from torch import nn

POLAR_EXPRESS = ((8.2872, -23.5959, 17.3004), (4.1071, -2.9478, 0.5448), (3.9487, -2.9089, 0.5518), (3.3184, -2.4885, 0.5100),
                 (2.3007, -1.6689, 0.4188))  # Amsel et al. 2025
NEWTON_SCHULZ = ((3.4445, -4.7750, 2.0315),) * 5  # Jordan et al. 2024


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--input", required=True)
    numbers = dict(vocab=1024, layers=5, width=192, heads=6, length=256, batch=12, steps=150, lr=6e-3, warmup=20, seed=1,
                   weight_decay=0.1, dropout=0.0, soft_cap=0.0, z_loss=0.0, wsd=0.0, ema=0.0, polar=0, value_embeddings=0, conv_taps=0)
    for name, value in numbers.items():
        parser.add_argument(f"--{name}", type=type(value), default=value)
    for name in ("adamw", "normuon", "qk_norm", "relu2", "zero_init", "untied", "smear", "embedding_shortcut", "rotary",
                 "long_last", "large_last", "falling_decay"):
        parser.add_argument(f"--{name}", action="store_true")
    return parser.parse_args()


def read_tokens(o):
    """Training tokens, held-out tokens, characters a held-out token stands for. vocab 0: characters."""
    text = pathlib.Path(o.input).read_text(encoding="utf-8")
    cut = int(0.9 * len(text))
    if o.vocab == 0:
        ids = {c: i for i, c in enumerate(sorted(set(text)))}
        o.vocab = len(ids)
        tokens = torch.tensor([ids[c] for c in text])
        return tokens[:cut], tokens[cut:], 1.0
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator([text[:cut]], trainers.BpeTrainer(vocab_size=o.vocab, initial_alphabet=alphabet))
    training, held_out = (torch.tensor(tokenizer.encode(part).ids) for part in (text[:cut], text[cut:]))
    return training, held_out, (len(text) - cut) / len(held_out)


def rms_norm(x):
    return F.rms_norm(x, (x.shape[-1],))


def rotate(x, cos, sin):
    first, second = x.chunk(2, -1)
    return torch.cat((first * cos + second * sin, second * cos - first * sin), -1)


def mixed(x, weights):
    """Each position with those before it, channel by channel."""
    y = x
    for k, weight in enumerate(weights, start=1):
        y = y + weight * F.pad(x, (0, 0, k, 0))[:, : x.shape[1]]
    return y


class Block(nn.Module):
    def __init__(self, o):
        super().__init__()
        self.o, C = o, o.width
        self.norm1, self.norm2 = nn.LayerNorm(C, bias=False), nn.LayerNorm(C, bias=False)
        small = 0.0 if o.zero_init else 0.02 / math.sqrt(2 * o.layers)
        for name, rows, columns, std in (("q", C, C, 0.02), ("k", C, C, 0.02), ("v", C, C, 0.02), ("out", C, C, small),
                                         ("up", 4 * C, C, 0.02), ("down", C, 4 * C, small)):
            setattr(self, name, nn.Parameter(torch.empty(rows, columns).normal_(std=std)))
        if o.qk_norm:
            self.q_scale, self.k_scale = (nn.Parameter(torch.ones(C // o.heads)) for _ in range(2))
        self.convs = nn.ModuleList(nn.ParameterList(nn.Parameter(torch.zeros(C)) for _ in range(o.conv_taps)) for _ in range(2))
        if o.embedding_shortcut:
            self.shares = nn.Parameter(torch.tensor([1.0, 0.0]))

    def forward(self, x, embedded, values, angles, p):
        o, (B, T, C) = self.o, x.shape
        if o.embedding_shortcut:
            x = self.shares[0] * x + self.shares[1] * embedded
        h = mixed(self.norm1(x), self.convs[0])
        q, k, v = (F.linear(h, w).view(B, T, o.heads, -1).transpose(1, 2) for w in (self.q, self.k, self.v))
        if o.qk_norm:
            q, k = rms_norm(q) * self.q_scale, rms_norm(k) * self.k_scale
        if angles is not None:
            q, k = rotate(q, *angles), rotate(k, *angles)
        if values is not None:
            v = v + values.view(B, T, o.heads, -1).transpose(1, 2)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(B, T, C)
        x = x + F.dropout(F.linear(y, self.out), p, self.training)
        h = F.linear(mixed(self.norm2(x), self.convs[1]), self.up)
        h = F.relu(h).square() if o.relu2 else F.gelu(h, approximate="tanh")
        return x + F.dropout(F.linear(h, self.down), p, self.training)


class Gpt(nn.Module):
    def __init__(self, o):
        super().__init__()
        self.o = o
        embedding = lambda rows, std=0.02: nn.Parameter(torch.empty(rows, o.width).normal_(std=std))  # noqa: E731
        self.wte = embedding(o.vocab)
        if not o.rotary:
            self.wpe = embedding(o.length)
        self.blocks = nn.ModuleList(Block(o) for _ in range(o.layers))
        self.norm = nn.LayerNorm(o.width, bias=False)
        if o.untied:
            self.head = embedding(o.vocab, 0.0)
        if o.smear:
            self.previous = nn.Parameter(torch.zeros(o.width))
        self.values = nn.ParameterList(embedding(o.vocab, 0.0) for _ in range(o.value_embeddings))

    def forward(self, tokens, targets, p=0.0):
        o, T = self.o, tokens.shape[1]
        x = F.embedding(tokens, self.wte)
        if o.smear:
            x = x + self.previous * F.pad(x, (0, 0, 1, 0))[:, :-1]
        angles = None
        if o.rotary:
            size = o.width // o.heads
            turns = torch.arange(T)[:, None] * 10000.0 ** (-torch.arange(0, size, 2) / size)
            angles = turns.cos(), turns.sin()
        else:
            x = x + self.wpe[:T]
        x = embedded = F.dropout(x, p, self.training)
        for i, block in enumerate(self.blocks):  # value embeddings at the two ends
            place = i if i < (o.value_embeddings + 1) // 2 else i - o.layers if i >= o.layers - o.value_embeddings // 2 else None
            x = block(x, embedded, None if place is None else F.embedding(tokens, self.values[place]), angles, p)
        logits = F.linear(self.norm(x), self.head if o.untied else self.wte)
        if o.soft_cap > 0:
            logits = o.soft_cap * torch.tanh(logits / o.soft_cap)
        loss = F.cross_entropy(logits.view(-1, o.vocab), targets.reshape(-1))
        if o.z_loss > 0 and self.training:
            loss = loss + o.z_loss * torch.logsumexp(logits, -1).square().mean()
        return loss


def orthogonalized(o, x):
    steps = POLAR_EXPRESS[: o.polar] if o.polar else NEWTON_SCHULZ
    x = x / (x.norm() * (1.01 if o.polar else 1.0) + 1e-7)
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    for a, b, c in steps:
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if tall else x


class Muon:
    """Updates as large as AdamW's (Liu et al. 2025); with --normuon of rows of one size (Li et al. 2025)."""

    def __init__(self, o, matrices):
        self.o, self.states = o, [(w, torch.zeros_like(w), torch.zeros(w.shape[0], 1)) for w in matrices]
        self.steps = 0

    @torch.no_grad()
    def step(self, lr, weight_decay):
        self.steps += 1
        for w, momentum, rows in self.states:
            momentum.lerp_(w.grad, 0.05)
            update = orthogonalized(self.o, w.grad.lerp(momentum, 0.95))
            scale = 0.2 * math.sqrt(max(update.shape))
            if self.o.normuon:
                rows.lerp_(update.square().mean(1, keepdim=True), 0.05)
                update = update / ((rows / (1 - 0.95**self.steps)).sqrt() + 1e-8)
                scale = 0.2 * math.sqrt(update.numel()) / (update.norm() + 1e-8)
            w.mul_(1 - lr * weight_decay).add_(update, alpha=-lr * scale)


def share_of_rate(o, step):
    if step < o.warmup:
        return (step + 1) / o.warmup
    progress = (step - o.warmup) / (o.steps - o.warmup)
    falls_for = o.wsd or 1.0  # share of the run in which the rate falls
    return min(1.0, max(0.003, (1 - progress) / falls_for))


@torch.no_grad()
def evaluate(model, tokens, o):
    model.eval()
    n = (len(tokens) - 1) // o.length
    inputs, targets = tokens[: n * o.length].view(n, -1), tokens[1 : n * o.length + 1].view(n, -1)
    total = sum(model(x, y).item() * len(x) for x, y in zip(inputs.split(32), targets.split(32)))
    model.train()
    return total / n


def batch_of(o, tokens, progress, generator):
    length, batch = o.length, o.batch
    if o.long_last and progress < 0.5:
        length = o.length // (4 if progress < 0.25 else 2)
        batch = o.batch * o.length // length
    if o.large_last and progress < 0.3:
        batch = o.batch // 2
    starts = torch.randint(len(tokens) - length - 1, (batch, 1), generator=generator)
    windows = tokens[starts + torch.arange(length + 1)]
    return windows[:, :-1], windows[:, 1:]


def main():
    o = parse()
    torch.manual_seed(o.seed)
    training, held_out, characters = read_tokens(o)
    model = Gpt(o)
    matrices = [] if o.adamw else [p for block in model.blocks for p in block.parameters() if p.dim() > 1]
    taken = {id(p) for p in matrices}
    rest = [p for p in model.parameters() if id(p) not in taken]
    adamw = torch.optim.AdamW([{"params": [p for p in rest if p.dim() > 1]}, {"params": [p for p in rest if p.dim() < 2]}],
                              lr=o.lr, betas=(0.9, 0.99))
    muon, average = Muon(o, matrices), None
    generator = torch.Generator().manual_seed(o.seed)
    for step in range(o.steps):
        share = share_of_rate(o, step)
        loss = model(*batch_of(o, training, step / o.steps, generator), o.dropout)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        decay = o.weight_decay * (share if o.falling_decay else 1.0)
        for group, group_decay in zip(adamw.param_groups, (decay, 0.0)):
            group.update(lr=o.lr * share, weight_decay=group_decay)
        adamw.step()
        muon.step(o.lr * share, decay)
        model.zero_grad(set_to_none=True)
        if o.ema > 0:
            average = average or [p.detach().clone() for p in model.parameters()]
            torch._foreach_lerp_(average, [p.detach() for p in model.parameters()], 1 - o.ema)
        if (step + 1) % 50 == 0 or step + 1 == o.steps:
            print(f"step {step + 1}: training {loss.item() / characters:.4f}, "
                  f"validation {evaluate(model, held_out, o) / characters:.4f} nats a character", flush=True)
    if average:
        for p, mean in zip(model.parameters(), average):
            p.data.copy_(mean)
        print(f"of the averaged weights: {evaluate(model, held_out, o) / characters:.4f}")


if __name__ == "__main__":
    main()

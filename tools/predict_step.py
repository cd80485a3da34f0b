#!/usr/bin/env python3
"""Predicts the time of a training step on GPUs from the bytes and operations of its ops. No figure of it was measured with Virgil.

    tools/predict_step.py [CONFIG.json ...] [--ops] [--logits_chunk ROWS]

Without arguments it prints the tables of docs/kernels.md, from configs/*.json and data/gpus.json; with --ops where the time goes.

Every op takes the larger of its bytes at the memory's rate and its operations at the rate of the units that do them, each times an
efficiency (GPUS below), and no less than its launches. Ops follow one another, as they do on one stream.
"""

import argparse
import collections
import dataclasses
import json
import math
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent


@dataclasses.dataclass(frozen=True)
class Gpu:
    """Rates from data/gpus.json, and what share of them is assumed to be reached."""

    name: str  # there
    matmul: float  # cuBLASLt's products, of the dense bfloat16 rate
    attention: float  # tensor-core attention, of the same
    memory: float  # elementwise kernels and row sums
    integer_share: float  # integer operations a second over float32_tflops: all lanes on A100, half of them elsewhere
    fuses_gelu_backward: bool = False  # CublasLtMatmul::run_with_gelu_backward


# Attention's shares are by products made, causal, both ways, heads of 64, T = 1024; docs/kernels.md, "Predicted steps", tells each.
# RTX 4090: a GeForce accumulates in float32 at half the rate of its dies, and the 165 TFLOP/s of data/gpus.json are halved already. An
# HMMA then takes 8 clocks of a multiprocessor, and all else of a turn of the loop a fifth of that, so attention runs as products do:
# FlashAttention-2's forward pass was measured at 154.5 TFLOP/s without a mask (94 %; 173 at longer T: the card ran above its rated
# clock, 0.93), its backward pass at 0.77 of the forward's rate on a GA102 (0.81 for two products and seven), whole tiles on the diagonal are 1.125 times
# the work at this T, and ours gets 0.85 of it.
# A100: FlashAttention-2's 119 TFLOP/s times 0.85 forward and 0.95 backward, where its rate includes float atomics into dq and their
# conversion, which ours has not. H100: 0.85 of 192 TFLOP/s both ways, as shared memory and issue bound both passes there.
GPUS = (
    Gpu("RTX 4090", matmul=0.85, attention=0.535, memory=0.90, integer_share=0.25),
    Gpu("A100 80GB", matmul=0.70, attention=0.353, memory=0.85, integer_share=0.5),
    Gpu("H100", matmul=0.54, attention=0.165, memory=0.85, integer_share=0.25, fuses_gelu_backward=True),
)
LAUNCH_S = 4e-6  # the host needs so long to start a kernel, and the GPU waits for it where kernels are shorter
GRAPH_LAUNCH_S = 1.5e-6  # from kernel to kernel of a CUDA graph, which the GPU starts by itself
SYNC_S = 30e-6  # of each step: its figures are read before the update is asked for
PHILOX_OPERATIONS = 17  # of one element's quarter of a block of ten rounds, counted in attention's machine code
INTEGER_EFFICIENCY = 0.7

# GPT-2 124M at T = 1024 in bfloat16, tokens a second, as others published for llm.c, nanoGPT and their descendants.
PUBLISHED = {"RTX 4090": (106_000, 144_000), "A100 80GB": (145_000, 218_000), "H100": (468_000, 468_000)}


@dataclasses.dataclass
class Shape:
    L: int
    NH: int
    C: int
    T: int
    B: int
    V: int  # padded
    micro_steps: int
    dropout: bool
    recompute: str
    logits_chunk: int = 0
    cuda_graph: bool = True

    @property
    def rows(self):
        return self.B * self.T

    @property
    def parameters(self):
        """Tied weights, no biases."""
        return self.V * self.C + self.T * self.C + self.L * (12 * self.C**2 + 2 * self.C) + self.C

    @property
    def flops_per_token(self):
        """6 N + 6 L C T, as Virgil counts utilisation everywhere: without what is computed twice."""
        return 6 * (self.parameters - self.T * self.C) + 6 * self.L * self.C * self.T

    @property
    def chunk_rows(self):
        """As choose_logits_rows of src/model/memory_plan.cpp, with CudaTraits::logits_chunk."""
        fewest = math.ceil(self.rows / (self.logits_chunk or max(256, 2**28 // (4 * self.V))))
        if not self.logits_chunk:
            for chunks in range(fewest, 2 * fewest):
                if self.rows % (chunks * 128) == 0:
                    return self.rows // chunks
        return math.ceil(self.rows / fewest)


PUBLISHED_SHAPE = Shape(L=12, NH=12, C=768, T=1024, B=16, V=50304, micro_steps=32, dropout=False, recompute="none")


def read_shape(path, logits_chunk=0):
    config = json.loads(path.read_text(encoding="utf-8"))
    tokens = config["batch_size"] * config["block_size"]
    vocabulary = 50257 if config.get("tokenizer", "gpt2") == "gpt2" else 96
    return Shape(L=config["n_layer"], NH=config["n_head"], C=config["n_embd"], T=config["block_size"], B=config["batch_size"],
                 V=math.ceil(vocabulary / 64) * 64, micro_steps=max(1, config.get("total_batch_size", 0) // tokens),
                 dropout=config.get("dropout", 0) > 0, recompute=config.get("recompute", "none"), logits_chunk=logits_chunk,
                 cuda_graph=config.get("cuda_graph", True))


# --- The ops of a step ---


@dataclasses.dataclass
class Op:
    name: str
    bytes: float
    matmul_flops: float = 0
    attention_flops: float = 0
    dropped: float = 0  # elements that a Philox block is drawn for
    launches: int = 1
    count: int = 1
    launch_s: float = LAUNCH_S

    def seconds(self, gpu, rates):
        tensor = rates["bfloat16_tflops"] * 1e12
        memory = self.bytes / (rates["bandwidth_gb_per_s"] * 1e9 * gpu.memory)
        products = self.matmul_flops / (tensor * gpu.matmul) + self.attention_flops / (tensor * gpu.attention)
        integers = rates["float32_tflops"] * 1e12 * gpu.integer_share * INTEGER_EFFICIENCY
        drawing = self.dropped * PHILOX_OPERATIONS / integers
        # Elementwise kernels draw while they wait for memory; attention has nothing to hide it behind.
        work = products + drawing if self.attention_flops else max(products, drawing)
        return self.count * max(memory, work, self.launches * self.launch_s)


def product(name, m, n, k, accumulate=False, count=1):
    """out (m, n) = a (m, k) b (k, n) in bfloat16, or float32 out += that."""
    return Op(name, bytes=2 * (m * k + k * n) + (8 if accumulate else 2) * m * n, matmul_flops=2 * m * n * k, count=count)


def attention_ops(s):
    scores = s.B * s.NH * s.T**2 / 2
    head = s.C // s.NH
    forward = Op("attention forward", bytes=2 * 4 * s.rows * s.C, attention_flops=scores * 2 * 2 * head,
                 dropped=scores if s.dropout else 0)
    # Seven products of tiles, five of which are needed; two kernels, each draws the mask again; and the statistics.
    backward = Op("attention backward", bytes=2 * 10 * s.rows * s.C, attention_flops=scores * 7 * 2 * head,
                  dropped=2 * scores if s.dropout else 0, launches=3)
    return forward, backward


def block_forward_ops(s):
    """Until the GELU: what recomputing blocks repeats."""
    R, C = s.rows, s.C
    return [
        product("matmul forward", R, 3 * C, C),
        attention_ops(s)[0],
        product("matmul forward", R, C, C),
        Op("residual + layernorm", bytes=8 * R * C, dropped=R * C if s.dropout else 0),
        product("matmul forward", R, 4 * C, C),
        Op("GELU", bytes=4 * R * 4 * C),
    ]


def recomputed_ops(s):
    norm = Op("layernorm forward", bytes=4 * s.rows * s.C)
    if s.recompute == "block":
        return [norm, *block_forward_ops(s)]
    again = [Op("GELU", bytes=4 * s.rows * 4 * s.C)] if s.recompute in ("gelu", "norm") else []
    return again + ([norm, norm] if s.recompute == "norm" else [])


def block_backward_ops(s, gpu):
    R, C = s.rows, s.C
    ops = recomputed_ops(s)
    for n, k in ((C, 4 * C), (4 * C, C), (C, C), (3 * C, C)):
        ops += [product("matmul backward", k, n, R, accumulate=True), product("matmul backward", R, k, n)]
    ops += [Op("dropout backward", bytes=4 * R * C, dropped=R * C)] * (2 if s.dropout else 0)
    norm_backward = Op("layernorm backward", bytes=8.5 * R * C, launches=2)
    if gpu.fuses_gelu_backward:  # the product reads the GELU's input besides its operands
        fused = product("matmul backward", R, 4 * C, C)
        ops.remove(fused)
        ops.append(dataclasses.replace(fused, bytes=fused.bytes + 2 * R * 4 * C))
    else:
        ops.append(Op("GELU", bytes=6 * R * 4 * C))
    return [*ops, norm_backward, norm_backward, attention_ops(s)[1]]


def classifier_ops(s):
    m, chunks = s.chunk_rows, math.ceil(s.rows / s.chunk_rows)
    return [
        product("classifier", m, s.V, s.C, count=chunks),
        Op("cross-entropy", bytes=4 * m * s.V, count=chunks),
        product("classifier", m, s.C, s.V, count=chunks),
        product("classifier", s.V, s.C, m, accumulate=True, count=chunks),
    ]


def micro_step_ops(s, gpu):
    R, C = s.rows, s.C
    block = [*block_forward_ops(s), product("matmul forward", R, C, 4 * C),
             Op("residual + layernorm", bytes=8 * R * C, dropped=R * C if s.dropout else 0), *block_backward_ops(s, gpu)]
    embedding = 4 * R * C + 8 * min(R, s.V) * C + 8 * s.T * C
    return [
        Op("embedding", bytes=4 * R * C, dropped=R * C if s.dropout else 0),
        Op("layernorm forward", bytes=4 * R * C),
        *classifier_ops(s),
        Op("layernorm backward", bytes=(2 + 8.5) * R * C, launches=3),
        *(dataclasses.replace(op, count=op.count * s.L) for op in block),
        Op("embedding", bytes=embedding, dropped=2 * R * C if s.dropout else 0, launches=10),
    ]


def step_ops(s, gpu):
    launch_s = GRAPH_LAUNCH_S if s.cuda_graph else LAUNCH_S
    ops = [dataclasses.replace(op, count=op.count * s.micro_steps, launch_s=launch_s) for op in micro_step_ops(s, gpu)]
    # Zeroed gradients, their norm, and AdamW: param, grad, m and v in float32, and the bfloat16 copy.
    return [*ops, Op("optimizer", bytes=(4 + 4 + 30) * s.parameters, launches=4)]


# --- Output ---


def load_rates():
    gpus = json.loads((ROOT / "data" / "gpus.json").read_text(encoding="utf-8"))["gpus"]
    return {gpu["name"]: gpu for gpu in gpus}


def predict(s, gpu, rates):
    """Seconds of a step by family of ops."""
    seconds = collections.Counter()
    for op in step_ops(s, gpu):
        seconds[op.name] += op.seconds(gpu, rates)
    seconds["waiting for the host"] = SYNC_S
    return seconds


def figures(s, gpu, rates):
    """(milliseconds of a step, tokens a second, utilisation)."""
    seconds = sum(predict(s, gpu, rates).values())
    rate = s.micro_steps * s.rows / seconds
    return seconds * 1e3, rate, rate * s.flops_per_token / (rates["bfloat16_tflops"] * 1e12)


def preset_table(shapes, rates):
    yield "| preset | micro-step | " + " | ".join(f"{gpu.name}: ms a step, tokens/s, utilisation" for gpu in GPUS) + " |"
    yield "|---|---|" + "---|" * len(GPUS)
    for name, s in shapes.items():
        cells = []
        for gpu in GPUS:
            ms, rate, utilisation = figures(s, gpu, rates[gpu.name])
            cells.append(f"{ms:,.1f}, {round(rate, -2):,.0f}, {utilisation:.0%}")
        cells.insert(0, f"{s.micro_steps} x {s.B} x {s.T:,}, `{s.recompute}`")
        yield f"| {name} | " + " | ".join(cells) + " |"


def calibration_table(rates):
    yield "| GPT-2 124M, B=16 T=1,024, no dropout | predicted tokens/s | with `logits_chunk` 333 | published for others' code |"
    yield "|---|---|---|---|"
    for gpu in GPUS:
        cells = [figures(dataclasses.replace(PUBLISHED_SHAPE, logits_chunk=chunk), gpu, rates[gpu.name])[1] for chunk in (0, 333)]
        published = " to ".join(f"{rate:,}" for rate in dict.fromkeys(PUBLISHED[gpu.name]))
        yield f"| {gpu.name} | " + " | ".join(f"{round(rate, -3):,.0f}" for rate in cells) + f" | {published} |"


def floor_ops(s):
    """Each kernel family once, with what it must move and compute."""
    R, C, P = s.rows, s.C, s.parameters
    forward, backward = attention_ops(s)
    needed = dataclasses.replace(backward, attention_flops=backward.attention_flops * 5 / 7)
    return [
        ("embedding forward", Op("", 4 * R * C)),
        ("embedding backward", Op("", 4 * R * C + 8 * min(R, s.V) * C + 8 * s.T * C)),
        ("layernorm forward", Op("", 4 * R * C)),
        ("residual + layernorm forward", Op("", 8 * R * C)),
        ("layernorm backward", Op("", 8 * R * C)),
        ("dropout backward", Op("", 4 * R * C)),
        ("GELU forward, 4 C wide", Op("", 4 * R * 4 * C)),
        ("GELU backward, 4 C wide", Op("", 6 * R * 4 * C)),
        ("column sums, 3 C wide", Op("", 2 * R * 3 * C)),
        ("cross-entropy with gradient", Op("", 4 * R * s.V)),
        ("attention forward", forward),
        ("attention backward, the five products needed", needed),
        ("attention backward, the seven made", backward),
        ("norm of all gradients", Op("", 4 * P)),
        ("AdamW, float32 moments", Op("", 30 * P)),
        ("AdamW, bfloat16 moments", Op("", 22 * P)),
        ("convert float32 to bfloat16, all weights", Op("", 6 * P)),
    ]


def floors_table(s, rates):
    """At the full rates, without efficiencies and launches."""
    yield "| op | MB | GFLOP | " + " | ".join(f"{gpu.name}, us" for gpu in GPUS) + " |"
    yield "|---|---|---|" + "---|" * len(GPUS)
    for name, op in floor_ops(s):
        cells = []
        for gpu in GPUS:
            peak = rates[gpu.name]
            memory = op.bytes / (peak["bandwidth_gb_per_s"] * 1e9)
            cells.append(f"{max(memory, op.attention_flops / (peak['bfloat16_tflops'] * 1e12)) * 1e6:,.1f}")
        gflop = f"{op.attention_flops / 1e9:.1f}" if op.attention_flops else ""
        yield f"| {name} | {op.bytes / 1e6:,.1f} | {gflop} | " + " | ".join(cells) + " |"


def ops_table(s, rates):
    by_gpu = [predict(s, gpu, rates[gpu.name]) for gpu in GPUS]
    yield "| share of a step | " + " | ".join(gpu.name for gpu in GPUS) + " |"
    yield "|---|" + "---|" * len(GPUS)
    for name in by_gpu[0]:
        yield f"| {name} | " + " | ".join(f"{100 * seconds[name] / sum(seconds.values()):.1f} %" for seconds in by_gpu) + " |"


def main():
    parser = argparse.ArgumentParser(description="Predicts the time of a training step on GPUs.")
    parser.add_argument("configs", nargs="*", type=pathlib.Path)
    parser.add_argument("--ops", action="store_true", help="where the time of each configuration's step goes")
    parser.add_argument("--logits_chunk", type=int, default=0, help="rows whose logits exist at a time; 0: as train chooses")
    arguments = parser.parse_args()
    rates = load_rates()
    paths = arguments.configs or sorted((ROOT / "configs").glob("*.json"))
    shapes = {path.stem: read_shape(path, arguments.logits_chunk) for path in paths}
    tables = [preset_table(shapes, rates)]
    if not arguments.configs:
        tables.insert(0, floors_table(dataclasses.replace(shapes["150M_1024"], B=8, dropout=False), rates))
    if arguments.ops:
        tables += [ops_table(s, rates) for s in shapes.values()]
    elif not arguments.configs:
        tables += [ops_table(shapes["150M_1024"], rates), calibration_table(rates)]
    print("\n\n".join("\n".join(table) for table in tables))
    return 0


if __name__ == "__main__":
    sys.exit(main())

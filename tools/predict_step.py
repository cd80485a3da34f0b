#!/usr/bin/env python3
"""Predicts the time of a training step on GPUs from the bytes and operations of its calls. No figure of it was measured with Virgil.

    tools/predict_step.py [CONFIG.json ...] [--ops] [--logits_chunk ROWS] [--calc_params build/calc_params]

The calls are those that `calc_params --calls --json` tells.

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
import subprocess
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


# What CUDA's kernels do beyond an op's operands and operations, which calc_params tells.
@dataclasses.dataclass(frozen=True)
class Kernels:
    launches: int = 1
    made: float = 1  # operations for each that the op needs
    moved: float = 1  # bytes for each of its operands
    masks: int = 1  # how often dropout's mask is drawn
    keeps_sums: bool = False  # writes its scratch and reads it


KERNELS = {
    "norm_backward": Kernels(launches=2, keeps_sums=True),
    "bias_backward": Kernels(launches=2, keeps_sums=True),
    # Two kernels make seven products for five, both read queries, keys and dout, and each draws the mask; and the statistics.
    "attention_backward": Kernels(launches=3, made=7 / 5, moved=10 / 8, masks=2),
    "embedding_backward": Kernels(launches=10, masks=2),
}
LABELS = {"embedding_forward": "embedding", "embedding_backward": "embedding", "residual_norm_forward": "residual + layernorm",
          "gelu_forward": "GELU", "cross_entropy_forward_backward": "cross-entropy", "reduce_sum": "cross-entropy",
          "norm_forward": "layernorm forward", "norm_backward": "layernorm backward", "set_zero": "layernorm backward"}
# Planned for one: GPUs differ in what fits, not in the calls.
PLANNED_FOR = "A100 80GB"
PUBLISHED_FLAGS = ["--n_layer", "12", "--n_head", "12", "--n_embd", "768", "--block_size", "1024", "--dropout", "0", "--recompute", "none",
                   "--batch_size", "16", "--grad_accum_steps", "32"]


def find_calc_params():
    for folder in ("build", "build-cuda", "programs"):
        if (ROOT / folder / "calc_params").exists():
            return ROOT / folder / "calc_params"
    raise FileNotFoundError("there is no build/calc_params: cmake --build --preset release --target calc_params; or give --calc_params PATH")


class Step:
    """A training step as `calc_params --calls --json` tells it."""

    def __init__(self, flags, calc_params=None, cuda_graph=True):
        command = [calc_params or find_calc_params(), "--gpu", PLANNED_FOR, "--dtype", "bfloat16", "--calls", "--json", *flags]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode not in (0, 1):  # 1: it does not fit there
            raise ValueError(f"calc_params {' '.join(map(str, flags))}: {done.stderr.strip()}")
        told = json.loads(done.stdout)
        self.calls = told["step"]["calls"]
        self.tensors = told["step"]["tensors"]
        self.head = next(i for i, call in enumerate(self.calls) if self.touches_logits(call))
        self.parameters = told["total_parameters"]
        self.flops_per_token = told["work"]["training_flops_per_token"]  # 6 N + 6 L C T: without what is computed twice
        self.B, self.T = told["plan"]["batch_size"], told["architecture"]["block_size"]
        self.micro_steps = told["plan"]["grad_accum_steps"]
        self.recompute = told["plan"]["recompute"]
        self.cuda_graph = cuda_graph

    @property
    def rows(self):
        return self.B * self.T

    def touches_logits(self, call):
        return any(self.tensors[operand["tensor"]]["slot"] == "logits" for operand in call["operands"])

    def label(self, index):
        """What a call stands under in the tables."""
        call = self.calls[index]
        if call["family"] != "matmul":
            return LABELS.get(call["op"], call["op"].replace("_", " "))
        if self.touches_logits(call):
            return "classifier"
        return "matmul forward" if index < self.head or call["recomputed"] else "matmul backward"


def read_step(path, flags=(), calc_params=None):
    config = json.loads(path.read_text(encoding="utf-8"))
    return Step([path, *flags], calc_params, config.get("cuda_graph", True))


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


def sizes_of(call, name):
    operand = next(operand for operand in call["operands"] if operand["name"] == name)
    return [int(size) for size in operand["shape"].strip("()").split(",")]


def elements_of(call, name):
    return math.prod(sizes_of(call, name))


def dropped_elements(call):
    if not call.get("dropout"):
        return 0
    if call["family"] == "attention":
        return elements_of(call, "lse") * sizes_of(call, "lse")[-1] / 2  # the causal half of all pairs
    return elements_of(call, "out" if call["op"].endswith("forward") else "dout")


def op_of(name, call):
    kernels = KERNELS.get(call["op"], Kernels())
    attention = call["family"] == "attention"
    return Op(name, bytes=kernels.moved * call["bytes"] + (2 * call["workspace_bytes"] if kernels.keeps_sums else 0),
              matmul_flops=0 if attention else kernels.made * call["flops"], attention_flops=kernels.made * call["flops"] if attention else 0,
              dropped=kernels.masks * dropped_elements(call), launches=kernels.launches)


def gelu_backward_bytes(num_elements):
    """Reads two and writes one."""
    return 3 * 2 * num_elements


def ops_of(step, index, gpu):
    """One, or two where a GPU's library does not fuse them."""
    call = step.calls[index]
    op = op_of(step.label(index), call)
    if call["op"] != "matmul_gelu_backward" or gpu.fuses_gelu_backward:
        return [op]
    hidden = elements_of(call, "hidden")
    return [dataclasses.replace(op, bytes=op.bytes - 2 * hidden), Op("GELU", bytes=gelu_backward_bytes(hidden))]


def step_ops(step, gpu):
    launch_s = GRAPH_LAUNCH_S if step.cuda_graph else LAUNCH_S
    ops = [dataclasses.replace(op, count=step.micro_steps, launch_s=launch_s)
           for index in range(len(step.calls)) for op in ops_of(step, index, gpu)]
    # Zeroed gradients, their norm, and AdamW: param, grad, m and v in float32, and the bfloat16 copy.
    return [*ops, Op("optimizer", bytes=(4 + 4 + 30) * step.parameters, launches=4)]


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


def calibration_table(published, rates):
    """`published`: steps of PUBLISHED_FLAGS, as train chooses the logits chunk and with one of others."""
    yield "| GPT-2 124M, B=16 T=1,024, no dropout | predicted tokens/s | with `logits_chunk` 333 | published for others' code |"
    yield "|---|---|---|---|"
    for gpu in GPUS:
        cells = [figures(step, gpu, rates[gpu.name])[1] for step in published]
        of_others = " to ".join(f"{rate:,}" for rate in dict.fromkeys(PUBLISHED[gpu.name]))
        yield f"| {gpu.name} | " + " | ".join(f"{round(rate, -3):,.0f}" for rate in cells) + f" | {of_others} |"


def floor_ops(s):
    """Each kernel family once, with what it must move and compute."""
    first = {}
    for call in s.calls:
        first.setdefault(call["op"], call)
    P = s.parameters

    def needed(op):
        attention = first[op]["family"] == "attention"
        return Op("", first[op]["bytes"], attention_flops=first[op]["flops"] if attention else 0)

    hidden = elements_of(first["gelu_forward"], "inp")
    logits = sum(call["bytes"] for call in s.calls if call["op"] == "cross_entropy_forward_backward")
    backward = needed("attention_backward")
    made = dataclasses.replace(backward, attention_flops=backward.attention_flops * KERNELS["attention_backward"].made)
    return [
        ("embedding forward", needed("embedding_forward")),
        ("embedding backward", needed("embedding_backward")),
        ("layernorm forward", needed("norm_forward")),
        ("residual + layernorm forward", needed("residual_norm_forward")),
        ("layernorm backward", needed("norm_backward")),
        ("dropout backward", needed("dropout_backward")),
        ("GELU forward, 4 C wide", needed("gelu_forward")),
        ("GELU backward, 4 C wide", Op("", gelu_backward_bytes(hidden))),
        ("column sums, 3 C wide", Op("", 2 * elements_of(first["attention_backward"], "dqkv"))),
        ("cross-entropy with gradient", Op("", logits)),
        ("attention forward", needed("attention_forward")),
        ("attention backward, the five products needed", backward),
        ("attention backward, the seven made", made),
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
    parser.add_argument("--calc_params", type=pathlib.Path, help="the program that tells a step's calls; else that of build/")
    arguments = parser.parse_args()
    rates = load_rates()
    calc_params = arguments.calc_params
    paths = arguments.configs or sorted((ROOT / "configs").glob("*.json"))
    chunk = ["--logits_chunk", str(arguments.logits_chunk)]
    try:
        steps = {path.stem: read_step(path, chunk, calc_params) for path in paths}
        tables = [preset_table(steps, rates)]
        if not arguments.configs:
            floors = read_step(ROOT / "configs" / "150M_1024.json", ["--batch_size", "8", "--grad_accum_steps", "1"], calc_params)
            tables.insert(0, floors_table(floors, rates))
        if arguments.ops:
            tables += [ops_table(step, rates) for step in steps.values()]
        elif not arguments.configs:
            published = [Step([*PUBLISHED_FLAGS, "--logits_chunk", rows], calc_params) for rows in ("0", "333")]
            tables += [ops_table(steps["150M_1024"], rates), calibration_table(published, rates)]
    except (OSError, ValueError) as error:
        print(f"predict_step.py: {error}", file=sys.stderr)
        return 2
    print("\n\n".join("\n".join(table) for table in tables))
    return 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""The table of registers, shared memory and occupancy in docs/kernels.md, from what the compiler reports.

    tools/kernel_table.py [--write] [--nvcc FILE] [--build_dir FOLDER] [--jobs N]

Compiles what tools/check_kernels.py compiles, and reads what that has compiled in the same folder. Exit status 1, with the lines that
differ, where the table is another one; --write puts the new one there. 77, and nothing is compared, where there is no nvcc, or another
version of it than the table names: registers differ between versions.
"""

import argparse
import difflib
import os
import pathlib
import re
import subprocess
import sys

import check_kernels

PAGE = check_kernels.ROOT / "docs" / "kernels.md"
BEGIN = re.compile(r"<!-- tools/kernel_table.py, nvcc (\S+) -->\n")
END = "<!-- end -->"
ARCHS = ("sm_80", "sm_90")
# Compute capabilities of the columns, and the architecture whose registers each is taken to need.
COLUMNS = ((80, "sm_80"), (89, "sm_80"), (90, "sm_90"))

# What the table calls a kernel, the file, its name there, and its threads where the launcher starts fewer than __launch_bounds__ allows.
ROWS = (
    ("embedding forward", "embedding.cu", "embedding_forward_kernel<bf16, 8>"),
    ("embedding backward: chunks", "embedding_backward.cu", "sum_chunks_kernel<bf16, 8>"),
    ("embedding backward: positions", "embedding_backward.cu", "sum_positions_kernel<bf16, 8>"),
    ("token sort: move", "token_sort.cu", "move_rows_kernel"),
    ("layernorm forward, a warp a row", "norm_forward.cu", "norm_kernel<bf16, 8, WarpTeam, true, false>"),
    ("the same, fused with the residual", "norm_forward.cu", "norm_kernel<bf16, 8, WarpTeam, true, true>"),
    ("fused, a block a row (fewer threads below 2,048 channels)", "norm_forward.cu",
     "norm_kernel<bf16, 8, BlockTeam<256>, true, true>"),
    ("layernorm backward, C = 768: 96 threads", "norm_backward.cu", "norm_backward_kernel<bf16, 8, 1, true>", 96),
    ("dropout backward", "dropout_backward.cu", "dropout_backward_kernel<bf16, 8>"),
    ("GELU forward", "gelu.cu", "activation_forward_kernel<Gelu, bf16, 8>"),
    ("GELU backward", "gelu.cu", "activation_backward_kernel<Gelu, bf16, 8>"),
    ("ReLU squared forward", "relu_squared.cu", "activation_forward_kernel<ReluSquared, bf16, 8>"),
    ("ReLU squared backward", "relu_squared.cu", "activation_backward_kernel<ReluSquared, bf16, 8>"),
    ("SwiGLU forward", "glu.cu", "glu_kernel<Silu, bf16, 8, Forward>"),
    ("SwiGLU backward", "glu.cu", "glu_kernel<Silu, bf16, 8, Backward>"),
    ("rotary positions, halves", "rotary.cu", "rotary_kernel<0, bf16, 8>"),
    ("rotary positions, neighbours", "rotary.cu", "rotary_kernel<1, bf16, 8>"),
    ("causal convolution", "causal_conv.cu", "causal_conv_forward_kernel<bf16, 8>"),
    ("causal convolution backward", "causal_conv.cu", "causal_conv_backward_kernel<bf16, 8>"),
    ("causal convolution with a cache", "causal_conv.cu", "causal_conv_decode_kernel<bf16, 8>"),
    ("column sums", "column_sums.cu", "sum_rows_kernel<bf16, 8>"),
    ("cross-entropy", "cross_entropy.cu", "cross_entropy_kernel<bf16 const, bf16, 8>"),
    ("cross-entropy with gradient", "cross_entropy.cu", "cross_entropy_kernel<bf16, bf16, 8>"),
    ("attention forward, 64", "attention_forward.cu", "attention_forward_kernel<bf16, 64, 2, false>"),
    ("attention forward, 64, dropout", "attention_forward.cu", "attention_forward_kernel<bf16, 64, 2, true>"),
    ("attention forward, 80", "attention_forward.cu", "attention_forward_kernel<bf16, 80, 2, false>"),
    ("attention forward, 128, 64 rows", "attention_forward.cu", "attention_forward_kernel<bf16, 128, 1, false>"),
    ("attention forward, 128, 128 rows", "attention_forward.cu", "attention_forward_kernel<bf16, 128, 2, false>"),
    ("attention backward, 64, owned keys", "attention_backward.cu", "attention_backward_kernel<bf16, 64, 0, false, false>"),
    ("the same, dropout", "attention_backward.cu", "attention_backward_kernel<bf16, 64, 0, true, false>"),
    ("attention backward, 64, owned queries", "attention_backward.cu", "attention_backward_kernel<bf16, 64, 1, false, false>"),
    ("attention backward, 80, owned keys", "attention_backward.cu", "attention_backward_kernel<bf16, 80, 0, false, false>"),
    ("attention backward, 80, owned queries", "attention_backward.cu", "attention_backward_kernel<bf16, 80, 1, false, false>"),
    ("attention backward, 128, owned keys", "attention_backward.cu", "attention_backward_kernel<bf16, 128, 0, false, false>"),
    ("attention backward, 128, owned queries", "attention_backward.cu", "attention_backward_kernel<bf16, 128, 1, false, false>"),
    ("attention backward, 64, owned keys, shared or in a window", "attention_backward.cu",
     "attention_backward_kernel<bf16, 64, 0, false, true>"),
    ("attention backward, 64, owned queries, the same", "attention_backward.cu",
     "attention_backward_kernel<bf16, 64, 1, false, true>"),
    ("attention statistics", "attention.cu", "attention_statistics_kernel<bf16>"),
    ("attention with a cache, 64", "attention_decode.cu", "attention_decode_kernel<bf16, 8>"),
    ("norm of float32", "reductions.cu", "sum_pieces_kernel<float, 4, true>"),
    ("AdamW, float32 moments", "adamw.cu", "adamw_kernel<float, float, bf16, 4>"),
    ("AdamW, bfloat16 moments", "adamw.cu", "adamw_kernel<float, bf16, bf16, 4>"),
    ("AdamW without master weights, float32 moments", "adamw.cu", "adamw_kernel<bf16, float, NoWorking, 4>"),
    ("AdamW without master weights, bfloat16 moments", "adamw.cu", "adamw_kernel<bf16, bf16, NoWorking, 4>"),
    ("convert float32 to bfloat16", "convert.cu", "convert_kernel<bf16, float, 4>"),
    ("sum of what ranks sent", "rank_sum.cu", "sum_of_ranks_kernel<8>"),
)


def version_of(nvcc):
    """Such as 13.0.88."""
    text = subprocess.run([nvcc, "--version"], capture_output=True, text=True, check=True).stdout
    return re.search(r"V(\d+\.\d+\.\d+)", text).group(1)


def find_kernels(results, source, name):
    """The kernel of that name on each of ARCHS."""
    found = {}
    for arch in ARCHS:
        kernels = [k for k in results[f"cuda/kernels/{source}", arch][0] if k.name == name]
        if len(kernels) != 1:
            raise check_kernels.KernelError(f"cuda/kernels/{source} ({arch}) has {len(kernels)} kernels named {name}")
        found[arch] = kernels[0]
    return found


def table(results):
    yield "| kernel | threads | registers, sm_80 / sm_90 | shared memory, bytes | blocks (occupancy) sm_80 | sm_89 | sm_90 |"
    yield "|---|---|---|---|---|---|---|"
    for title, source, name, *threads in ROWS:
        kernels = find_kernels(results, source, name)
        for kernel in kernels.values():
            kernel.threads = threads[0] if threads else kernel.threads
        registers = " / ".join(str(kernels[arch].registers) for arch in ARCHS)
        cells = [title, str(kernels[ARCHS[0]].threads), registers, f"{kernels[ARCHS[0]].smem():,}"]
        for capability, arch in COLUMNS:
            cells.append(f"{kernels[arch].blocks(capability)} ({100 * kernels[arch].occupancy(capability):.0f} %)")
        yield "| " + " | ".join(cells) + " |"


def compare(text, wanted, version, write):
    """Exit status."""
    match = BEGIN.search(text)
    first, last = match.end(), text.index(END, match.end())
    if text[first:last] == wanted and match.group(1) == version:
        print(f"docs/kernels.md has the table of nvcc {version}")
        return 0
    if write:
        begin = match.group(0).replace(match.group(1), version)
        PAGE.write_text(text[:match.start()] + begin + wanted + text[last:], encoding="utf-8")
        print(f"wrote the table of nvcc {version} to docs/kernels.md")
        return 0
    lines = difflib.unified_diff(text[first:last].splitlines(), wanted.splitlines(), "docs/kernels.md", "the compiler", "", "", 0, "")
    print("\n".join(lines))
    print("docs/kernels.md differs: tools/kernel_table.py --write puts the table there", file=sys.stderr)
    return 1


def main():
    parser = argparse.ArgumentParser(description="Holds the table of registers in docs/kernels.md against the compiler's report.")
    parser.add_argument("--write", action="store_true", help="put the table there")
    parser.add_argument("--nvcc", help="the compiler; otherwise $CUDACXX, PATH, /usr/local/cuda")
    parser.add_argument("--build_dir", type=pathlib.Path, default=check_kernels.ROOT / "build" / "kernels")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    nvcc = check_kernels.find_nvcc(arguments.nvcc)
    text = PAGE.read_text(encoding="utf-8")
    version = version_of(nvcc) if nvcc else None
    named = BEGIN.search(text).group(1)
    if version is None or (version != named and not arguments.write):
        print(f"not compared: the table is of nvcc {named}, and " + (f"here is {version}" if version else "here is none"))
        return check_kernels.SKIPPED
    results = check_kernels.check_all(nvcc, None, ARCHS, arguments.build_dir, arguments.jobs)
    faults = [fault for _, _, found in results.values() for fault in found]
    if faults:
        print("\n".join(faults), file=sys.stderr)
        return 1
    return compare(text, "\n".join(table(results)) + "\n", version, arguments.write)


if __name__ == "__main__":
    sys.exit(main())

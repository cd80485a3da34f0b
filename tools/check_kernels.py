#!/usr/bin/env python3
"""Compiles every CUDA kernel and holds it against what it may cost, without a GPU.

    tools/check_kernels.py [--arch sm_80 sm_90] [--jobs N] [--build_dir FOLDER] [--json]

Prints a line a kernel: for each architecture the registers of a thread, the shared memory of a block, and the blocks that fit on a
multiprocessor. With nvdisasm or cuobjdump it also reads the machine code, and prints the instructions of attention's inner loops.

Exit status 1, and the file and the kernel by name, for a compile error, a spill, local memory, registers for which __launch_bounds__
leaves no room, and tensor-core attention without HMMA, LDSM or 16-byte asynchronous copies; 77 where there is no nvcc.
"""

import argparse
import collections
import concurrent.futures
import dataclasses
import hashlib
import json
import os
import pathlib
import re
import shutil
import site
import subprocess
import sys
import sysconfig

ROOT = pathlib.Path(__file__).resolve().parent.parent
FLAGS = ["-std=c++20", "-O3", "-I.", "-Iinclude", "-Xptxas", "-v", "--resource-usage"]
SKIPPED = 77


class KernelError(Exception):
    """What is wrong with which file or kernel."""


# --- What a multiprocessor holds: CUDA C++ Programming Guide, "Technical Specifications per Compute Capability" ---

REGISTERS = 65536
REGISTERS_OF_A_WARP = 256  # are given out at a time
BARE_BLOCK_SMEM = 1024  # bytes that the system takes of each block's shared memory, from 8.0 on
# Compute capability: threads, blocks, and bytes of shared memory that blocks may have together.
MULTIPROCESSORS = {
    80: (2048, 32, 164 * 1024),
    86: (1536, 16, 100 * 1024),
    89: (1536, 24, 100 * 1024),
    90: (2048, 32, 228 * 1024),
    100: (2048, 32, 228 * 1024),
    120: (1536, 24, 100 * 1024),
}


@dataclasses.dataclass
class Kernel:
    """One kernel on one architecture, as ptxas reports it."""

    mangled: str
    name: str = ""  # demangled and short
    registers: int = 0
    stack: int = 0
    spill_stores: int = 0
    spill_loads: int = 0
    static_smem: int = 0
    threads: int = 0  # of __launch_bounds__; 0: none given
    min_blocks: int = 0

    def smem(self):
        return self.static_smem + dynamic_smem(self.name)

    def register_blocks(self, registers_per_sm=REGISTERS):
        """Blocks whose registers fit on a multiprocessor."""
        warps = -(-(self.threads or 1024) // 32)
        a_warp = -(-self.registers * 32 // REGISTERS_OF_A_WARP) * REGISTERS_OF_A_WARP
        # A quarter of the registers belongs to each of four schedulers, and a warp to one of them.
        return registers_per_sm // 4 // a_warp * 4 // warps if a_warp else 1 << 30

    def blocks(self, capability):
        """Blocks that a multiprocessor holds at a time."""
        threads, most_blocks, smem = MULTIPROCESSORS[capability]
        return min(most_blocks, threads // (self.threads or 1024), self.register_blocks(), smem // (self.smem() + BARE_BLOCK_SMEM))

    def occupancy(self, capability):
        return self.blocks(capability) * (self.threads or 1024) / MULTIPROCESSORS[capability][0]


def dynamic_smem(name):
    """Bytes that the launchers of attention_forward.cu and attention_backward.cu ask for (the structs of shared memory there)."""
    forward = re.match(r"attention_forward_kernel<\w+, (\d+), (\d+)", name)
    if forward:
        head_size, row_tiles = map(int, forward.groups())
        return 2 * head_size * (4 * 16 * row_tiles + 2 * 64)
    backward = re.match(r"attention_backward_kernel<\w+, (\d+), \d, \w+, (\w+)>", name)
    if backward:
        head_size, general = int(backward.group(1)), backward.group(2) == "true"
        owned = 64 if general and head_size <= 32 else 128
        visited = 16 if general and head_size > 96 else 32
        return 2 * head_size * (2 * owned + 2 * 2 * visited) + 2 * visited * 8
    return 0


# --- Reading ptxas ---


def parse_resources(report):
    """Kernels of the report that `-Xptxas -v` prints, by mangled name."""
    kernels, kernel = {}, None
    for line in report.splitlines():
        if match := re.search(r"Compiling entry function '([^']+)'", line):
            kernel = kernels.setdefault(match.group(1), Kernel(match.group(1)))
        elif match := re.search(r"Function properties for (\S+)", line):
            kernel = kernels.get(match.group(1), kernel)
        elif kernel is None:
            continue
        elif match := re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", line):
            # Functions that were not inlined report for themselves; what they spill, their callers spill.
            kernel.stack += int(match.group(1))
            kernel.spill_stores += int(match.group(2))
            kernel.spill_loads += int(match.group(3))
        elif match := re.search(r"Used (\d+) registers", line):
            kernel.registers = int(match.group(1))
            smem = re.search(r"(\d+) bytes smem", line)
            kernel.static_smem = int(smem.group(1)) if smem else 0
    return kernels


def parse_launch_bounds(ptx):
    """(threads, minimum of blocks) of every entry of a PTX file, 0 where it does not say."""
    bounds = {}
    for entry in re.finditer(r"\.entry\s+([\w$]+)\s*\((.*?)\)\s*(.*?)\{", ptx, re.DOTALL):
        threads = re.search(r"\.maxntid\s+(\d+)(?:\s*,\s*(\d+))?(?:\s*,\s*(\d+))?", entry.group(3))
        blocks = re.search(r"\.minnctapersm\s+(\d+)", entry.group(3))
        product = 1
        for size in threads.groups() if threads else ():
            product *= int(size or 1)
        bounds[entry.group(1)] = (product if threads else 0, int(blocks.group(1)) if blocks else 0)
    return bounds


def short_name(demangled):
    """The kernel and its template arguments, without namespaces, return type and parameters."""
    name = re.sub(r"\b\w+::|\(anonymous namespace\)::", "", demangled)
    name = re.sub(r"\((?:\w+)\)(-?\d)", r"\1", name)  # (int)8
    name = re.sub(r"^void ", "", name)
    depth = 0
    for i, letter in enumerate(name):
        depth += (letter == "<") - (letter == ">")
        if letter == "(" and depth == 0:
            name = name[:i]
            break
    return name.replace("__nv_bfloat16", "bf16").replace("__half", "fp16").replace("> >", ">>")


def demangle(names):
    """Short names of mangled ones; the mangled ones where there is no c++filt."""
    tool = shutil.which("c++filt") or shutil.which("cu++filt")
    if tool is None or not names:
        return {name: name for name in names}
    done = subprocess.run([tool], input="\n".join(names), capture_output=True, text=True, check=True)
    return dict(zip(names, map(short_name, done.stdout.splitlines())))


def faults_of(kernel):
    """What this kernel must not do, one sentence each."""
    if kernel.spill_stores or kernel.spill_loads:
        yield f"spills {kernel.spill_stores} bytes of stores and {kernel.spill_loads} of loads"
    if kernel.stack:
        yield f"has a stack frame of {kernel.stack} bytes"
    if kernel.register_blocks() < max(1, kernel.min_blocks):
        yield (f"takes {kernel.registers} registers a thread, which leaves room for {kernel.register_blocks()} blocks of "
               f"{kernel.threads or 1024} threads; __launch_bounds__ asks for {max(1, kernel.min_blocks)}")


# --- Reading machine code ---

INSTRUCTION = re.compile(r"^\s*/\*([0-9a-f]{4,})\*/\s+(?:@!?U?P\w+\s+)?([A-Z][A-Z0-9_.]*)\s*([^;]*);")
FUNCTION = re.compile(r"^(?:\s*Function : |\.text\.)(\S+?):?$")
LABEL = re.compile(r"^(\.L\w*):")
# What the inner loops' instructions count as.
FAMILIES = {
    "HMMA": "HMMA", "LDSM": "LDSM", "LDGSTS": "LDGSTS", "LDS": "LDS", "STS": "STS", "LDG": "LDG", "MUFU": "MUFU", "FFMA": "FFMA",
    "FMUL": "FMUL", "FADD": "FADD", "FMNMX": "FMNMX", "FMNMX3": "FMNMX", "FSEL": "FSEL", "SEL": "FSEL", "FSETP": "SETP",
    "ISETP": "SETP", "F2FP": "F2FP", "SHFL": "SHFL", "IMAD": "IMAD", "LOP3": "LOP3", "IADD3": "IADD", "IADD": "IADD", "MOV": "MOV",
    "BAR": "BAR", "WARPSYNC": "BAR", "LDGDEPBAR": "LDGDEPBAR", "DEPBAR": "LDGDEPBAR",
}


@dataclasses.dataclass
class Instruction:
    address: int
    op: str
    operands: str


def parse_machine_code(text):
    """Instructions and addresses of labels of each function, of nvdisasm's or of cuobjdump's output."""
    functions, code, labels, waiting = {}, None, {}, []
    for line in text.splitlines():
        if match := FUNCTION.match(line):
            code, labels = functions.setdefault(match.group(1), ([], {}))
            waiting = []
        elif code is None:
            continue
        elif match := LABEL.match(line):
            waiting.append(match.group(1))
        elif match := INSTRUCTION.match(line):
            code.append(Instruction(int(match.group(1), 16), match.group(2), match.group(3)))
            for label in waiting:
                labels[label] = code[-1].address
            waiting = []
    return functions


def loops(code, labels):
    """(first, last) addresses of every loop: where branches go backwards."""
    ends = {}
    for instruction in code:
        if not instruction.op.startswith("BRA"):
            continue
        match = re.search(r"`\((\.L\w*)\)|(0x[0-9a-f]+)", instruction.operands)
        if not match:
            continue
        target = labels.get(match.group(1)) if match.group(1) else int(match.group(2), 16)
        # A branch to itself fills the space behind the code.
        if target is not None and target < instruction.address:
            ends[target] = max(ends.get(target, 0), instruction.address)
    return sorted(ends.items())


def inner_loop(code, labels):
    """Instructions of the loop that multiplies on tensor cores: of those without another inside, the largest."""
    def body(loop):
        return [i for i in code if loop[0] <= i.address <= loop[1]]

    def multiplies(loop):
        return any(i.op.startswith("HMMA") for i in body(loop))

    found = [loop for loop in loops(code, labels) if multiplies(loop)]
    innermost = [a for a in found if not any(b != a and a[0] <= b[0] and b[1] <= a[1] for b in found)]
    return max(map(body, innermost), key=len, default=[])


def instruction_mix(code):
    counts = collections.Counter(FAMILIES.get(i.op.split(".")[0], "other") for i in code)
    families = [*dict.fromkeys(FAMILIES.values()), "other"]
    return {"all": len(code), **{family: counts[family] for family in families if counts[family]}}


def code_faults(name, code):
    """What the machine code of a kernel must and must not hold, one sentence each."""
    local = sum(i.op.split(".")[0] in ("LDL", "STL") for i in code)
    if local:
        yield f"has {local} instructions on local memory"
    if not re.match(r"attention_(forward|backward)_kernel", name):
        return
    if not any(i.op.startswith("HMMA") for i in code):
        yield "has no tensor-core instruction (HMMA)"
    if not any(i.op.startswith("LDSM") for i in code):
        yield "has no LDSM"
    if not any(i.op.startswith("LDGSTS") and ".128" in i.op for i in code):
        yield "has no 16-byte asynchronous copy (LDGSTS with .128)"


# --- Tools ---


def find_tool(name, nvcc):
    """On PATH, in the toolkit, or in the folders of Python's packages (wheels of NVIDIA's tools)."""
    if found := shutil.which(name):
        return found
    if nvcc and (pathlib.Path(nvcc).resolve().parent / name).is_file():
        return str(pathlib.Path(nvcc).resolve().parent / name)
    folders = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), site.getusersitepackages(), *site.getsitepackages()}
    for folder in sorted(filter(None, folders)):
        for path in sorted(pathlib.Path(folder).glob(f"nvidia/**/bin/{name}")):
            if os.access(path, os.X_OK):
                return str(path)
    return None


def find_nvcc(given):
    for candidate in filter(None, [given, os.environ.get("CUDACXX"), "nvcc", "/usr/local/cuda/bin/nvcc"]):
        if found := shutil.which(candidate):
            return found
    return None


def hash_of_sources(nvcc):
    """Of all that kernels may include, of the flags and of the compiler."""
    digest = hashlib.sha256(subprocess.run([nvcc, "--version"], capture_output=True, check=True).stdout)
    digest.update(" ".join(FLAGS).encode())
    for folder in ("cuda/device", "cuda/kernels", "include"):
        for path in sorted((ROOT / folder).rglob("*.h")):
            digest.update(path.read_bytes())
    return digest


@dataclasses.dataclass
class Compilation:
    source: pathlib.Path
    arch: str
    stem: pathlib.Path  # of .cubin, .ptx and .txt, the report

    def file(self, suffix):
        return self.stem.with_name(self.stem.name + suffix)

    def run(self, nvcc):
        """Compiles unless it was done before; returns the report."""
        report = self.file(".txt")
        if report.is_file():
            return report.read_text()
        for old in self.stem.parent.glob(f"{self.source.stem}.{self.arch}.*"):
            shutil.rmtree(old) if old.is_dir() else old.unlink()
        kept = self.file(".kept")
        kept.mkdir()
        command = [nvcc, *FLAGS, f"-arch={self.arch}", "-cubin", "--keep", "--keep-dir", str(kept), "-o",
                   str(self.file(".cubin")), str(self.source.relative_to(ROOT))]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        text = done.stdout + done.stderr
        if done.returncode != 0:
            raise KernelError(f"{self.source.relative_to(ROOT)} does not compile for {self.arch}:\n{text}")
        (kept / f"{self.source.stem}.ptx").replace(self.file(".ptx"))
        shutil.rmtree(kept)
        report.write_text(text)  # last: it says that the others are whole
        return text

    def kernels(self, nvcc):
        kernels = parse_resources(self.run(nvcc))
        bounds = parse_launch_bounds(self.file(".ptx").read_text())
        names = demangle(list(kernels))
        for mangled, kernel in kernels.items():
            kernel.name = names[mangled]
            kernel.threads, kernel.min_blocks = bounds.get(mangled, (0, 0))
        return kernels

    def machine_code(self, disassembler, kernels):
        """(faults, inner loops' mixes) by mangled name, read once for each version of this script."""
        cached = self.file(f".{hashlib.sha256(pathlib.Path(__file__).read_bytes()).hexdigest()[:16]}.code")
        if cached.is_file():
            return json.loads(cached.read_text())
        option = "-sass" if pathlib.Path(disassembler).name == "cuobjdump" else "-c"
        done = subprocess.run([disassembler, option, str(self.file(".cubin"))], capture_output=True, text=True)
        if done.returncode != 0:
            raise KernelError(f"{disassembler} cannot read {self.file('.cubin')}: {done.stderr.strip()}")
        functions, found = parse_machine_code(done.stdout), {}
        for mangled, kernel in kernels.items():
            code, labels = functions.get(mangled, ([], {}))
            faults = list(code_faults(kernel.name, code)) if code else ["is missing from the disassembly"]
            loop = inner_loop(code, labels)
            found[mangled] = (faults, instruction_mix(loop) if loop else None)
        cached.write_text(json.dumps(found))
        return found


def check(compilation, nvcc, disassembler):
    """Kernels, instruction mixes by kernel's name, and faults of one file on one architecture."""
    try:
        kernels = compilation.kernels(nvcc)
        code = compilation.machine_code(disassembler, kernels) if disassembler else {}
    except KernelError as error:
        return [], {}, [str(error)]
    where = f"{compilation.source.relative_to(ROOT)} ({compilation.arch}): "
    faults, mixes = [], {}
    for mangled, kernel in kernels.items():
        code_found, mix = code.get(mangled, ([], None))
        faults += [f"{where}{kernel.name} {fault}" for fault in (*faults_of(kernel), *code_found)]
        if mix:
            mixes[kernel.name] = mix
    return list(kernels.values()), mixes, faults


def check_all(nvcc, disassembler, archs, build_dir, jobs):
    """What check() returns of every file of cuda/kernels on every architecture, by (file, architecture)."""
    build_dir.mkdir(parents=True, exist_ok=True)
    shared_hash = hash_of_sources(nvcc)

    def compilation(source, arch):
        digest = shared_hash.copy()
        digest.update(source.read_bytes())
        return Compilation(source, arch, build_dir / f"{source.stem}.{arch}.{digest.hexdigest()[:16]}")

    # The longest first, so that no core waits for it at the end.
    sources = sorted((ROOT / "cuda" / "kernels").glob("*.cu"), key=lambda p: ("attention" not in p.stem, -p.stat().st_size))
    sources.sort(key=lambda p: p.stem not in ("attention_backward", "attention_forward"))
    with concurrent.futures.ThreadPoolExecutor(max(1, jobs)) as pool:
        futures = {(str(source.relative_to(ROOT)), arch): pool.submit(check, compilation(source, arch), nvcc, disassembler)
                   for source in sources for arch in archs}
        return {key: future.result() for key, future in futures.items()}


# --- Output ---


def kernel_table(results, archs):
    """Lines of a table; `results` maps (file, architecture) to kernels."""
    rows = collections.defaultdict(dict)
    for (source, arch), (kernels, _, _) in results.items():
        for kernel in kernels:
            rows[source, kernel.name][arch] = kernel
    wide = max((len(name) for _, name in rows), default=0)
    yield f"{'kernel':{wide}}  threads" + "".join(f"  {arch}: registers smem blocks occupancy" for arch in archs)
    for (_, name), by_arch in sorted(rows.items()):
        threads = next(iter(by_arch.values())).threads
        line = f"{name:{wide}}  {threads or '-':>7}"
        for arch in archs:
            kernel = by_arch.get(arch)
            if kernel is None:
                continue
            line += f"  {'':{len(arch) + 2}}{kernel.registers:>8} {kernel.smem():>6}"
            capability = int(arch[3:].rstrip("af"))
            if capability in MULTIPROCESSORS:
                line += f" {kernel.blocks(capability):>5} {kernel.occupancy(capability):>8.0%}"
        yield line


def mix_lines(results):
    for (_, arch), (_, mixes, _) in sorted(results.items()):
        for name, mix in sorted(mixes.items()):
            if "fp16" in name and mixes.get(name.replace("fp16", "bf16")) == mix:
                continue  # the same instructions of the other type
            yield f"{arch} {name}: " + ", ".join(f"{count} {family}" for family, count in mix.items())


def as_json(results):
    kernels = []
    for (source, arch), (found, mixes, _) in sorted(results.items()):
        capability = int(arch[3:].rstrip("af"))
        for kernel in found:
            entry = {"file": source, "arch": arch, **dataclasses.asdict(kernel), "smem": kernel.smem()}
            if capability in MULTIPROCESSORS:
                entry |= {"blocks": kernel.blocks(capability), "occupancy": round(kernel.occupancy(capability), 3)}
            if kernel.name in mixes:
                entry["inner_loop"] = mixes[kernel.name]
            kernels.append(entry)
    return {"kernels": kernels, "faults": [fault for _, _, faults in results.values() for fault in faults]}


def main():
    parser = argparse.ArgumentParser(description="Compiles every CUDA kernel and checks what it costs.")
    parser.add_argument("--arch", nargs="+", default=["sm_80", "sm_90"])
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--build_dir", type=pathlib.Path, default=ROOT / "build" / "kernels", help="keeps what was compiled")
    parser.add_argument("--nvcc", help="the compiler; otherwise $CUDACXX, PATH, /usr/local/cuda")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    nvcc = find_nvcc(arguments.nvcc)
    if nvcc is None:
        print("no nvcc: no kernel was checked; install the CUDA toolkit or name the compiler with --nvcc")
        return SKIPPED
    disassembler = find_tool("nvdisasm", nvcc) or find_tool("cuobjdump", nvcc)
    results = check_all(nvcc, disassembler, arguments.arch, arguments.build_dir, arguments.jobs)

    faults = [fault for _, _, found in results.values() for fault in found]
    if arguments.json:
        print(json.dumps(as_json(results), indent=1))
    else:
        for line in kernel_table(results, arguments.arch):
            print(line)
        if disassembler:
            print("\nInner loops of attention, instructions of a warp:")
            for line in mix_lines(results):
                print(line)
        else:
            print("\nneither nvdisasm nor cuobjdump: the machine code was not read")
        print(f"\n{sum(len(kernels) for kernels, _, _ in results.values())} kernels, {len(faults)} faults")
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())

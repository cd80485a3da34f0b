#!/usr/bin/env python3
"""Fails on an include that runs against the layers of docs/architecture.md or reaches into one, and on CUDA headers in include/.

A header in src/LAYER is that layer's own: only src/LAYER and tests of the layer include it.

    tools/check_layers.py [--root DIRECTORY]

Prints one line a violation: file:line: what is wrong. Exit status 1 when there is any.
"""

import argparse
import pathlib
import re
import sys

# What each layer may include besides itself. A folder of include/virgil or src that is not listed here is a violation too.
ALLOWED = {
    "base": set(),
    "memory": {"base"},
    "ops": {"base", "memory"},
    "backend": {"base", "memory", "ops"},
    "data": {"base", "memory"},
    "dist": {"base", "memory"},
    "model": {"base", "memory", "ops", "backend"},
    "optim": {"base", "memory", "ops", "backend", "model"},
    "config": {"base", "memory", "ops", "backend", "model"},
    "plan": {"base", "memory", "ops", "backend", "dist", "model", "config"},
    "machine": {"base", "memory", "ops", "backend", "dist", "model", "config", "plan"},
    "format": {"base", "memory", "ops", "backend", "data", "model", "optim", "config", "plan"},
    "generate": {"base", "memory", "ops", "backend", "data", "model", "config", "plan", "machine", "format"},
}
for layer in ("train", "report"):  # what all below them has made
    ALLOWED[layer] = set(ALLOWED)
ALLOWED["run_report"] = {"base", "memory", "config", "format", "train"}
ALLOWED["command"] = set(ALLOWED)
# Folders of tests/ that test a layer under another name.
TESTS_OF = {"backend_conformance": "backend"}
# cuda/ is one more backend, and its collectives; mpi/ one more launcher.
FOLDERS_MAY_INCLUDE = {"cuda": {"base", "memory", "ops", "backend", "dist"}, "mpi": {"base", "memory", "dist"}}
SOURCE_SUFFIXES = {".h", ".cpp", ".cu"}
INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]')
CUDA_HEADER = re.compile(r"^(cuda|cublas|cudnn|curand|nccl|nvml|nvtx|cooperative_groups|mma\.h|cub/|thrust/)")


def layer_of_include(target):
    """The layer an include path names, or None for a library's or a neighbouring header."""
    parts = pathlib.PurePosixPath(target).parts
    if len(parts) > 2 and parts[0] == "virgil":
        return parts[1]
    if len(parts) > 1 and parts[0] in ALLOWED:
        return parts[0]
    return None


def includes_of(path):
    """(line number, path) of every include in a file."""
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            match = INCLUDE.match(line)
            if match:
                yield number, match.group(2)


def source_files(directory):
    return sorted(p for p in directory.rglob("*") if p.suffix in SOURCE_SUFFIXES)


def check_layer(name, files, allowed):
    for path in files:
        for number, target in includes_of(path):
            layer = layer_of_include(target)
            if layer is None or layer == name or layer in allowed:
                continue
            may = ", ".join(sorted(allowed)) or "nothing"
            yield f"{path}:{number}: {name} includes {target} of layer {layer}; {name} may include {may}"


def check_private(layer, files, root):
    """`layer` is None for what belongs to none. Public headers begin with virgil/: a layer's name in front is its private one's."""
    for path in files:
        for number, target in includes_of(path):
            owner = pathlib.PurePosixPath(target).parts[0] if "/" in target else None
            is_tests_own = root / "tests" in path.parents and (root / "tests" / target).is_file()
            if owner not in ALLOWED or owner == layer or is_tests_own:
                continue
            yield (f"{path}:{number}: {target} is private to the layer {owner}; use what include/virgil/{owner}/ promises, or move the "
                   f"header there, if others may rely on it: git mv src/{target} include/virgil/{target}")


def violations(root):
    for tree in ("src", "tests"):
        for directory in sorted(p for p in (root / tree).glob("*") if p.is_dir()):
            yield from check_private(TESTS_OF.get(directory.name, directory.name), source_files(directory), root)
    for tree in ("include", "cuda", "mpi", "tools"):
        yield from check_private(None, source_files(root / tree), root)
    yield from check_private(None, sorted(root.glob("*.cpp")), root)
    for tree in (root / "include" / "virgil", root / "src"):
        for directory in sorted(p for p in tree.glob("*") if p.is_dir()):
            if directory.name not in ALLOWED:
                yield f"{directory}: not a known layer; add it to ALLOWED in tools/check_layers.py and to docs/architecture.md"
                continue
            yield from check_layer(directory.name, source_files(directory), ALLOWED[directory.name])
    for folder, allowed in FOLDERS_MAY_INCLUDE.items():
        yield from check_layer(folder, source_files(root / folder), allowed)
    for path in source_files(root / "include"):
        for number, target in includes_of(path):
            if CUDA_HEADER.match(target):
                yield f"{path}:{number}: {target}: no CUDA header in include/; keep it in cuda/"


def main():
    parser = argparse.ArgumentParser(description="Checks that no include runs against the layers.")
    parser.add_argument("--root", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parent.parent)
    root = parser.parse_args().root
    if not (root / "include" / "virgil").is_dir():
        sys.exit(f"{root}: no include/virgil; name the project's folder with --root")
    found = [v.replace(f"{root}/", "", 1) for v in violations(root)]
    for line in found:
        print(line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

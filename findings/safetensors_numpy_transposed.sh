#!/usr/bin/env bash
# safetensors.numpy writes the wrong values of an array that is not C-contiguous, and says nothing.
#
# Versions: safetensors 0.8.0 with numpy 2.4.6, Python 3.11.
# Expected: save_file({"t": a.T}) and load_file give a.T again, or save_file refuses, as safetensors.torch does with a tensor that is
#   not contiguous.
# Seen: the file has the shape of a.T and the bytes of a in the order they lie in memory. Every tensor has the right shape and the right
#   set of values, in the wrong places. Arrays in Fortran order and slices with a step are written likewise; of a slice, values that are
#   not part of it.
# Why it matters: GPT-2's matrices are the transpose of nn.Linear's, so that a script which converts weights with numpy's `.T` writes a
#   model that loads everywhere and talks nonsense. np.ascontiguousarray(a.T) before saving is the remedy.
#
# Output seen:
#   a.T       [[0.0, 3.0], [1.0, 4.0], [2.0, 5.0]]
#   read back [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]
#   a[:, ::2] [[0.0, 2.0], [3.0, 5.0]]
#   read back [[0.0, 1.0], [2.0, 3.0]]
set -eu

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check safetensors==0.8.0 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
from safetensors.numpy import load_file, save_file

a = np.arange(6, dtype=np.float32).reshape(2, 3)
surprised = True
for name, array in [("a.T", a.T), ("a[:, ::2]", a[:, ::2])]:
    save_file({"t": array}, "t.safetensors")
    back = load_file("t.safetensors")["t"]
    print(f"{name:9} {array.tolist()}\nread back {back.tolist()}")
    surprised = surprised and back.shape == array.shape and not np.array_equal(back, array)
save_file({"t": np.ascontiguousarray(a.T)}, "t.safetensors")
right = np.array_equal(load_file("t.safetensors")["t"], a.T)
if not (surprised and right):
    sys.exit("the behaviour has changed")
PYTHON

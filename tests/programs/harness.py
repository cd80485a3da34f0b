"""What the tests of the programs share: running `train` on a tiny model and reading what it left.

Each test file is a script: `x_test.py --train BINARY [--mpiexec MPIRUN --train_alone BINARY] [--case Class.test]`. Without a case it
runs all. The exit status is 0 (passed), 1 (failed) or 77 (skipped), which ctest reports as such.
"""

import argparse
import contextlib
import hashlib
import json
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

SKIPPED = 77
# Several tests share the cores: threads that wait must sleep, or a step of a millisecond takes seconds. The bits do not depend on it.
# What the programs measure of this processor is kept between tests, and not in the home of whoever runs them.
ENVIRONMENT = {**os.environ, "OMP_WAIT_POLICY": "passive",
               "XDG_CACHE_HOME": str(pathlib.Path(tempfile.gettempdir()) / f"virgil-tests-cache-{os.getuid()}")}
TIMEOUT_S = 120

# A model that trains a step in about a millisecond. Dropout, accumulation and clipping are on, so that everything that draws
# random numbers or keeps state takes part.
TINY = {
    "n_layer": 2,
    "n_head": 2,
    "n_embd": 32,
    "block_size": 32,
    "dropout": 0.1,
    "tokenizer": "char",
    "batch_size": 4,
    "grad_accum_steps": 2,
    "max_iters": 20,
    "lr_decay_iters": 40,
    "warmup_iters": 4,
    "learning_rate": 0.003,
    "min_lr": 0.0003,
    "eval_interval": 5,
    "save_interval": 5,
    "sample_interval": 0,
    "device": "cpu",
    "threads": 2,
    "model_name": "run",
}


def make_text(num_bytes=20000, seed=1):
    """Words of a small language, so that a model finds something to learn; with characters of two bytes."""
    draw = random.Random(seed)
    syllables = ["ba", "co", "di", "fu", "lè", "mi", "no", "ra", "sto", "tà"]
    text = ""
    while len(text.encode()) < num_bytes:
        words = ["".join(draw.choices(syllables, k=draw.randint(1, 3))) for _ in range(draw.randint(3, 8))]
        text += " ".join(words) + "\n"
    return text


def flags_of(settings):
    return [f"--{key}={str(value).lower() if isinstance(value, bool) else value}" for key, value in settings.items()]


def tree_of(directory):
    """Relative path -> SHA-256 of every file below, and directories as "": two equal trees are the same to any reader."""
    tree = {}
    for path in sorted(directory.rglob("*")):
        name = str(path.relative_to(directory))
        tree[name] = "" if path.is_dir() else hashlib.sha256(path.read_bytes()).hexdigest()
    return tree


class ProgramTest(unittest.TestCase):
    """A test with a folder of its own that holds input.txt and, in runs/, what `train` writes."""

    environment = ENVIRONMENT  # of the programs
    # Paths of programs, from the command line.
    train = None
    mpiexec = None  # where `train` is built with MPI
    train_alone = None  # the same built without MPI, where there is an mpiexec

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="virgil-test-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.input = self.folder / "input.txt"
        self.input.write_text(make_text(), encoding="utf-8")
        self.out_dir = self.folder / "runs"

    def command(self, *extra, **settings):
        """The command line of a tiny run; settings replace TINY's, None leaves a key out."""
        merged = {**TINY, "input": self.input, "out_dir": self.out_dir, **settings}
        return [self.train, *flags_of({k: v for k, v in merged.items() if v is not None}), *extra]

    def run_train(self, *extra, expect=0, popen_options=None, environment=None, **settings):
        """As run_command."""
        return self.run_command(self.command(*extra, **settings), expect, environment, popen_options)

    def start(self, command):
        """A running program, its output lines readable through `process.stdout`."""
        return subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
            cwd=self.folder,
            env=self.environment,
        )

    @contextlib.contextmanager
    def running_train(self, *extra, **settings):
        """A running train; killed when the block is left."""
        process = self.start(self.command(*extra, **settings))
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            process.communicate()

    def run_command(self, command, expect=0, environment=None, popen_options=None):
        """Runs to the end, checks the exit status and returns stdout and stderr together."""
        done = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=TIMEOUT_S,
            cwd=self.folder,
            env={**self.environment, **(environment or {})},
            **(popen_options or {}),
        )
        output = done.stdout.decode("utf-8", errors="replace")
        self.assertEqual(done.returncode, expect, f"exit status of {' '.join(map(str, command))}\n{output}")
        return output

    def run_on_small_disk(self, command, free_bytes):
        """(exit status, output) of a command that finds the runs on a file system of its own, with that much left there."""
        run_bytes = sum(p.stat().st_size for p in self.out_dir.rglob("*") if p.is_file())
        disk = self.folder / "disk"
        disk.mkdir()
        # The mount lives in a name space of its own and ends with it; what the disk held is copied out. "Page" sizes round up.
        script = f"""set -e
            mount -t tmpfs -o size={run_bytes + free_bytes + 65536} none '{disk}' || exit 77
            cp -a '{self.out_dir}/.' '{disk}/'
            status=0; "$@" || status=$?
            rm -rf '{self.out_dir}'; cp -a '{disk}' '{self.out_dir}'
            exit $status"""
        name_space = ["unshare", "--mount"] + ([] if os.geteuid() == 0 else ["--map-root-user"])
        if shutil.which("unshare") is None or subprocess.run([*name_space, "true"], capture_output=True).returncode != 0:
            self.skipTest("no right to make a mount name space here")
        done = subprocess.run(
            [*name_space, "sh", "-c", script, "sh", *map(str, command)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=TIMEOUT_S,
            env=self.environment,
        )
        if done.returncode == 77:
            self.skipTest("no right to mount a tmpfs here")
        return done.returncode, done.stdout.decode("utf-8", errors="replace")

    def run_folder(self, name="run"):
        return self.out_dir / name

    def metrics(self, name="run"):
        """The objects of metrics.jsonl, in order. Fails on a line that is not one whole object."""
        text = (self.run_folder(name) / "metrics.jsonl").read_text(encoding="utf-8")
        self.assertTrue(text.endswith("\n"), "metrics.jsonl ends inside a line")
        return [json.loads(line) for line in text.splitlines()]

    def sessions(self, name="run"):
        """What run.json holds of each start of the run, oldest first."""
        return json.loads((self.run_folder(name) / "run.json").read_text(encoding="utf-8"))["sessions"]

    def figures(self, name="run"):
        """What must be the same in every run of the same settings: (step, figures) without times and memory."""
        keys = ("step", "tokens", "epoch", "loss", "lr", "grad_norm", "val_loss", "val_ppl", "val_bpb")
        return [{k: m[k] for k in keys if k in m} for m in self.metrics(name)]

    def step_checkpoints(self, name="run"):
        return sorted(p for p in self.run_folder(name).glob("step-*") if ".tmp-" not in p.name)

    def assert_same_checkpoint(self, one, other):
        """Parameters and optimizer state are equal bit for bit."""
        for name in ("model.safetensors", "optimizer.safetensors"):
            self.assertEqual(
                hashlib.sha256((one / name).read_bytes()).hexdigest(),
                hashlib.sha256((other / name).read_bytes()).hexdigest(),
                f"{name} of {one.relative_to(self.out_dir)} and {other.relative_to(self.out_dir)}",
            )

    def assert_says(self, output, *words):
        """The message holds every word, whatever its case."""
        for word in words:
            self.assertIn(word.lower(), output.lower())

    def assert_no_step(self, output):
        self.assertNotRegex(output, re.compile(r"^step +\d+/", re.MULTILINE), "a step was made")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--train", required=True, type=os.path.abspath, help="the program under test")
    parser.add_argument("--mpiexec", help="the launcher of the MPI it is built with")
    parser.add_argument("--train_alone", type=os.path.abspath, help="it, built without MPI")
    parser.add_argument("--case", help="Class.test; all when left out")
    arguments = parser.parse_args()
    ProgramTest.train = arguments.train
    ProgramTest.mpiexec = arguments.mpiexec
    ProgramTest.train_alone = arguments.train_alone

    loader = unittest.defaultTestLoader
    module = sys.modules["__main__"]
    suite = loader.loadTestsFromName(arguments.case, module) if arguments.case else loader.loadTestsFromModule(module)
    result = unittest.TextTestRunner(verbosity=2).run(suite)
    if not result.wasSuccessful():
        sys.exit(1)
    sys.exit(SKIPPED if result.skipped and len(result.skipped) == result.testsRun else 0)

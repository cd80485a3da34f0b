#!/usr/bin/env python3
"""Measures Virgil's goals of speed on a processor and prints them as one table, beside what was reached: docs/performance.md.

    tools/speed_goals.py --input divine_comedy.txt --old old/build/train [--python venv/bin/python3] [--rows peak,torch] [--json FILE]

Every figure comes from build/bench, which measures what it compares in turns. --old is `train` of an earlier build, in its own
tree: its configs/tiny.json is raced. Rows: race, best, torch, peak, attention, neighbours; a row that cannot be measured says why.
All of them take about two hours of an idle machine; runs of the races lie in --out_dir, and are kept if the command is given again.
"""

import argparse
import contextlib
import json
import os
import pathlib
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
LOSS, BEST_LOSS = 1.4729, 1.40
TINY = str(ROOT / "configs" / "tiny.json")
TINY_FAST = str(ROOT / "configs" / "tiny_fast.json")
# Trains tiny_fast's model for as long as tiny's 1,500 steps take: a lower rate, more steps, and dropout for more passes.
LONGER = ["--learning_rate", "4e-3", "--max_iters", "900", "--warmup_iters", "40", "--dropout", "0.1"]
# Attention of one of 150M_1024's blocks; more blocks repeat it.
LONG_ATTENTION = [str(ROOT / "configs" / "150M_1024.json"), "--n_layer", "1", "--dropout", "0", "--recompute", "none",
                  "--batch_size", "1", "--total_batch_size", "1024"]
TYPES = ("float32", "bfloat16")
NEIGHBOURS = (1, 4)


class NotMeasured(Exception):
    """Why a row has no figure."""


class Goals:
    def __init__(self, options):
        self.options = options
        self.bench_path = options.build / "bench"
        self.train_path = options.build / "train"
        self.results = {}
        self.raced = None

    def bench(self, *flags):
        command = [str(self.bench_path), *flags, "--json"]
        print(" ".join(command), file=sys.stderr, flush=True)
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        if run.returncode != 0:
            raise NotMeasured((run.stderr.strip().splitlines() or [f"bench ended with {run.returncode}"])[-1])
        return json.loads(run.stdout)

    def step(self, config, dtype, *flags):
        return self.bench("--config", config, "--dtype", dtype, "--sample_interval", "0", *flags)

    def step_of_tiny(self, dtype):
        """The step, its ops and PyTorch in turns: torch, peak and attention read the same run."""
        if dtype not in self.results:
            self.results[dtype] = self.step(TINY, dtype, "--ops", "--compare_torch", "--python", self.options.python)
        return self.results[dtype]

    def race_to(self, loss, folder, *more):
        if self.options.input is None:
            raise NotMeasured("give the text: --input FILE")
        return self.bench("--to_loss", str(loss), "--dtype", "float32", "--seeds", str(self.options.seeds), "--input",
                          self.options.input, "--out_dir", str(self.options.out_dir / folder), *more)

    def race(self):
        """Entrants of the race to LOSS: tiny_fast, tiny of the older build, tiny_fast in PyTorch."""
        if self.raced is None:
            if self.options.old is None:
                raise NotMeasured("give train of an earlier build: --old FILE")
            older = self.options.old.resolve()
            torch = f"{self.options.python} {ROOT}/tests/reference/train_torch.py --config {TINY_FAST}"
            self.raced = self.race_to(LOSS, "race", "--race", f"{self.train_path} --config {TINY_FAST}",
                                      f"{older} --config {older.parent.parent}/configs/tiny.json", torch)
            self.results["race"] = self.raced
        return self.raced["entrants"]

    def rows_of_race(self):
        ours, older, torch = self.race()
        for name, other, goal in (("tiny's 1,500 steps, older build", older, 0.5), ("PyTorch, the same recipe", torch, 0.75)):
            yield f"time to {LOSS}, tiny_fast against {name}", f"{goal} or less", ratio_of_times(ours, other)

    def rows_of_best(self):
        _, older, _ = self.race()
        seconds = statistics.median(run["trained_seconds"] for run in older["runs"])
        longer = " ".join([str(self.train_path), "--config", TINY_FAST, *LONGER])
        best = self.race_to(BEST_LOSS, "best", "--within", f"{seconds:.0f}s", "--race", longer)
        self.results["best"] = best
        losses = [run["best_loss"] for run in best["entrants"][0]["runs"]]
        yield (f"best loss within the {seconds:.0f} s of tiny's 1,500 steps, older build", f"{BEST_LOSS:.2f} or less",
               f"{statistics.median(losses):.4f} ({min(losses):.4f} to {max(losses):.4f})")

    def rows_of_torch(self):
        for dtype, goal in zip(TYPES, (1.5, 1.7)):
            compared = self.step_of_tiny(dtype)["torch"]
            if "skipped" in compared:
                raise NotMeasured(compared["skipped"])
            yield (f"tiny, tokens/s against PyTorch {compared['version']}, {dtype}", f"{goal} times",
                   f"{compared['ratio']:.2f} times ({compared['ours_tokens_per_s']:,.0f} and {compared['tokens_per_s']:,.0f})")

    def rows_of_peak(self):
        for dtype, goal in zip(TYPES, ("88 %", "")):
            yield f"tiny, share of the peak, {dtype}", goal, spread_of_share(self.step_of_tiny(dtype)["step"]["mfu_spread"])

    def rows_of_attention(self):
        for dtype in TYPES:
            long = self.results[f"attention {dtype}"] = self.step(*LONG_ATTENTION[:1], dtype, *LONG_ATTENTION[1:], "--ops")
            for length, measured in ((256, self.step_of_tiny(dtype)), (1024, long)):
                for name in ("forward", "backward"):
                    op = next(op for op in measured["ops"] if op["name"] == f"attention_{name}" and op["phase"] == "step")
                    yield (f"attention {name}, T={length:,}, {dtype}, share of the floor", "65 %",
                           spread_of_share(op["floor_share"]))

    def rows_of_neighbours(self):
        cores = len(os.sched_getaffinity(0))
        rates = {count: {"virgil": [], "PyTorch": []} for count in (0, *NEIGHBOURS)}
        for _ in range(self.options.rounds):
            for count, found in rates.items():
                with busy_neighbours(count):
                    result = self.step(TINY, "float32", "--steps", "3", "--compare_torch", "--python", self.options.python)
                if "tokens_per_s" in result["torch"]:
                    found["PyTorch"].append(result["torch"]["tokens_per_s"])
                found["virgil"].append(result["torch"].get("ours_tokens_per_s", result["step"]["tokens_per_s"]))
        self.results["neighbours"] = {str(count): found for count, found in rates.items()}
        for count in NEIGHBOURS:
            told = []
            allowed = min(1.0, cores / (cores + count))  # of the processors' time, where the system deals it out evenly
            for name in ("virgil", "PyTorch"):
                if rates[count][name] and rates[0][name]:
                    beside, alone = (statistics.median(rates[i][name]) for i in (count, 0))
                    told.append(f"{name} {beside / alone / allowed:.0%} ({beside:,.0f} of {alone:,.0f} tokens/s alone)")
            yield (f"tiny, float32, beside {count} busy program{'s' if count > 1 else ''} on {cores} cores: share of the speed "
                   f"that {allowed:.0%} of the time allow", "90 %", "; ".join(told))


def ratio_of_times(ours, other):
    """Of the medians; where the other never found the loss its whole training is a bound from below of its time."""
    if "median_seconds" not in ours:
        return f"tiny_fast found it in {ours['reached']} of {len(ours['runs'])} runs"
    if "median_seconds" in other:
        return f"{ours['median_seconds'] / other['median_seconds']:.2f} ({ours['median_seconds']:.0f} and {other['median_seconds']:.0f} s)"
    whole = statistics.median(run["trained_seconds"] for run in other["runs"])
    return (f"{ours['median_seconds'] / whole:.2f} or less ({ours['median_seconds']:.0f} s; the other trained for {whole:.0f} s and found it "
            f"in {other['reached']} of {len(other['runs'])} runs)")


def spread_of_share(spread):
    return f"{100 * spread['median']:.1f} % ({100 * spread['lower']:.1f} to {100 * spread['upper']:.1f})"


@contextlib.contextmanager
def busy_neighbours(count):
    """Programs that never wait."""
    programs = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for program in programs:
            program.kill()
            program.wait()


ROWS = ("race", "best", "torch", "peak", "attention", "neighbours")


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--input", help="text of the races")
    parser.add_argument("--old", type=pathlib.Path, help="train of an earlier build, OLD/build/train")
    parser.add_argument("--python", default="python3", help="interpreter that has PyTorch (default: python3)")
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build", help="folder of the programs (default: build)")
    parser.add_argument("--out_dir", type=pathlib.Path, default=ROOT / "runs" / "speed_goals", help="of the races' runs")
    parser.add_argument("--seeds", type=int, default=3, help="of each entrant of a race (default: 3)")
    parser.add_argument("--rounds", type=int, default=3, help="of the neighbours, in turns (default: 3)")
    parser.add_argument("--rows", default=",".join(ROWS), help="which to measure, separated by commas (default: all)")
    parser.add_argument("--json", type=pathlib.Path, help="what bench told, whole, in this file")
    options = parser.parse_args()
    options.rows = options.rows.split(",")
    for row in options.rows:
        if row not in ROWS:
            parser.error(f"--rows {row}: there are {', '.join(ROWS)}")
    for name in ("seeds", "rounds"):
        if getattr(options, name) < 1:
            parser.error(f"--{name}: at least 1")
    for program in (options.build / "bench", options.build / "train", options.old):
        if program is not None and not os.access(program, os.X_OK):
            parser.error(f"{program}: no program; build it, or name its place by --build or --old")
    return options


def main():
    options = parse()
    goals = Goals(options)
    print("| work | goal | reached |\n|---|---|---|", flush=True)
    for name in options.rows:
        try:
            for row in getattr(goals, f"rows_of_{name}")():
                print("| " + " | ".join(row) + " |", flush=True)
        except NotMeasured as why:
            print(f"| {name} | | not measured: {why} |", flush=True)
    machines = {result["device"] for result in goals.results.values() if "device" in result}
    if machines:
        print(f"\non {'; '.join(sorted(machines))}")
    if options.json:
        options.json.write_text(json.dumps(goals.results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

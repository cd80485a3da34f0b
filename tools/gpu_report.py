#!/usr/bin/env python3
"""Makes one JSON and a short table of what the stages of tools/gpu_check.sh left, and says what failed.

    tools/gpu_report.py FOLDER OUTPUT

Exit status 1 when anything failed.
"""

import json
import math
import pathlib
import statistics
import sys

TIMED_OUT = {124, 137}
WARM_UP_STEPS = 5
# Of the driver's count beyond context and plan: code loaded at its first use, cuBLASLt's own memory, rounding to 2 MiB.
BEYOND_PLAN_SHARE = 0.10
BEYOND_PLAN_BYTES = 256 << 20
MIB = 1 << 20


def read_stages(folder):
    """The stages in order: name, exit status, seconds."""
    path = folder / "stages.txt"
    stages = []
    for line in path.read_text().splitlines() if path.exists() else []:
        name, status, seconds = line.split()
        stages.append({"name": name, "status": int(status), "seconds": int(seconds)})
    return stages


def read_tests(path):
    """Counts of the tests on a GPU in a GoogleTest run (others test the harness); nothing where it left no results."""
    try:
        suites = json.loads(path.read_text())["testsuites"]
    except (OSError, ValueError, KeyError):
        return None
    tests = [test for suite in suites for test in suite["testsuite"] if "/cuda_" in test["name"] or test.get("failures")]
    failed = [f"{test['classname']}.{test['name']}" for test in tests if test.get("failures")]
    skipped = sum(test.get("result") == "SKIPPED" for test in tests)
    run = sum(test.get("status") == "RUN" for test in tests)
    return {"passed": run - skipped - len(failed), "skipped": skipped, "failed": failed}


def read_bench(path):
    """What `bench --json` printed, after whatever it warned of."""
    try:
        lines = path.read_text().splitlines()
        return json.loads("\n".join(lines[lines.index("{"):]))
    except (OSError, ValueError):
        return None


def read_training(path):
    """Figures of the steps in metrics.jsonl."""
    try:
        lines = [json.loads(line) for line in path.read_text().splitlines()]
    except (OSError, ValueError):
        return None
    steps = [line for line in lines if "loss" in line]
    if not steps:
        return None
    timed = steps[WARM_UP_STEPS:] or steps
    memory = steps[-1]["mem"]
    result = {
        "steps": len(steps),
        "tokens_per_s": statistics.median(step["tokens_per_s"] for step in timed),
        "ms": statistics.median(step["dt_ms"] for step in timed),
        "first_loss": float(steps[0]["loss"]),
        "last_loss": float(steps[-1]["loss"]),
        "planned_bytes": memory["planned"],
        "allocated_bytes": memory["allocated"],
    }
    if "mfu" in steps[-1]:
        result["mfu"] = statistics.median(step["mfu"] for step in timed if "mfu" in step)
    if "device_used" in memory:
        result["device_used_bytes"] = memory["device_used"]
        result["context_bytes"] = memory.get("device_context", 0)
        result["beyond_plan_bytes"] = memory["device_used"] - result["context_bytes"] - memory["planned"]
    return result


def read_graphs(folder):
    """Whether the steps of a run with CUDA graphs have the bits of those without, and how fast both are."""
    runs = {}
    for graph in ("true", "false"):
        path = folder / f"graph_{graph}" / "metrics.jsonl"
        training = read_training(path)
        if training is None:
            return None
        steps = [json.loads(line) for line in path.read_text().splitlines()]
        figures = [(step["loss"], step["grad_norm"], step.get("val_loss")) for step in steps if "loss" in step]
        runs[graph] = (figures, training["ms"])
    return {"steps": len(runs["true"][0]), "same_bits": runs["true"][0] == runs["false"][0], "ms": runs["true"][1],
            "ms_without": runs["false"][1]}


def failures_of_graphs(graphs):
    if graphs is None:
        return ["graph: left no steps"]
    return [] if graphs["same_bits"] else ["graph: losses with cuda_graph are not those without"]


def failures_of_stage(stage):
    if stage["status"] in TIMED_OUT:
        return [f"{stage['name']}: no time left (after {stage['seconds']} s)"]
    return [f"{stage['name']}: exit status {stage['status']}"] if stage["status"] else []


def failures_of_tests(name, tests):
    if tests is None:
        return [f"{name}: left no results"]
    if tests["failed"]:
        return [f"{name}: {len(tests['failed'])} tests failed, such as {tests['failed'][0]}"]
    return [] if tests["passed"] else [f"{name}: no test ran"]


def failures_of_training(training):
    if training is None:
        return ["train: left no steps"]
    failures = []
    if not math.isfinite(training["last_loss"]) or training["last_loss"] >= training["first_loss"]:
        failures.append(f"train: the loss went from {training['first_loss']} to {training['last_loss']}")
    if training["allocated_bytes"] != training["planned_bytes"]:
        failures.append(f"train: {training['allocated_bytes']} bytes allocated, {training['planned_bytes']} planned")
    if "beyond_plan_bytes" not in training:
        failures.append("train: no device memory in metrics.jsonl, so it did not train on the GPU")
    elif training["beyond_plan_bytes"] > max(BEYOND_PLAN_SHARE * training["planned_bytes"], BEYOND_PLAN_BYTES):
        failures.append(f"train: the driver counts {training['beyond_plan_bytes'] / MIB:.0f} MiB beyond context and plan")
    return failures


def make_report(folder):
    stages = read_stages(folder)
    ran = {stage["name"] for stage in stages}
    text_of = lambda name: (folder / name).read_text().strip() if (folder / name).exists() else ""
    report = {"gpu": text_of("gpu.txt"), "toolkit": text_of("nvcc.txt"), "stages": stages, "tests": {}}
    failures = [failure for stage in stages for failure in failures_of_stage(stage)]
    if "build" not in ran:
        failures.append("build: did not run")
    for name in ("conformance", "memcheck", "racecheck"):
        if name in ran:
            report["tests"][name] = read_tests(folder / f"{name}.json")
            failures += failures_of_tests(name, report["tests"][name])
    if "ops" in ran:
        report["bench"] = read_bench(folder / "ops.log")
        if report["bench"] is None:
            failures.append("ops: bench left no JSON")
    if "graph" in ran:
        report["graph"] = read_graphs(folder / "runs")
        failures += failures_of_graphs(report["graph"])
    if "train" in ran:
        report["train"] = read_training(folder / "runs" / "check" / "metrics.jsonl")
        failures += failures_of_training(report["train"])
    report["failures"] = failures
    return report


def op_rows(bench):
    """The slowest ops of a step, with the rate they reach."""
    yield f"  {'op':<28} {'shape':<34} {'calls':>5} {'ms':>9} {'floor':>9} {'of floor':>8}"
    for op in bench["ops"]:
        share = 100 * op["floor_ms"] / op["ms"] if op["ms"] else 0
        yield (f"  {op['name']:<28} {op['shape']:<34} {op['calls']:>5} {op['ms']:>9.3f} {op['floor_ms']:>9.3f} "
               f"{share:>6.0f} %")


def race_rows(race):
    """Attention by our kernels and by cuDNN's, or why they did not race."""
    if "skipped" in race:
        yield f"attention against cuDNN: skipped: {race['skipped']}"
        return
    for name in ("forward_ms", "backward_ms"):
        ours, cudnn = race["virgil"][name], race["cudnn"][name]
        yield f"attention against cuDNN, {name[:-3]}: {ours:.3f} and {cudnn:.3f} ms, {cudnn / ours:.2f} times as fast"


def table(report):
    yield f"GPU: {report['gpu']}; {report['toolkit']}"
    for stage in report["stages"]:
        outcome = "ok" if stage["status"] == 0 else "FAILED"
        tests = report["tests"].get(stage["name"])
        counts = f"{tests['passed']} passed, {len(tests['failed'])} failed, {tests['skipped']} skipped" if tests else ""
        yield f"  {stage['name']:<12} {outcome:<7} {stage['seconds']:>4} s  {counts}".rstrip()
    bench = report.get("bench")
    if bench:
        peaks = ", ".join(f"{gflops / 1000:.1f} TFLOP/s in {dtype}" for dtype, gflops in bench["gemm_peak_gflops"].items())
        yield f"measured peak: {peaks}; {bench['bandwidth_gb_per_s']:.0f} GB/s"
        yield from op_rows(bench)
        yield from race_rows(bench["cudnn"]) if "cudnn" in bench else ()
    graphs = report.get("graph")
    if graphs:
        yield f"CUDA graphs: {graphs['ms']:.2f} ms a step of a small model, {graphs['ms_without']:.2f} without"
    training = report.get("train")
    if training:
        yield (f"training: {training['tokens_per_s']:,.0f} tokens/s, {training['ms']:.1f} ms a step, loss "
               f"{training['first_loss']:.3f} to {training['last_loss']:.3f} in {training['steps']} steps")
        beyond = training.get("beyond_plan_bytes")
        driver = f"; the driver counts {beyond / MIB:+.0f} MiB beyond context and plan" if beyond is not None else ""
        yield (f"memory: {training['planned_bytes'] / MIB:.1f} MiB planned, {training['allocated_bytes'] / MIB:.1f} MiB "
               f"allocated{driver}")
    for failure in report["failures"]:
        yield f"FAILED {failure}"


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    report = make_report(pathlib.Path(sys.argv[1]))
    pathlib.Path(sys.argv[2]).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print("\n".join(table(report)))
    print(f"written: {sys.argv[2]}")
    return 1 if report["failures"] else 0


if __name__ == "__main__":
    sys.exit(main())

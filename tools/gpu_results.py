"""What the stages of tools/gpu_check.sh left in their folder, as one object, and what of it is a failure."""

import json
import math
import statistics

WARM_UP_STEPS = 5
# Of the driver's count beyond context and plan: code loaded at its first use, cuBLASLt's own memory, rounding to 2 MiB.
BEYOND_PLAN_SHARE = 0.10
BEYOND_PLAN_BYTES = 256 << 20
MIB = 1 << 20
# What reading of figures that are not there, or are not figures, raises.
BAD_DATA = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
# Of the loss after each of 50 steps on the GPU against the CPU's in float32. Other roundings grow from step to step: bfloat16 instead of
# float32 moves it on a CPU by 0.07 % at most. In float32 the GPU stays below about that, in 16 bits below a few of it; a wrong op does not.
LOSS_SHARE_FLOAT32 = 0.001
LOSS_SHARE_16_BITS = 0.005


def text_of(path):
    return path.read_text(encoding="utf-8", errors="replace").strip() if path.exists() else ""


def read_stages(folder):
    """The stages in order with their last outcome; those that were asked for and have not begun are not done."""
    stages = {}
    for line in text_of(folder / "stages.tsv").splitlines():
        name, outcome, status, seconds, why = (line.split("\t") + [""])[:5]
        stages[name] = {"name": name, "outcome": outcome, "status": int(status), "seconds": int(seconds), "why": why}
    for name in text_of(folder / "asked.txt").splitlines():
        stages.setdefault(name, {"name": name, "outcome": "not done", "status": 0, "seconds": 0, "why": "not begun"})
    return list(stages.values())


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


def read_presets(folder):
    """By name: the step of each preset, or why there is none."""
    presets = {path.stem: {"skipped": text_of(path)} for path in sorted(folder.glob("*.no"))}
    for path in sorted(folder.glob("*.json")):
        bench = read_bench(path)
        if bench is not None:
            presets[path.stem] = {**bench["step"], **bench["memory"], "peak_gflops": bench["gemm_peak_gflops"]}
    return presets


def read_steps(path):
    """The lines of metrics.jsonl that are steps."""
    try:
        lines = [json.loads(line) for line in path.read_text().splitlines()]
    except (OSError, ValueError):
        return []
    return [line for line in lines if "loss" in line]


def read_planned(run):
    """Bytes that the last start of a run planned; None where run.json does not tell."""
    try:
        return json.loads((run / "run.json").read_text())["sessions"][-1]["planned"]
    except (OSError, ValueError, LookupError, TypeError):
        return None


def read_training(path):
    """Figures of the steps in metrics.jsonl."""
    steps = read_steps(path)
    planned = read_planned(path.parent)
    if not steps or planned is None:
        return None
    timed = steps[WARM_UP_STEPS:] or steps
    memory = steps[-1]["mem"]
    result = {
        "steps": len(steps),
        "tokens_per_s": statistics.median(step["tokens_per_s"] for step in timed),
        "ms": statistics.median(step["dt_ms"] for step in timed),
        "first_loss": float(steps[0]["loss"]),
        "last_loss": float(steps[-1]["loss"]),
        "planned_bytes": planned,
        "allocated_bytes": memory["allocated"],
    }
    if "mfu" in steps[-1]:
        result["mfu"] = statistics.median(step["mfu"] for step in timed if "mfu" in step)
    if "device_used" in memory:
        result["device_used_bytes"] = memory["device_used"]
        result["context_bytes"] = memory.get("device_context", 0)
        held = result["context_bytes"] + memory.get("device_others", 0)
        result["beyond_plan_bytes"] = memory["device_used"] - held - planned
    return result


def read_determinism(runs):
    """Whether the same steps have the same bits, run again, and without CUDA graphs; and how fast they are with and without."""
    figures, ms = {}, {}
    for name in ("graphs", "graphs_again", "no_graphs"):
        steps = read_steps(runs / name / "metrics.jsonl")
        if not steps:
            return None
        figures[name] = [(step["loss"], step["grad_norm"], step.get("val_loss")) for step in steps]
        ms[name] = read_training(runs / name / "metrics.jsonl")["ms"]
    return {"steps": len(figures["graphs"]), "same_bits_again": figures["graphs"] == figures["graphs_again"],
            "same_bits_without_graphs": figures["graphs"] == figures["no_graphs"], "ms": ms["graphs"], "ms_without_graphs": ms["no_graphs"]}


def read_loss(runs):
    """The losses of the same steps on the CPU and on the GPU, by type of the GPU's."""
    losses = {path.parent.name[len("loss_"):]: [float(step["loss"]) for step in read_steps(path)]
              for path in runs.glob("loss_*/metrics.jsonl")}
    expected = losses.pop("cpu", [])
    if not expected:
        return None
    result = {"steps": len(expected), "cpu": expected[-1], "types": {}}
    for dtype, values in sorted(losses.items()):
        if len(values) == len(expected):
            shares = [abs(value - loss) / loss for value, loss in zip(values, expected)]
            # max() passes over a NaN that does not stand first.
            worst = max(shares) if all(map(math.isfinite, values)) else math.inf
            result["types"][dtype] = {"last": values[-1], "largest_difference": worst}
    return result


def failures_of_stage(folder, stage):
    if stage["outcome"] == "failed":
        return [f"{stage['name']}: {stage['why'] or 'failed'}"]
    if stage["outcome"] == "not done":  # what failed before it was stopped has failed all the same
        failed = [line for line in text_of(folder / f"{stage['name']}.log").splitlines() if line.startswith("[  FAILED  ]")]
        return [f"{stage['name']}: {failed[0].split(']', 1)[1].strip()} failed before the stage was stopped"] if failed else []
    return []


def failures_of_tests(name, tests):
    if tests is None:
        return [f"{name}: left no results"]
    if tests["failed"]:
        return [f"{name}: {len(tests['failed'])} tests failed, such as {tests['failed'][0]}"]
    return [] if tests["passed"] else [f"{name}: no test ran"]


def failures_of_determinism(result):
    if result is None:
        return ["determinism: left no steps"]
    failures = []
    if not result["same_bits_again"]:
        failures.append("determinism: the same steps, run again, have other losses")
    if not result["same_bits_without_graphs"]:
        failures.append("determinism: losses without cuda_graph are not those with it")
    return failures


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


def failures_of_loss(loss):
    if loss is None or not loss["types"]:
        return ["loss: left no steps of both devices"]
    failures = []
    for dtype, result in loss["types"].items():
        most = LOSS_SHARE_FLOAT32 if dtype == "float32" else LOSS_SHARE_16_BITS
        if not result["largest_difference"] <= most:
            failures.append(f"loss: in {dtype} it differs from the CPU's by up to {result['largest_difference']:.2%}, {most:.1%} is allowed")
    return failures


# Stage: the report's field, what reads it, and what it says against it.
READERS = {
    "ops": ("bench", lambda folder: read_bench(folder / "ops.log"), lambda bench: [] if bench else ["ops: bench left no JSON"]),
    "determinism": ("determinism", lambda folder: read_determinism(folder / "runs"), failures_of_determinism),
    "presets": ("presets", lambda folder: read_presets(folder / "presets"), lambda presets: [] if presets else ["presets: no step of any"]),
    "train": ("train", lambda folder: read_training(folder / "runs" / "check" / "metrics.jsonl"), failures_of_training),
    "loss": ("loss", lambda folder: read_loss(folder / "runs"), failures_of_loss),
}
TESTS = ("conformance", "memcheck", "racecheck")


def read_stage(folder, name, ended, report):
    """Puts what the stage left into its field, and returns what is to be said against it. Whatever it left, there is a report."""
    field, read, judge = READERS[name]
    try:
        report[field] = read(folder)
        # A stage that was stopped may have left half of what is judged.
        return judge(report[field]) if ended else []
    except BAD_DATA as error:
        report[field] = None
        return [f"{name}: what it left cannot be read: {type(error).__name__}: {error}"]


def read_results(folder):
    """The whole object, but for predictions."""
    stages = read_stages(folder)
    report = {"gpu": text_of(folder / "gpu.txt"), "toolkit": text_of(folder / "nvcc.txt"), "source": text_of(folder / "source.txt"),
              "stages": stages, "tests": {}}
    failures = [failure for stage in stages for failure in failures_of_stage(folder, stage)]
    for stage in stages:
        name, ended = stage["name"], stage["outcome"] in ("ok", "failed")
        if name in TESTS and ended:
            report["tests"][name] = read_tests(folder / f"{name}.json")
            failures += failures_of_tests(name, report["tests"][name])
        elif name in READERS and (ended or stage["seconds"]):
            failures += read_stage(folder, name, ended, report)
    asked = text_of(folder / "asked.txt").splitlines()
    report["failures"] = failures
    report["not_done"] = [stage["name"] for stage in stages if stage["outcome"] == "not done" and stage["name"] in asked]
    report["do_the_rest"] = text_of(folder / "again.txt") if report["not_done"] else ""
    report["no_gpu"] = text_of(folder / "no_gpu.txt")
    return report

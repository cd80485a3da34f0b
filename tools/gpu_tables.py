"""A report of tools/gpu_check.sh as text for a terminal, and as tables for docs/performance.md."""

MIB = 1 << 20


def op_rows(bench):
    """The slowest ops of a step, with the rate they reach."""
    yield f"  {'op':<28} {'shape':<34} {'calls':>5} {'ms':>9} {'floor':>9} {'predicted':>9} {'of floor':>8}"
    for op in bench["ops"]:
        share = 100 * op["floor_ms"] / op["ms"] if op["ms"] else 0
        predicted = f"{op['predicted_ms']:>9.3f}" if "predicted_ms" in op else f"{'-':>9}"
        yield (f"  {op['name']:<28} {op['shape']:<34} {op['calls']:>5} {op['ms']:>9.3f} {op['floor_ms']:>9.3f} {predicted} "
               f"{share:>6.0f} %")


def race_rows(race):
    """Attention by our kernels and by cuDNN's, or why they did not race."""
    if "skipped" in race:
        yield f"attention against cuDNN: skipped: {race['skipped']}"
        return
    for name in ("forward_ms", "backward_ms"):
        ours, cudnn = race["virgil"][name], race["cudnn"][name]
        yield f"attention against cuDNN, {name[:-3]}: {ours:.3f} and {cudnn:.3f} ms, {cudnn / ours:.2f} times as fast"


def bench_rows(bench):
    peaks = ", ".join(f"{gflops / 1000:.1f} TFLOP/s in {dtype}" for dtype, gflops in bench["gemm_peak_gflops"].items())
    yield f"measured peak: {peaks}; {bench['bandwidth_gb_per_s']:.0f} GB/s"
    yield from op_rows(bench)
    yield from race_rows(bench["cudnn"]) if "cudnn" in bench else ()


def preset_rows(presets):
    yield f"  {'preset':<12} {'ms a step':>10} {'tokens/s':>10} {'of dense rate':>14} {'predicted ms':>13} {'planned MiB':>12} {'driver MiB':>11}"
    for name, step in presets.items():
        if "skipped" in step:
            yield f"  {name:<12} {step['skipped'][:110]}"
            continue
        share = f"{step['share_of_dense_rate']:>13.1%}" if "share_of_dense_rate" in step else f"{'-':>13}"
        predicted = f"{step['predicted']['ms']:>12,.1f}" if "predicted" in step else f"{'-':>12}"
        yield (f"  {name:<12} {step['ms']:>10,.1f} {step['tokens_per_s']:>10,.0f} {share}  {predicted} {step['planned'] / MIB:>12,.0f} "
               f"{step['resident_growth'] / MIB:>11,.0f}")


def determinism_rows(result):
    same = "the same bits" if result["same_bits_again"] else "OTHER BITS"
    without = "the same bits" if result["same_bits_without_graphs"] else "OTHER BITS"
    yield (f"determinism: {same} again, {without} without CUDA graphs; {result['ms']:.2f} ms a step of a small model, "
           f"{result['ms_without_graphs']:.2f} without graphs")


def training_rows(training):
    yield (f"training: {training['tokens_per_s']:,.0f} tokens/s, {training['ms']:.1f} ms a step, loss "
           f"{training['first_loss']:.3f} to {training['last_loss']:.3f} in {training['steps']} steps")
    beyond = training.get("beyond_plan_bytes")
    driver = f"; the driver counts {beyond / MIB:+.0f} MiB beyond context and plan" if beyond is not None else ""
    yield (f"memory: {training['planned_bytes'] / MIB:.1f} MiB planned, {training['allocated_bytes'] / MIB:.1f} MiB "
           f"allocated{driver}")


def loss_rows(loss):
    for dtype, result in loss["types"].items():
        yield (f"loss after {loss['steps']} steps: {result['last']:.4f} in {dtype}, {loss['cpu']:.4f} on the CPU in float32; "
               f"at most {result['largest_difference']:.3%} apart on the way")


ROWS = {"bench": bench_rows, "presets": preset_rows, "determinism": determinism_rows, "train": training_rows, "loss": loss_rows}


def text(report):
    yield f"GPU: {report['gpu'] or 'none'}; {report['toolkit'] or 'no toolkit'}"
    for stage in report["stages"]:
        outcome = stage["outcome"] if stage["outcome"] != "failed" else "FAILED"
        tests = report["tests"].get(stage["name"])
        counts = f"{tests['passed']} passed, {len(tests['failed'])} failed, {tests['skipped']} skipped" if tests else stage["why"]
        yield f"  {stage['name']:<12} {outcome:<8} {stage['seconds']:>4} s  {counts}".rstrip()
    for field, rows in ROWS.items():
        if report.get(field):
            yield from rows(report[field])
    for failure in report["failures"]:
        yield f"FAILED {failure}"
    if report["not_done"]:
        yield f"not done: {', '.join(report['not_done'])}; to do the rest: {report['do_the_rest']}"


# --- Markdown ---


def ratio(measured, predicted):
    return f"{measured / predicted:.2f}"


def markdown_presets(presets):
    yield "| preset | predicted: ms a step, tokens/s, of the dense rate | measured | measured time / predicted | planned, by the driver (MiB) |"
    yield "|---|---|---|---|---|"
    cell = lambda ms, rate, share: f"{ms:,.1f}, {round(rate, -2):,.0f}, " + (f"{share:.0%}" if share is not None else "-")
    for name, step in presets.items():
        if "skipped" in step:
            yield f"| {name} | - | not run: {step['skipped'][:110]} | - | - |"
            continue
        predicted = step.get("predicted")
        measured = cell(step["ms"], step["tokens_per_s"], step.get("share_of_dense_rate"))
        yield (f"| {name} | {cell(*(predicted[key] for key in ('ms', 'tokens_per_s', 'share_of_dense_rate'))) if predicted else '-'} | {measured} | "
               f"{ratio(step['ms'], predicted['ms']) if predicted else '-'} | {step['planned'] / MIB:,.0f}, {step['resident_growth'] / MIB:,.0f} |")


def markdown_ops(bench):
    yield "| op | shape | calls a step | floor, us | predicted, us | measured, us | of floor | measured / predicted |"
    yield "|---|---|---|---|---|---|---|---|"
    for op in bench["ops"]:
        predicted = op.get("predicted_ms")
        yield (f"| {op['name']} | {op['shape']} | {op['calls']} | {1e3 * op['floor_ms']:,.1f} | {f'{1e3 * predicted:,.1f}' if predicted else '-'} | "
               f"{1e3 * op['ms']:,.1f} | {op['floor_ms'] / op['ms']:.0%} | {ratio(op['ms'], predicted) if predicted else '-'} |")


def markdown(report):
    """What docs/performance.md takes of a GPU."""
    yield f"Measured on {report.get('gpu') or 'no GPU'}; {report.get('toolkit') or 'no toolkit'}; sources {report.get('source') or 'unknown'}."
    rates = report.get("rates")
    if rates:
        assumed = f"predicted with the efficiencies assumed of {rates['efficiency_of']}" if rates["efficiency_of"] else "not predicted"
        yield f"Dense rate {rates['bfloat16_tflops']} TFLOP/s in bfloat16, {rates['bandwidth_gb_per_s']} GB/s ({rates['name']}); {assumed}."
    for field, rows in {"presets": markdown_presets, "bench": markdown_ops}.items():
        if report.get(field):
            yield ""
            yield from rows(report[field])
    lines = [line for field in ("determinism", "train", "loss") if report.get(field) for line in ROWS[field](report[field])]
    if "cudnn" in report.get("bench", {}):
        lines = [*race_rows(report["bench"]["cudnn"]), *lines]
    yield ""
    yield from (f"- {line}" for line in lines)

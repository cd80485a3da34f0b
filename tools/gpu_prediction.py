"""What tools/predict_step.py says of the GPU, the ops and the presets of a report of tools/gpu_check.sh."""

import re

import predict_step

# Its tensor cores and memory are nearest to those of the other; none of its own is in predict_step.GPUS.
SAME_EFFICIENCY = {8.6: 8.9, 12.0: 8.9, 10.0: 9.0}


def words_of(name):
    return set(re.split(r"[^A-Za-z0-9]+", name.upper())) - {"NVIDIA", "GEFORCE", "TESLA", ""}


def find_rates(description):
    """The GPU of data/gpus.json that "name, compute capability, driver, memory" means; nothing where there is none."""
    parts = [part.strip() for part in description.split(",")]
    if len(parts) != 4:
        return None
    words, memory_mib = words_of(parts[0]), float(re.sub(r"[^0-9.]", "", parts[3]) or 0)
    best = None
    for gpu in predict_step.load_rates().values():
        for name in (gpu["name"], *gpu["aliases"]):
            if words_of(name) <= words and str(gpu["compute_capability"]) == parts[1]:
                rank = (len(words_of(name)), -abs(gpu["memory_mib"] - memory_mib))
                if best is None or rank > best[0]:
                    best = (rank, gpu)
    return best and best[1]


def find_efficiency(rates):
    """What predict_step assumes of this GPU, or of one of the same kind; nothing where it assumes nothing of the kind."""
    known = {gpu.name: gpu for gpu in predict_step.GPUS}
    if rates["name"] in known:
        return known[rates["name"]]
    capability = rates["compute_capability"]
    of_kind = {predict_step.load_rates()[name]["compute_capability"]: gpu for name, gpu in known.items()}
    return of_kind.get(capability) or of_kind.get(SAME_EFFICIENCY.get(capability))


def predicted_op_ms(op, gpu, rates):
    """Of an op of bench's: from its bytes and operations, with attention's backward pass as it is made."""
    attention = op["name"].startswith("attention_")
    flops = op["flops"]
    if op["name"] == "attention_backward":
        flops *= predict_step.KERNELS["attention_backward"].made  # bench counts what is needed
    cost = predict_step.Op(op["name"], bytes=op["bytes"], matmul_flops=0 if attention else flops, attention_flops=flops if attention else 0,
                           launch_s=predict_step.GRAPH_LAUNCH_S)
    return cost.seconds(gpu, rates) * 1e3


def add_predictions(report):
    """Puts predicted_ms and the like beside what was measured, and the share of the GPU's dense rate."""
    rates = find_rates(report["gpu"])
    gpu = rates and rates["bfloat16_tflops"] and find_efficiency(rates)
    report["rates"] = rates and {**rates, "efficiency_of": gpu.name if gpu else None}
    for op in (report.get("bench") or {}).get("ops", ()):
        if gpu and op["phase"] != "inference":
            op["predicted_ms"] = predicted_op_ms(op, gpu, rates)
    for name, step in (report.get("presets") or {}).items():
        path = predict_step.ROOT / "configs" / f"{name}.json"
        if "skipped" in step:
            continue
        if rates and step["dtype"] != "float32" and rates[f"{step['dtype']}_tflops"]:
            step["share_of_dense_rate"] = step["model_gflops"] / (rates[f"{step['dtype']}_tflops"] * 1e3)
        if gpu and path.exists():
            try:
                ms, tokens_per_s, share = predict_step.figures(predict_step.read_step(path), gpu, rates)
                step["predicted"] = {"ms": ms, "tokens_per_s": tokens_per_s, "share_of_dense_rate": share}
            except (OSError, ValueError) as error:  # no calc_params here: what was measured stands without
                step["not_predicted"] = str(error)



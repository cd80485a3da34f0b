#!/usr/bin/env python3
"""Makes one JSON and a short table of what the stages of tools/gpu_check.sh left, and says what failed.

    tools/gpu_report.py [--quiet] FOLDER OUTPUT
    tools/gpu_report.py --markdown JSON [JSON ...]

--markdown prints the tables of docs/performance.md, with prediction and measurement side by side, from reports of one GPU: of each part the
last one counts that has it.

Exit status: 1 something failed, 3 a stage is not done, 77 there is no GPU, else 0.
"""

import argparse
import json
import os
import pathlib
import sys

import gpu_prediction
import gpu_results
import gpu_tables


def write(path, text):
    """All of it or nothing: a check may be stopped at any time."""
    scratch = path.with_name(path.name + ".tmp")
    scratch.write_text(text, encoding="utf-8")
    os.replace(scratch, path)


def report_status(report):
    if report["failures"]:
        return 1
    if report["not_done"]:
        return 3
    return 77 if report["no_gpu"] else 0


def merge(reports):
    merged = {}
    for report in reports:
        for key, value in report.items():
            if value:
                merged[key] = {**merged.get(key, {}), **value} if isinstance(value, dict) else value
    return merged


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quiet", action="store_true", help="only write the JSON")
    parser.add_argument("--markdown", action="store_true", help="print tables for docs/performance.md")
    parser.add_argument("paths", nargs="+", type=pathlib.Path)
    arguments = parser.parse_args()
    if arguments.markdown:
        print("\n".join(gpu_tables.markdown(merge(json.loads(path.read_text(encoding="utf-8")) for path in arguments.paths))))
        return 0
    if len(arguments.paths) != 2:
        parser.error("give the folder of the stages and the file to write")
    folder, output = arguments.paths
    report = gpu_results.read_results(folder)
    # Whatever the stages left: the report is worth more than its predictions and its tables.
    try:
        gpu_prediction.add_predictions(report)
        lines = list(gpu_tables.text(report))
    except gpu_results.BAD_DATA as error:
        report["failures"].append(f"report: what the stages left cannot be tabulated: {type(error).__name__}: {error}")
        lines = [f"FAILED {failure}" for failure in report["failures"]]
    write(output, json.dumps(report, indent=2) + "\n")
    if not arguments.quiet:
        print("\n".join([*lines, f"written: {output}"]))
    return report_status(report)


if __name__ == "__main__":
    sys.exit(main())

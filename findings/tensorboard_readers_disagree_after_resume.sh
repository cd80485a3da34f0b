#!/usr/bin/env bash
# `tensorboard` 2.21.0: what a resumed run shows depends on which of TensorBoard's three readers looks. A run writes steps 0 to 9, is stopped,
# and is resumed at step 5 into a second event file of the same folder (steps 5 to 7, written with TensorBoard's own EventFileWriter). Whether
# the steps 5 to 9 of the first file are dropped:
#
#   a SessionLog START is in ...   EventAccumulator   --load_fast=false   --load_fast=true (data server)
#   neither file                   kept: 13 points    kept: 13 points     dropped: 8 points
#   the second file alone          dropped            kept: 13 points     dropped
#   both files                     dropped            dropped             dropped
#
# One would expect the readers to agree, and a START at the resumed step to be enough. The loader in Python passes over the first START that it
# meets, whichever file it is in; the data server asks for none. A writer whose curves should be the same everywhere begins each file with a START,
# the first one too, or keeps one file in which no step comes twice.
# Seen: the table above (tensorboard 2.21.0, tensorboard-data-server 0.7.2, Python 3.11).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet tensorboard==2.21.0 tensorboard-data-server==0.7.2 'setuptools<81'
"$folder/venv/bin/python" - "$folder" 2>/dev/null <<'END'
import json
import pathlib
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.summary.writer.event_file_writer import EventFileWriter

ALL = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 105, 106, 107]
CLEAN = [0, 1, 2, 3, 4, 105, 106, 107]


def write(run, steps, offset, start):
    """One event file; `start` says whether it begins with a session."""
    writer = EventFileWriter(str(run), filename_suffix=f".{steps[0]}")
    if start:
        session = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
        writer.add_event(event_pb2.Event(wall_time=time.time(), step=steps[0], session_log=session))
    for step in steps:
        value = summary_pb2.Summary.Value(tag="loss", simple_value=offset + step)
        writer.add_event(event_pb2.Event(wall_time=time.time(), step=step, summary=summary_pb2.Summary(value=[value])))
    writer.close()
    time.sleep(1.1)  # names, which order the files, have a resolution of a second


def accumulated(run):
    events = EventAccumulator(str(run))
    events.Reload()
    return [int(event.value) for event in events.Scalars("loss")]


def served(logs, load_fast):
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(logs), "--port", "0", "--load_fast", load_fast]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    try:
        address = next(word for line in server.stderr for word in line.split() if word.startswith("http://")).rstrip("/")
        query = urllib.parse.urlencode({"run": "run", "tag": "loss"})
        for _ in range(300):  # until both files have been read
            time.sleep(0.1)
            try:
                with urllib.request.urlopen(f"{address}/data/plugin/scalars/scalars?{query}", timeout=10) as answer:
                    values = [int(value) for _, _, value in json.load(answer)]
            except urllib.error.HTTPError:
                continue
            if 107 in values:
                return values
        raise TimeoutError(address)
    finally:
        server.terminate()
        server.communicate()


expected = {(False, False): (ALL, ALL, CLEAN), (False, True): (CLEAN, ALL, CLEAN), (True, True): (CLEAN, CLEAN, CLEAN)}
for (first, second), outcome in expected.items():
    logs = pathlib.Path(sys.argv[1]) / f"logs-{first}-{second}"
    run = logs / "run"
    run.mkdir(parents=True)
    write(run, range(0, 10), 0, first)
    write(run, range(5, 8), 100, second)
    found = (accumulated(run), served(logs, "false"), served(logs, "true"))
    print("START in the first:", first, "in the second:", second, *(len(values) for values in found), flush=True)
    assert found == outcome, found
END

#!/usr/bin/env python3
"""Checks that TensorBoard's own readers see each step of a run once, also of one that was killed and resumed.

    check_tensorboard.py --train BINARY

A small model is trained with a kill in the middle, then resumed from its last checkpoint and stopped and resumed once more. Its event file
is read with EventAccumulator, and through the web server with each of its two loaders (load_fast false and true: the loader in Python and
the data server). All three must give the figures of metrics.jsonl, the samples and the hyperparameters.
Exit status: 0 equal, 1 not, 77 (ctest: skipped) when tensorboard is missing.
"""

import argparse
import json
import pathlib
import signal
import struct
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

SKIPPED = 77
STEPS = 60
TEXT = "Nel mezzo del cammin di nostra vita mi ritrovai per una selva oscura. " * 80
SCALARS = {"loss/train": "loss", "loss/smoothed": "loss_smoothed", "loss/val": "val_loss", "train/learning_rate": "lr"}


def as_float32(number):
    return struct.unpack("f", struct.pack("f", number))[0]


def train_command(train, folder, *more):
    return [train, "--out_dir", str(folder / "runs"), "--model_name", "run", *more]


def first_command(train, folder):
    flags = {"input": folder / "text.txt", "tokenizer": "char", "n_layer": 1, "n_head": 2, "n_embd": 32, "block_size": 32, "batch_size": 4,
             "max_iters": STEPS, "lr_decay_iters": STEPS, "warmup_iters": 5, "eval_interval": 10, "sample_interval": 20, "save_interval": 10,
             "sample_tokens": 20, "threads": 1, "device": "cpu", "dtype": "float32"}
    return train_command(train, folder, *(word for key, value in flags.items() for word in (f"--{key}", str(value))))


def stop_after(command, figures, step, how):
    """Ends the command by a signal once its metrics hold that step."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None and not (figures.exists() and f'"step":{step},' in figures.read_text(encoding="utf-8")):
            time.sleep(0.005)
        process.send_signal(how)
        process.wait()


def expected_figures(run):
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    scalars = {tag: [(line["step"], as_float32(line[key])) for line in lines if key in line] for tag, key in SCALARS.items()}
    samples = [(line["step"], line["sample"]) for line in lines if "sample" in line]
    return scalars, samples


def read_accumulated(run):
    """Scalars and samples by EventAccumulator, which other programs read event files with."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run), size_guidance={"scalars": 0, "tensors": 0})
    events.Reload()
    scalars = {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in SCALARS}
    samples = [(event.step, event.tensor_proto.string_val[0].decode()) for event in events.Tensors("sample")]
    return scalars, samples


def read_hyperparameters(run):
    """As the HParams tab gets them."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams import plugin_data_pb2

    events = EventAccumulator(str(run))
    events.Reload()
    (content,) = events.PluginTagToContent("hparams").values()
    values = plugin_data_pb2.HParamsPluginData.FromString(content).session_start_info.hparams
    return {name: getattr(value, value.WhichOneof("kind")) for name, value in values.items()}


class Server:
    """TensorBoard's web server."""

    def __init__(self, logs, load_fast):
        command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(logs), "--port", "0", "--load_fast", load_fast,
                   "--samples_per_plugin", "scalars=1000,text=1000"]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        self.address = next(word for line in self.process.stderr for word in line.split() if word.startswith("http://"))

    def get(self, path, **query):
        url = f"{self.address.rstrip('/')}/data/{path}?{urllib.parse.urlencode(query)}"
        for _ in range(200):  # until the files have been read
            try:
                with urllib.request.urlopen(url, timeout=10) as answer:
                    return json.load(answer)
            except urllib.error.HTTPError:
                time.sleep(0.1)
        raise TimeoutError(url)

    def close(self):
        self.process.terminate()
        self.process.communicate()


def read_served(logs, load_fast, num_samples):
    server = Server(logs, load_fast)
    try:
        runs = []
        while not runs:
            runs = server.get("runs")
            time.sleep(0.1)
        samples = []
        for _ in range(100):
            samples = server.get("plugin/text/text", run=runs[0], tag="sample")
            if len(samples) >= num_samples:
                break
            time.sleep(0.1)
        scalars = {tag: [(step, value) for _, step, value in server.get("plugin/scalars/scalars", run=runs[0], tag=tag)] for tag in SCALARS}
        return runs, scalars, [(sample["step"], sample["text"]) for sample in samples]
    finally:
        server.close()


def check(train, folder):
    (folder / "text.txt").write_text(TEXT, encoding="utf-8")
    run = folder / "runs" / "run"
    figures = run / "metrics.jsonl"
    resume = train_command(train, folder, "--resume")
    stop_after(first_command(train, folder), figures, 27, signal.SIGKILL)
    stop_after(resume, figures, 43, signal.SIGTERM)
    subprocess.run(resume, check=True, stdout=subprocess.DEVNULL)
    scalars, samples = expected_figures(run)
    assert [step for step, _ in scalars["loss/train"]] == list(range(STEPS)), "steps of metrics.jsonl"
    assert [step for step, _ in samples] == [20, 40, 60], samples
    assert len(list(run.glob("*tfevents*"))) == 1, "one event file"

    accumulated, texts = read_accumulated(run)
    assert accumulated == scalars, "EventAccumulator"
    parameters = read_hyperparameters(run)
    assert (parameters["n_layer"], parameters["tensorboard"], parameters["dtype"]) == (1.0, True, "float32"), parameters
    assert [step for step, _ in texts] == [step for step, _ in samples], "EventAccumulator's samples"
    assert all(text == "    " + sample.replace("\n", "\n    ") for (_, text), (_, sample) in zip(texts, samples)), texts
    for load_fast in ("false", "true"):
        runs, served, shown = read_served(folder / "runs", load_fast, len(samples))
        assert runs == ["run"], runs
        assert served == scalars, f"load_fast {load_fast}"
        assert [step for step, _ in shown] == [step for step, _ in samples], f"samples, load_fast {load_fast}"
        assert all("<code>" in text for _, text in shown), "a sample is shown as it stands"
    print("equal in all readers")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--train", required=True)
    arguments = parser.parse_args()
    try:
        import tensorboard  # noqa: F401
    except ImportError:
        print("skipped: tensorboard is not installed")
        return SKIPPED
    with tempfile.TemporaryDirectory() as folder:
        check(arguments.train, pathlib.Path(folder))
    return 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""sweep: runs for several settings, what it says of them, and how it goes on after a stop."""

import pathlib
import signal
import subprocess
import time

import harness


class Sweep(harness.ProgramTest):
    def sweep_command(self, *extra, **settings):
        merged = {**harness.TINY, "input": self.input, "out_dir": self.out_dir, "model_name": None, "threads": 1, **settings}
        given = harness.flags_of({k: v for k, v in merged.items() if v is not None})
        return [pathlib.Path(self.train).parent / "sweep", *given, *extra]

    def test_trains_compares_and_resumes(self):
        command = self.sweep_command("--learning_rate", "1e-3,1e-2", "--n_layer", "1,2", "--sweep_name", "grid", max_iters=6)
        output = self.run_command(command)
        runs = sorted(p.name for p in (self.out_dir / "grid").iterdir() if p.is_dir())
        self.assertEqual(runs, [f"learning_rate={lr},n_layer={n}" for lr in ("1e-2", "1e-3") for n in (1, 2)])
        lines = output.splitlines()
        (head,) = [i for i, line in enumerate(lines) if line.startswith("run ") and "best val " in line]
        table = lines[head + 1 : head + 5]
        losses = [float(line.split()[1]) for line in table]
        self.assertEqual(losses, sorted(losses), "the best stands first")
        for line, loss in zip(table, losses):
            evaluations = [m["val_loss"] for m in self.metrics(f"grid/{line.split()[0]}") if "val_loss" in m]
            self.assertAlmostEqual(min(evaluations), loss, delta=6e-5)
        self.assertIn("learning_rate", (self.out_dir / "grid/report.html").read_text(encoding="utf-8"))
        before = harness.tree_of(self.out_dir)
        self.assertIn("finished", self.run_command(command))
        self.assertEqual(harness.tree_of(self.out_dir), before, "what is finished is not trained again")

    def test_goes_on_after_a_stop(self):
        command = self.sweep_command("--seed", "1,2", max_iters=3000, save_interval=20, eval_interval=0)
        process = self.start(command)
        first = self.out_dir / "sweep/seed=1"
        end = time.monotonic() + harness.TIMEOUT_S
        while not any(first.glob("step-*")) and time.monotonic() < end:
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=harness.TIMEOUT_S)
        self.assertEqual(process.returncode, 130, output)
        self.assertFalse((self.out_dir / "sweep/seed=2").exists(), "no other run begins")
        done = len(self.metrics("sweep/seed=1"))
        command = self.sweep_command("--seed", "1,2", "--jobs", "2", max_iters=done + 5, save_interval=20, eval_interval=0)
        output = self.run_command(command)
        self.assertIn("seed=2", output)
        self.assertIn("resum", (self.out_dir / "sweep/seed=1.log").read_text(encoding="utf-8"))
        for seed in (1, 2):
            self.assertEqual(len([m for m in self.metrics(f"sweep/seed={seed}") if "loss" in m]), done + 5)

    def test_what_train_refuses_ends_the_sweep(self):
        output = self.run_command(self.sweep_command("--seed", "1,2", input=self.folder / "missing.txt"), expect=2)
        self.assert_says(output, "missing.txt", "start the sweep again")
        self.assertEqual(output.count("sweep    run"), 1)
        output = self.run_command(self.sweep_command("--seed", "1,2", "--dry_run"))
        self.assertEqual(len(output.splitlines()), 2)
        self.assertFalse((self.out_dir / "sweep/seed=1").exists())
        done = subprocess.run(output.splitlines()[0], shell=True, cwd=self.folder, env=harness.ENVIRONMENT, capture_output=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue((self.out_dir / "sweep/seed=1/metrics.jsonl").exists(), "what it prints can be pasted")


if __name__ == "__main__":
    harness.main()

#!/usr/bin/env python3
"""kill -9, damaged checkpoints, a full disk: the last whole checkpoint stands, and damage is named, never loaded."""

import json
import os
import random
import resource
import shutil
import signal
import time

import harness


class Kill(harness.ProgramTest):
    SETTINGS = {"max_iters": 120, "lr_decay_iters": 120, "save_interval": 1, "eval_interval": 10, "keep_last": 2}

    def test_during_checkpoints_leaves_a_run_that_goes_on_bit_for_bit(self):
        self.run_train(model_name="whole", **self.SETTINGS)
        draw = random.Random(3)  # moments of death; with a checkpoint a step most fall into one
        kills = 0
        for _ in range(30):
            resume = ["--resume"] if self.run_folder().exists() and self.step_checkpoints() else ["--overwrite"]
            with self.running_train(*resume, **self.SETTINGS) as process:
                for line in process.stdout:
                    if line.startswith("step "):
                        break
                time.sleep(draw.uniform(0.0, 0.08))
                if process.poll() is not None:
                    break
                process.send_signal(signal.SIGKILL)
                process.wait(timeout=harness.TIMEOUT_S)
            kills += 1
        self.assertGreaterEqual(kills, 3, "the run ended before it could be killed often enough")
        output = self.run_train("--resume", **self.SETTINGS)
        self.assert_same_checkpoint(self.run_folder("whole") / "step-00000120", self.run_folder() / "step-00000120")
        self.assertEqual(self.figures("whole"), self.figures(), output)
        leftovers = [p.name for p in self.run_folder().iterdir() if ".tmp" in p.name]
        self.assertEqual(leftovers, [])


class Damage(harness.ProgramTest):
    def setUp(self):
        super().setUp()
        self.run_train()
        self.newest = self.step_checkpoints()[-1]

    def assert_refused(self, *words):
        before = harness.tree_of(self.out_dir)
        output = self.run_train("--resume", expect=2, max_iters=40)
        self.assert_says(output, self.newest.name, *words)
        self.assertEqual(harness.tree_of(self.out_dir), before, "a refused resume must change nothing")

    def flip_byte(self, name, position):
        path = self.newest / name
        content = bytearray(path.read_bytes())
        content[position] ^= 0x10
        path.write_bytes(content)

    def truncate(self, name):
        path = self.newest / name
        os.truncate(path, path.stat().st_size // 2)

    def test_of_a_weight_is_found_by_its_hash(self):
        self.flip_byte("model.safetensors", -5)
        self.assert_refused("model.safetensors")

    def test_of_the_optimizer_is_found_by_its_hash(self):
        self.flip_byte("optimizer.safetensors", -5)
        self.assert_refused("optimizer.safetensors")

    def test_of_a_header_is_found(self):
        self.flip_byte("model.safetensors", 3)
        self.assert_refused("model.safetensors")

    def test_by_truncation_is_found(self):
        for name in ("model.safetensors", "optimizer.safetensors", "training_state.json"):
            with self.subTest(name):
                whole = (self.newest / name).read_bytes()
                self.truncate(name)
                self.assert_refused(name)
                (self.newest / name).write_bytes(whole)

    def test_by_a_missing_file_is_found(self):
        for path in sorted(self.newest.iterdir()):
            with self.subTest(path.name):
                aside = self.folder / path.name
                shutil.move(path, aside)
                self.assert_refused(path.name)
                shutil.move(aside, path)

    def test_of_the_state_is_found(self):
        path = self.newest / "training_state.json"
        whole = path.read_text(encoding="utf-8")
        for broken in ("", "{", "[]", "{}", whole.replace('"step"', '"stop"')):
            with self.subTest(broken[:20]):
                path.write_text(broken, encoding="utf-8")
                self.assert_refused("training_state.json")

    def test_to_a_tokenizer_file_is_found(self):
        state = json.loads((self.newest / "training_state.json").read_text(encoding="utf-8"))
        known = {"model.safetensors", "optimizer.safetensors", "training_state.json", "config.json"}
        names = sorted({p.name for p in self.newest.iterdir()} - known)
        self.assertTrue(names, f"no tokenizer file beside {sorted(state)}")
        for name in names:
            with self.subTest(name):
                whole = (self.newest / name).read_bytes()
                (self.newest / name).write_bytes(whole + b" ")
                self.assert_refused(name)
                (self.newest / name).write_bytes(whole)

    def test_of_the_saved_config_is_found_and_that_of_the_metrics_told(self):
        config = self.run_folder() / "run_config.json"
        whole = config.read_text(encoding="utf-8")
        config.write_text(whole.replace('"batch_size": 4', '"batch_size": 5'), encoding="utf-8")
        output = self.run_train("--resume", expect=2, max_iters=40)
        self.assert_says(output, "run_config.json", "run_config.sha256")
        (self.run_folder() / "run_config.sha256").unlink()  # as the message says
        command = [self.train, "--resume", f"--out_dir={self.out_dir}", "--model_name=run", "--max_iters=40"]
        self.assert_says(self.run_command([*command, "--dry_run"]), "batch_size is 5 and was 4")
        config.write_text(whole, encoding="utf-8")
        metrics = self.run_folder() / "metrics.jsonl"
        metrics.write_text(metrics.read_text(encoding="utf-8").replace('"step":7,', '"step";7,'), encoding="utf-8")
        self.assert_says(self.run_command(command), "metrics.jsonl", "1 lines are damaged", "19 of the 20 steps")

    def test_is_overcome_by_removing_the_damaged_checkpoint(self):
        self.truncate("model.safetensors")
        shutil.rmtree(self.newest)
        self.run_train("--resume")
        self.run_train(model_name="whole")
        self.assert_same_checkpoint(self.newest, self.run_folder("whole") / self.newest.name)


class FullDisk(harness.ProgramTest):
    def assert_old_checkpoint_stands(self, before):
        after = harness.tree_of(self.step_checkpoints()[-1])
        self.assertEqual(after, before)
        self.run_train("--resume", max_iters=40)  # and it loads

    def test_reached_by_a_file_size_limit_keeps_the_old_checkpoint(self):
        self.run_train(max_iters=20)
        old = harness.tree_of(self.step_checkpoints()[-1])
        size = (self.step_checkpoints()[-1] / "model.safetensors").stat().st_size

        def limit_files():
            # SIGXFSZ ignored: writes fail with EFBIG, as they fail with ENOSPC on a full disk.
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, size // 2))

        options = {"preexec_fn": limit_files, "restore_signals": False}
        output = self.run_train("--resume", expect=2, max_iters=40, popen_options=options)
        self.assert_says(output, "model.safetensors")
        self.assert_old_checkpoint_stands(old)

    def test_keeps_the_old_checkpoint(self):
        """On a file system of its own that holds one checkpoint and half of the next."""
        self.run_train(max_iters=20)
        old = self.step_checkpoints()[-1]
        before = harness.tree_of(old)
        checkpoint_bytes = sum(p.stat().st_size for p in old.iterdir())
        command = self.command("--resume", max_iters=40, out_dir=self.folder / "disk")
        status, output = self.run_on_small_disk(command, checkpoint_bytes // 2)
        self.assertEqual(status, 2, output)
        self.assert_says(output, "a checkpoint takes", "free some")  # known before the first step
        self.assert_old_checkpoint_stands(before)


if __name__ == "__main__":
    harness.main()

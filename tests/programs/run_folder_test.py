#!/usr/bin/env python3
"""What a run prints and leaves behind."""

import json
import os
import subprocess

import harness

CATEGORIES = {"weights", "master_weights", "gradients", "optimizer", "activations", "logits", "workspace", "data"}


class DryRun(harness.ProgramTest):
    def test_prints_the_plan_and_writes_nothing(self):
        before = harness.tree_of(self.folder)
        output = self.run_train("--dry_run")
        self.assert_says(output, "parameters", "activations", "optimizer", "tokens", "epoch")
        self.assert_no_step(output)
        self.assertEqual(harness.tree_of(self.folder), before)

    def test_of_an_existing_run_leaves_it_alone(self):
        self.run_train()
        before = harness.tree_of(self.folder)
        self.run_train("--dry_run", "--resume", max_iters=40)
        self.run_train("--dry_run", "--overwrite")
        self.assertEqual(harness.tree_of(self.folder), before)


class Elsewhere(harness.ProgramTest):
    """A run is begun in one folder and resumed in another."""

    def test_resumes_from_another_folder(self):
        self.run_train(input="input.txt")
        other = self.folder / "other"
        other.mkdir()
        resume = [self.train, "--resume", f"--out_dir={self.out_dir}", "--model_name=run", "--max_iters=22"]
        done = subprocess.run(resume, cwd=other, capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        # A run that knows its text by a path from where it was begun, and one whose text has been moved, say how to go on.
        config = self.run_folder() / "run_config.json"
        config.write_text(config.read_text().replace(str(self.folder.resolve() / "input.txt"), "input.txt"))
        (self.run_folder() / "run_config.sha256").unlink()
        refused = subprocess.run(resume[:-1] + ["--max_iters=24"], cwd=other, capture_output=True, text=True)
        self.assertEqual(refused.returncode, 2, refused.stdout + refused.stderr)
        self.assert_says(refused.stderr, "input.txt: the run reads this input again", str(other), "--input PATH")
        named = subprocess.run(resume[:-1] + ["--max_iters=24", f"--input={self.folder / 'input.txt'}"], cwd=other)
        self.assertEqual(named.returncode, 0)


class ChangedData(harness.ProgramTest):
    def test_that_is_cut_while_it_is_read_ends_the_run_by_name(self):
        ids = self.folder / "ids.bin"
        ids.write_bytes(bytes(byte for token in range(256) for byte in (token, 0)) * 4096)
        with self.running_train(input="ids.bin", tokenizer="byte", max_iters=10**6, lr_decay_iters=10**6, eval_interval=0,
                                save_interval=0, log_interval=1) as process:
            for line in process.stdout:
                if line.startswith("step"):
                    break
            os.truncate(ids, 16)
            output = process.stdout.read()
        self.assertEqual(process.wait(timeout=60), 2, output[-2000:])
        self.assert_says(output, "ids.bin: was shortened while it was being read")


class RunFolder(harness.ProgramTest):
    def test_is_the_same_without_standard_streams(self):
        """A daemon's: what would be printed must not go into the next file that is opened."""
        self.run_train(model_name="usual")
        self.run_command(["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *map(str, self.command())])
        self.assertEqual(self.figures("usual"), self.figures())
        self.assert_same_checkpoint(self.step_checkpoints("usual")[-1], self.step_checkpoints()[-1])

    def test_holds_every_figure_of_every_step(self):
        self.run_train()
        steps = [m for m in self.metrics() if "loss" in m]
        self.assertEqual([m["step"] for m in steps], list(range(20)))
        (session,) = self.sessions()
        self.assertGreater(session["process_before"], 0)
        for m in steps:
            for key in ("time", "loss_smoothed", "tokens", "epoch", "loss", "lr", "grad_norm", "dt_ms", "tokens_per_s"):
                self.assertIsInstance(m[key], (int, float), key)
            memory = m["mem"]
            self.assertEqual(set(memory["by_category"]), CATEGORIES)
            # The plan is the allocator: what was planned is what is held.
            self.assertEqual(session["planned"], memory["allocated"])
            self.assertEqual(sum(memory["by_category"].values()), memory["allocated"])
            self.assertEqual(session["planned_by_category"], memory["by_category"])
            self.assertEqual(memory["peak_by_category"], memory["by_category"])
            self.assertEqual(memory["peak"], memory["allocated"])
            self.assertGreater(memory["process_rss"], 0)
        tokens_per_step = 4 * 32 * 2  # batch_size * block_size * grad_accum_steps
        self.assertEqual([m["tokens"] for m in steps], [tokens_per_step * (i + 1) for i in range(20)])
        evaluated = {m["step"] for m in self.metrics() if "val_loss" in m}
        self.assertTrue({5, 10, 15, 20} <= evaluated, evaluated)
        self.assertTrue(all({"val_ppl", "val_bpb"} <= set(m) for m in self.metrics() if "val_loss" in m))

    def test_learns(self):
        self.run_train(max_iters=200, lr_decay_iters=200, eval_interval=50, save_interval=0)
        steps = [m for m in self.metrics() if "loss" in m]
        self.assertLess(steps[-1]["loss"], 0.8 * steps[0]["loss"])

    def test_keeps_the_newest_checkpoints_and_the_best(self):
        self.run_train(keep_last=2)
        self.assertEqual([p.name for p in self.step_checkpoints()], ["step-00000015", "step-00000020"])
        self.assertTrue((self.run_folder() / "best" / "model.safetensors").is_file())
        self.run_train(keep_last=0, model_name="all")
        names = [f"step-{n:08d}" for n in (5, 10, 15, 20)]
        self.assertEqual([p.name for p in self.step_checkpoints("all")], names)

    def test_of_a_run_without_intervals_holds_its_end(self):
        self.run_train(save_interval=0, eval_interval=0)
        self.assertEqual([p.name for p in self.step_checkpoints()], ["step-00000020"])

    def test_checkpoints_are_hugging_face_directories(self):
        self.run_train()
        checkpoint = self.step_checkpoints()[-1]
        config = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))
        self.assertEqual(config["model_type"], "gpt2")
        self.assertEqual([config[k] for k in ("n_layer", "n_head", "n_embd", "n_positions")], [2, 2, 32, 32])
        blob = (checkpoint / "model.safetensors").read_bytes()
        header = json.loads(blob[8 : 8 + int.from_bytes(blob[:8], "little")])
        self.assertEqual(header["transformer.h.0.attn.c_attn.weight"]["shape"], [32, 96])
        self.assertEqual(header["transformer.wte.weight"]["shape"], [config["vocab_size"], 32])

    def test_shows_samples_while_it_learns(self):
        output = self.run_train(sample_interval=10, sample_tokens=40, sample_prompt="ba")
        self.assert_says(output, "sample")

    def test_accepts_crlf_and_says_so(self):
        text = harness.make_text().replace("\n", "\r\n")
        self.run_train(model_name="lf")
        self.input.write_bytes(text.encode())
        output = self.run_train(model_name="crlf")
        self.assert_says(output, "CRLF")
        self.assertEqual(self.figures("lf"), self.figures("crlf"))

    def test_warns_when_there_are_fewer_tokens_than_parameters(self):
        output = self.run_train()  # about 18,000 tokens, 27,000 parameters
        self.assert_says(output, "warning", "fewer tokens than parameters")


if __name__ == "__main__":
    harness.main()

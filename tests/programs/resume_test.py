#!/usr/bin/env python3
"""Stopping and going on: a run that was stopped ends on the same bits as one that never was."""

import json
import re
import shutil
import signal

import harness

KEEP_ALL = {"keep_last": 0}


class Resume(harness.ProgramTest):
    def assert_same_end(self, one, other, step):
        name = f"step-{step:08d}"
        self.assert_same_checkpoint(self.run_folder(one) / name, self.run_folder(other) / name)
        self.assertEqual(self.figures(one), self.figures(other))

    def test_gives_the_same_bits_as_one_run_of_twice_the_length(self):
        self.run_train(max_iters=40, model_name="whole", **KEEP_ALL)
        self.run_train(max_iters=20, model_name="halves", **KEEP_ALL)
        self.run_train("--resume", max_iters=40, model_name="halves", **KEEP_ALL)
        self.assert_same_end("whole", "halves", 40)

    def test_gives_the_same_bits_when_no_evaluation_falls_on_the_stop(self):
        intervals = {"eval_interval": 7, "save_interval": 9}
        self.run_train(max_iters=24, model_name="whole", **intervals)
        self.run_train(max_iters=13, model_name="parts", **intervals)
        self.run_train("--resume", max_iters=24, model_name="parts", **intervals)
        self.assert_same_checkpoint(self.run_folder("whole") / "step-00000024", self.run_folder("parts") / "step-00000024")
        losses = [[(m["step"], m["loss"]) for m in self.metrics(name) if "loss" in m] for name in ("whole", "parts")]
        self.assertEqual(losses[0], losses[1])

    def test_same_seed_gives_the_same_bits_and_another_seed_others(self):
        self.run_train(model_name="one")
        self.run_train(model_name="two")
        self.assert_same_end("one", "two", 20)
        self.run_train(model_name="other", seed=7)
        self.assertNotEqual(self.figures("one"), self.figures("other"))

    def test_with_an_automatic_batch_keeps_the_tokens_of_a_step(self):
        self.run_train()
        tokens = 4 * 32 * 2
        # Little memory makes small micro-steps; the sequences of a step stay the same, so the losses differ by rounding alone.
        for max_iters, memory in ((30, "4MB"), (40, "900KB")):
            output = self.run_train("--resume", max_iters=max_iters, batch_size="auto", grad_accum_steps=None, max_memory=memory)
            self.assert_says(output, f"{max_iters} steps of {tokens} tokens")
        self.assertEqual([m["tokens"] for m in self.metrics() if "loss" in m], [tokens * (i + 1) for i in range(40)])

    def stop_with(self, which):
        self.run_train(max_iters=400, lr_decay_iters=400, model_name="whole", save_interval=100, eval_interval=0)
        settings = {"max_iters": 400, "lr_decay_iters": 400, "model_name": "stopped", "save_interval": 100, "eval_interval": 0}
        with self.running_train(**settings) as process:
            for line in process.stdout:
                if re.match(r"step +20/", line):
                    break
            process.send_signal(which)
            output = process.stdout.read()
            process.wait(timeout=harness.TIMEOUT_S)
        self.assertEqual(process.returncode, 130, output)
        self.assert_says(output, "resume")
        last = self.step_checkpoints("stopped")[-1]
        steps = json.loads((last / "training_state.json").read_text(encoding="utf-8"))["step"]
        self.assertTrue(20 <= steps < 400, f"stopped after {steps} steps")
        # Every step that metrics.jsonl tells of is in the checkpoint: none is lost, none is done twice.
        self.assertEqual(max(m["step"] for m in self.metrics("stopped") if "loss" in m) + 1, steps)
        self.run_train("--resume", **settings)
        self.assert_same_end("whole", "stopped", 400)

    def test_goes_on_bit_for_bit_after_sigint(self):
        self.stop_with(signal.SIGINT)

    def test_goes_on_bit_for_bit_after_sigterm(self):
        self.stop_with(signal.SIGTERM)

    def test_is_refused_when_there_is_no_run(self):
        output = self.run_train("--resume", expect=2)
        self.assert_says(output, "runs/run")
        self.assertFalse(self.run_folder().exists())

    def test_is_refused_when_the_text_has_changed(self):
        self.run_train()
        before = harness.tree_of(self.out_dir)
        self.input.write_text(harness.make_text(seed=2), encoding="utf-8")
        output = self.run_train("--resume", expect=2, max_iters=40)
        self.assert_says(output, "input")
        self.assertEqual(harness.tree_of(self.out_dir), before)

    def test_is_refused_when_the_model_has_another_shape(self):
        self.run_train()
        before = harness.tree_of(self.out_dir)
        output = self.run_train("--resume", expect=2, max_iters=40, n_embd=48)
        self.assert_says(output, "n_embd", "32", "48")
        self.assertEqual(harness.tree_of(self.out_dir), before)

    def test_of_a_finished_run_changes_nothing(self):
        self.run_train()
        before = harness.tree_of(self.out_dir)
        output = self.run_train("--resume")
        self.assert_no_step(output)
        self.assertEqual(harness.tree_of(self.out_dir), before)


class ExistingRun(harness.ProgramTest):
    def test_is_never_overwritten_unasked(self):
        self.run_train()
        before = harness.tree_of(self.out_dir)
        output = self.run_train(expect=2)
        self.assert_says(output, "runs/run", "--resume", "--overwrite")
        self.assertEqual(harness.tree_of(self.out_dir), before)

    def test_is_replaced_with_overwrite(self):
        self.run_train(max_iters=20)
        self.run_train("--overwrite", max_iters=10, seed=7)
        self.assertEqual([p.name for p in self.step_checkpoints()][-1], "step-00000010")
        self.assertEqual(max(m["step"] for m in self.metrics() if "loss" in m), 9)

    def test_survives_overwrite_with_a_bad_flag(self):
        self.run_train()
        before = harness.tree_of(self.out_dir)
        self.run_train("--overwrite", expect=2, n_embd=33)
        self.assertEqual(harness.tree_of(self.out_dir), before)

    def test_may_be_an_empty_folder(self):
        self.run_folder().mkdir(parents=True)
        self.run_train()
        shutil.rmtree(self.run_folder())


if __name__ == "__main__":
    harness.main()

#!/usr/bin/env python3
"""Signals and closed pipes in the long phases of the programs."""

import pathlib
import signal
import subprocess
import time

import harness

# An evaluation of the whole held-out text takes far longer than a test may.
LONG_EVALUATION = {"val_fraction": 0.9, "eval_iters": "all", "batch_size": 1, "grad_accum_steps": 1, "n_layer": 4}


class Stop(harness.ProgramTest):
    def setUp(self):
        super().setUp()
        self.input.write_text(harness.make_text() * 50, encoding="utf-8")  # a megabyte

    def stop_in_evaluation(self, which, *flags, **settings):
        """Output of a train that is sent the signal once the first evaluation has begun, which it must end with 130."""
        with self.running_train(*flags, **{**LONG_EVALUATION, **settings}) as process:
            told = ""
            for line in process.stdout:
                told += line
                if line.startswith("time "):
                    break
            process.send_signal(which)
            told += process.stdout.read()
            process.wait(timeout=harness.TIMEOUT_S)
        self.assertEqual(process.returncode, 130, told)
        return told

    def test_leaves_nothing_of_a_run_without_a_step(self):
        for which in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
            output = self.stop_in_evaluation(which)
            self.assert_says(output, signal.Signals(which).name, "nothing to keep", "once more to stop now", "no run was begun")
            self.assert_no_step(output)
            self.assertFalse(self.run_folder().exists(), output)

    def test_overwrites_nothing_before_the_first_step(self):
        self.run_train(max_iters=2, eval_iters=1)
        before = harness.tree_of(self.out_dir)
        self.assert_says(self.stop_in_evaluation(signal.SIGINT, "--overwrite"), "none was overwritten")
        self.assertEqual(harness.tree_of(self.out_dir), before)

    def test_keeps_the_steps_before_an_evaluation_and_goes_on(self):
        settings = {"save_interval": 0, "n_layer": 4, "val_fraction": 0.9}
        self.run_train(max_iters=4, eval_interval=3, eval_iters=1, **settings)
        settings = {**settings, "max_iters": 7, "eval_interval": 6}
        with self.running_train("--resume", eval_iters="all", **settings) as process:
            output = ""
            for line in process.stdout:
                output += line
                if line.startswith("step 5/"):
                    break
            process.send_signal(signal.SIGTERM)
            output += process.stdout.read()
            process.wait(timeout=harness.TIMEOUT_S)
        self.assertEqual(process.returncode, 130, output)
        self.assertEqual(self.step_checkpoints()[-1].name, "step-00000006", output)
        self.assert_says(self.run_train("--resume", eval_iters=1, **settings), "finished at step 7")

    def test_second_signal_ends_it_at_once(self):
        with self.running_train(**LONG_EVALUATION, max_iters=4, eval_interval=2) as process:
            for line in process.stdout:
                if line.startswith("time "):
                    break
            for _ in range(1000):  # those close behind the first one are taken for it
                process.send_signal(signal.SIGINT)
                if process.poll() is not None:
                    break
                time.sleep(0.02)
            process.stdout.read()
            process.wait(timeout=harness.TIMEOUT_S)
        self.assertIn(process.returncode, (130, -signal.SIGINT))
        self.assertFalse(self.run_folder().exists())

    def test_ends_with_a_checkpoint_when_nobody_reads_its_output(self):
        command = self.command(max_iters=100000, eval_interval=0, save_interval=0)
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=self.folder, env=self.environment, text=True
        )
        try:
            for line in process.stdout:
                if line.startswith("step"):
                    break
            process.stdout.close()
            told = process.stderr.read()
            process.wait(timeout=harness.TIMEOUT_S)
        finally:
            process.kill()
            process.stderr.close()
            process.wait()
        self.assertEqual(process.returncode, 130, told)
        self.assert_says(told, "nobody reads the output")
        self.assertEqual(len(self.step_checkpoints()), 1)

    def test_of_tokenize_leaves_nothing(self):
        self.input.write_text(harness.make_text() * 4000, encoding="utf-8")
        tokenize = pathlib.Path(self.train).parent / "tokenize"
        process = self.start([tokenize, "--input", self.input, "--output", self.folder / "tokens", "--tokenizer", "char"])
        while process.poll() is None and not list(self.folder.glob("tokens*")):
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        output = process.communicate(timeout=harness.TIMEOUT_S)[0]
        self.assertEqual(process.returncode, 130, output)
        self.assert_says(output, "SIGINT", "nothing is written")
        self.assertEqual(list(self.folder.glob("tokens*")), [])


if __name__ == "__main__":
    harness.main()

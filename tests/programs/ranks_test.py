#!/usr/bin/env python3
"""Several processes, started by mpirun, train one model: curves, bits, resuming, stopping, and one voice for all."""

import json
import os
import re
import signal

import harness
import ranks


class Ranks(ranks.RanksTest):
    def test_train_the_curve_of_one_process(self):
        self.run_train(model_name="one")
        self.run_ranks(1, model_name="launched")
        self.assert_same_run("one", "launched")
        for num_ranks in (2, 4):
            name = f"of_{num_ranks}"
            self.run_ranks(num_ranks, model_name=name)
            self.assert_same_curve("one", name)

    def test_repeat_their_bits_at_every_zero_stage(self):
        whole = {"batch_size": 4}  # one micro-step: stage 2 adds several in another order
        self.run_ranks(2, model_name="stage_0", **whole)
        for stage in (0, 1, 2):
            self.run_ranks(2, model_name="again", zero_stage=stage, overwrite=True, **whole)
            self.assert_same_run("stage_0", "again")

    def test_keep_the_curve_at_every_zero_stage_with_micro_steps(self):
        self.run_ranks(2, model_name="stage_0")
        self.run_ranks(2, model_name="stage_1", zero_stage=1)
        self.assert_same_run("stage_0", "stage_1")
        self.run_ranks(2, model_name="stage_2", zero_stage=2)
        self.assert_same_curve("stage_0", "stage_2")

    def test_write_figures_of_each(self):
        output = self.run_ranks(2)
        self.assertIn("ranks    2 processes on 1 machine", output)
        for line in (m for m in self.metrics() if "loss" in m):
            self.assertEqual(len(line["ranks"]), 2)
            self.assertEqual(line["slowest_ms"], max(rank["compute_ms"] for rank in line["ranks"]))
            self.assertEqual(line["slowest_ms"], line["ranks"][line["slowest_rank"]]["compute_ms"])


class Voice(ranks.RanksTest):
    """Rank 0 speaks for all."""

    def assert_said_once(self, output):
        self.assertNotIn("\r", output, "mpirun's terminals are not the user's")
        lines = [line for line in output.splitlines() if line.strip("- ")]
        self.assertEqual(sorted(set(lines)), sorted(lines))

    def test_of_a_run_is_heard_once(self):
        self.assert_said_once(self.run_ranks(2))

    def test_of_a_single_launched_process_has_no_live_line(self):
        self.assert_said_once(self.run_ranks(1))

    def test_of_what_does_not_run_is_heard_once(self):
        self.assert_said_once(self.run_ranks(2, "--dry_run"))
        help_text = self.run_command([self.train, "--help"])
        self.assertEqual(self.run_command([self.mpiexec, "-np", "2", self.train, "--help"]), help_text)
        output = self.run_ranks(2, "--batchsize=3", expect=2)
        self.assertEqual(output.count("error: --batchsize: unknown flag"), 1, output)
        self.assertFalse(self.out_dir.exists())

    def test_without_mpi_tells_how_to_build_with_it(self):
        command = self.ranks_command(2)
        command[command.index(self.train)] = self.train_alone
        output = self.run_command(command, expect=2)
        self.assert_says(output, "one of 2 processes", "built without MPI", "tools/setup.sh --mpi")
        self.assertFalse(self.out_dir.exists())


class ResumedRanks(ranks.RanksTest):
    SAVED = {"max_iters": 10}

    def test_go_on_bit_for_bit(self):
        self.run_ranks(2, model_name="whole", zero_stage=1)
        self.run_ranks(2, model_name="halves", zero_stage=1, **self.SAVED)
        self.run_ranks(2, "--resume", model_name="halves", zero_stage=1)
        self.assert_same_run("whole", "halves")

    def test_go_on_in_another_number(self):
        self.run_train(model_name="one")
        for num_before, stage_before, num_after, stage_after in ((4, 2, 1, 0), (4, 1, 2, 2), (1, 0, 2, 1)):
            name = f"from_{num_before}_to_{num_after}"
            self.run_ranks(num_before, model_name=name, zero_stage=stage_before, **self.SAVED)
            # Neither batch nor micro-steps are given: a step keeps its tokens.
            tokens = {"batch_size": None, "total_batch_size": None}
            output = self.run_ranks(num_after, "--resume", model_name=name, zero_stage=stage_after, **tokens)
            self.assert_says(output, "resumed", "step-00000010 at step 10", "20 steps of 256 tokens")
            self.assert_same_curve("one", name)


class StoppedRanks(ranks.RanksTest):
    SETTINGS = {"max_iters": 300, "lr_decay_iters": 300, "save_interval": 100, "eval_interval": 0}

    def assert_stops_and_goes_on(self, stop):
        with self.running_ranks(2, model_name="stopped", zero_stage=1, **self.SETTINGS) as process:
            self.wait_for_step(process, 20)
            stop(process)
            output = process.stdout.read()
            process.wait(timeout=harness.TIMEOUT_S)
        self.assertEqual(process.returncode, 130, output)
        self.assert_says(output, "stopped at step", "resume")
        last = self.step_checkpoints("stopped")[-1]
        steps = json.loads((last / "training_state.json").read_text(encoding="utf-8"))["step"]
        self.assertTrue(20 <= steps < 300, f"stopped after {steps} steps")
        self.assertEqual(len(self.losses("stopped")), steps)
        self.run_ranks(2, "--resume", model_name="stopped", zero_stage=1, **self.SETTINGS)
        self.run_ranks(2, model_name="whole", zero_stage=1, **self.SETTINGS)
        self.assert_same_run("whole", "stopped")

    def test_by_sigusr1_to_the_launcher_save_and_go_on(self):
        self.assert_stops_and_goes_on(lambda process: process.send_signal(signal.SIGUSR1))

    def test_by_a_signal_to_one_of_them_save_and_go_on(self):
        self.assert_stops_and_goes_on(lambda process: os.kill(self.pids_of(process)[1], signal.SIGTERM))


if __name__ == "__main__":
    harness.main()

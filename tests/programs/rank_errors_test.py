#!/usr/bin/env python3
"""Several processes of which one dies, hangs, is told something else or cannot write: how all end, and what is left."""

import os
import pathlib
import re
import shlex
import signal
import time

import harness
import ranks

ENDLESS = {"max_iters": 1000000, "lr_decay_iters": 1000, "save_interval": 10, "eval_interval": 0, "log_interval": 10}


def is_running(pid):
    try:
        state = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"  # dead, and not yet taken note of


class LostRanks(ranks.RanksTest):
    def assert_newest_checkpoint_loads(self):
        newest = self.step_checkpoints()[-1]
        step = int(newest.name.removeprefix("step-"))
        output = self.run_train("--resume", max_iters=step + 2, lr_decay_iters=1000)
        self.assert_says(output, f"{newest.name} at step {step}")

    def test_that_are_killed_end_all_and_leave_a_checkpoint(self):
        for rank in (0, 1):
            with self.running_ranks(2, zero_stage=1, overwrite=True, **ENDLESS) as process:
                self.wait_for_step(process, 20)
                pids = self.pids_of(process)
                os.kill(pids[rank], signal.SIGKILL)
                output, _ = process.communicate(timeout=30)
            self.assertEqual(process.returncode, 128 + signal.SIGKILL, output)
            deadline = time.monotonic() + 10  # mpirun does not wait for those it kills
            while any(map(is_running, pids.values())):
                self.assertLess(time.monotonic(), deadline, f"{pids} live on")
                time.sleep(0.05)
            self.assert_newest_checkpoint_loads()

    def test_that_hang_are_named_and_leave_a_checkpoint(self):
        for rank in (0, 1):
            with self.running_ranks(2, zero_stage=1, rank_timeout=3, overwrite=True, **ENDLESS) as process:
                self.wait_for_step(process, 20)
                pid = self.pids_of(process)[rank]
                os.kill(pid, signal.SIGSTOP)
                start = time.monotonic()
                output, _ = process.communicate(timeout=60)
            self.assertEqual(process.returncode, 1, output)
            machine = re.escape(os.uname().nodename)
            self.assertRegex(output, rf"error: rank {rank} \(process {pid} on {machine}\) has died or hangs")
            self.assert_says(output, "the limit is 3 s", "newest checkpoint is intact")
            self.assertLess(time.monotonic() - start, 20, "the limit, as long again, and time to end on a busy machine")
            self.assert_newest_checkpoint_loads()


class UnlikeRanks(ranks.RanksTest):
    """One error for all, and nothing is written."""

    def setUp(self):
        super().setUp()
        for name in ("first", "second"):
            (self.folder / name).mkdir()

    def run_unlike(self, first=None, second=None, texts=(1, 1)):
        """Each of two ranks in a folder of its own, with a text of that seed there, or without one."""
        # One program for all ranks, which then go apart: not every mpiexec takes a folder for each of several programs.
        for rank, (name, settings, seed) in enumerate(zip(("first", "second"), (first, second), texts)):
            folder = self.folder / name
            if seed is not None:
                (folder / "text.txt").write_text(harness.make_text(seed=seed), encoding="utf-8")
            command = map(str, self.command(input="text.txt", **(settings or {})))
            (self.folder / f"rank_{rank}.sh").write_text(f"cd '{folder}' && exec {shlex.join(command)}\n", encoding="utf-8")
        own_script = f"exec sh '{self.folder}'/rank_${{OMPI_COMM_WORLD_RANK:-$PMI_RANK}}.sh"
        output = self.run_command([self.mpiexec, "-np", "2", "sh", "-c", own_script], expect=2)
        self.assertEqual(output.count("error: "), 1, output)
        self.assertNotIn("MPI_ABORT", output)
        self.assert_no_step(output)
        self.assertFalse(self.out_dir.exists())
        return output

    def test_in_a_key_are_told_which(self):
        output = self.run_unlike({"seed": 1}, {"seed": 2})
        self.assertRegex(output, r"the key seed differs between ranks: rank 1 \(process \d+ on .*\) has 2, rank 0 .* has 1;")

    def test_in_the_text_are_told_so(self):
        self.assert_says(self.run_unlike(texts=(1, 2)), "the training text differs between ranks: rank 1 (process")

    def test_in_the_held_out_text_are_told_so(self):
        for name, seed in (("first", 3), ("second", 4)):
            (self.folder / name / "held_out.txt").write_text(harness.make_text(4000, seed), encoding="utf-8")
        held_out = {"val_input": "held_out.txt", "val_fraction": 0}
        self.assert_says(self.run_unlike(held_out, held_out), "the held-out text differs between ranks: rank 1 (process")

    def test_in_a_file_that_only_one_has_are_told_whose_is_missing(self):
        output = self.run_unlike(texts=(1, None))
        self.assertRegex(output, r"error: rank 1 \(process \d+ on .*\): .*text\.txt")

    def test_in_a_flag_that_one_cannot_read_are_told_whose(self):
        output = self.run_unlike({}, {"n_head": "many"})
        self.assertRegex(output, r"error: rank 1 \(process \d+ on .*\): .*n_head")


class FullDiskOfRanks(ranks.RanksTest):
    def test_ends_all_and_keeps_the_old_checkpoint(self):
        self.run_ranks(2, zero_stage=1)
        old = self.step_checkpoints()[-1]
        before = harness.tree_of(old)
        checkpoint_bytes = sum(p.stat().st_size for p in old.iterdir())
        command = self.ranks_command(2, "--resume", max_iters=40, zero_stage=1, out_dir=self.folder / "disk")
        status, output = self.run_on_small_disk(command, checkpoint_bytes // 2)
        self.assertEqual(status, 2, output)
        self.assertRegex(output, r"error: rank 0 \(process \d+ on .*\): .*a checkpoint takes")  # known before the first step
        self.assertEqual(harness.tree_of(self.step_checkpoints()[-1]), before)
        self.run_ranks(2, "--resume", max_iters=40, zero_stage=1)


if __name__ == "__main__":
    harness.main()

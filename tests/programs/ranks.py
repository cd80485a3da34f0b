"""What the tests of `train` in several processes share."""

import contextlib
import os
import pathlib
import re
import signal

import harness

# Lets Open MPI start as root in a container, more processes than there are cores, and bound to none of them.
ENVIRONMENT = {
    **harness.ENVIRONMENT,
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMPI_MCA_rmaps_base_oversubscribe": "1",
    "OMPI_MCA_hwloc_base_binding_policy": "none",
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",  # the same for Open MPI 5
    "PRTE_MCA_hwloc_default_binding_policy": "none",
    "OMPI_MCA_mpi_yield_when_idle": "1",
    "OMPI_MCA_btl": "^tcp",  # all ranks are on this machine, whose network may reach nothing: Open MPI 5 would complain of that
    "HWLOC_HIDE_ERRORS": "2",  # it says so where there is no /sys, as in a chroot
    # To tell MPI's own leaks from ours every allocation would be unwound slowly: ten times the time. tests/mpi does so.
    "ASAN_OPTIONS": "detect_leaks=0",
}
# A step is 256 tokens in micro-steps of 2 sequences, however many processes share them.
SETTINGS = {"batch_size": 2, "grad_accum_steps": None, "total_batch_size": 256, "dtype": "float32", "threads": 1}


class RanksTest(harness.ProgramTest):
    environment = ENVIRONMENT

    def setUp(self):
        if self.mpiexec is None:
            self.skipTest("train is built without MPI")
        super().setUp()

    def command(self, *extra, **settings):
        return super().command(*extra, **{**SETTINGS, **settings})

    def ranks_command(self, num_ranks, *extra, **settings):
        return [self.mpiexec, "-np", str(num_ranks), *self.command(*extra, **settings)]

    def run_ranks(self, num_ranks, *extra, expect=0, **settings):
        return self.run_command(self.ranks_command(num_ranks, *extra, **settings), expect)

    @contextlib.contextmanager
    def running_ranks(self, num_ranks, *extra, **settings):
        """A running launcher, its output readable through `process.stdout`; killed with its processes when the block is left."""
        process = self.start(self.ranks_command(num_ranks, *extra, **settings))
        pids = []
        try:
            yield process
        finally:
            if process.poll() is None:
                pids = list(self.pids_of(process).values())
                process.kill()
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            process.communicate()

    def wait_for_step(self, process, step):
        """Reads the output up to the line of a step."""
        seen = ""
        for line in process.stdout:
            seen += line
            if re.match(rf"step +{step}/", line):
                return
        self.fail(f"ended before step {step}\n{seen}")

    def pids_of(self, process):
        """Rank -> process of a running launcher."""
        pids = {}
        for task in pathlib.Path(f"/proc/{process.pid}/task").iterdir():
            for pid in map(int, (task / "children").read_text().split()):
                environment = pathlib.Path(f"/proc/{pid}/environ").read_bytes()
                if rank := re.search(rb"OMPI_COMM_WORLD_RANK=(\d+)", environment):
                    pids[int(rank.group(1))] = pid
        return pids

    def losses(self, name="run"):
        return [m["loss"] for m in self.metrics(name) if "loss" in m]

    def assert_same_curve(self, one, other):
        """Equal up to the order of float32 sums, which is another for another number of ranks.

        How far apart that can bring 20 steps of this model is found by CurveTube.IsAsNarrow... of tests/train."""
        expected, actual = self.losses(one), self.losses(other)
        self.assertEqual(len(expected), len(actual))
        self.assertEqual(expected[0], actual[0], "before the first update there is nothing to sum")
        for step, (a, b) in enumerate(zip(expected, actual)):
            self.assertLessEqual(abs(a - b), 5e-6 * a, f"step {step}")

    def assert_same_run(self, one, other):
        """Every figure of every step, and the last checkpoint, bit for bit."""
        self.assertEqual(self.figures(one), self.figures(other))
        last = [self.step_checkpoints(name)[-1] for name in (one, other)]
        self.assertEqual(last[0].name, last[1].name)
        self.assert_same_checkpoint(*last)

#!/usr/bin/env python3
"""Ranks that stop, die, come late or go astray: who is named, how soon, and how the job ends.

    lost_rank_test.py --failing_rank BINARY --mpiexec MPIRUN [Class.test]
"""

import argparse
import os
import re
import signal
import subprocess
import sys
import time
import unittest

LIMIT_S = 2.0
ABORTED = 3


class LostRank(unittest.TestCase):
    failing_rank = None
    mpiexec = None

    def run_case(self, case, ranks=3, limit_s=LIMIT_S):
        """(exit status, output, seconds, {rank: name})"""
        start = time.monotonic()
        command = [self.mpiexec, "-n", str(ranks), self.failing_rank, case, str(int(limit_s * 1000))]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
        names = {int(rank): name for name, rank in re.findall(r"I am (rank (\d+) \(process \d+ on [^)]+\))", done.stdout)}
        self.assertEqual(sorted(names), list(range(ranks)), done.stdout)
        return done.returncode, done.stdout, time.monotonic() - start, names

    def assert_named(self, case):
        status, output, seconds, names = self.run_case(case)
        self.assertEqual(status, ABORTED, output)
        lost = dict(re.findall(r"^rank (\d+): lost: (.*)$", output, re.MULTILINE))
        # To end the one that is stopped mpirun wakes it, and it may still read what is said of it.
        lost.pop("2", None)
        self.assertEqual(sorted(lost), ["0", "1"], output)
        for said in lost.values():
            self.assertTrue(said.startswith(f"{names[2]} has died or hangs: "), said)
            self.assertRegex(said, r"waited \d\.\d s in .*\(the limit is 2 s\).*newest checkpoint is intact")
        self.assertLess(seconds, 20, "the limit, as long again, and time to start and to end on a busy machine")

    def test_that_stops_before_a_barrier_is_named_by_all(self):
        self.assert_named("stops_before_barrier")

    def test_that_stops_before_a_sum_is_named_by_all(self):
        self.assert_named("stops_before_sum")

    def test_that_stops_while_others_wait_for_gpus_is_named_by_all(self):
        self.assert_named("stops_beside_gpus")

    def test_that_is_killed_ends_the_job(self):
        status, output, _, _ = self.run_case("is_killed", limit_s=30)
        self.assertEqual(status, 128 + signal.SIGKILL, output)

    def test_that_leaves_with_an_error_ends_the_job(self):
        for case in ("leaves", "leaves_work"):
            status, output, _, _ = self.run_case(case, limit_s=30)
            self.assertEqual(status, 2, output)
            self.assertIn("error: the disk is full", output)

    def test_of_another_launcher_is_told_so(self):
        command = [self.failing_rank, "comes_late", "1000"]
        environment = {**os.environ, "PMI_SIZE": "4"}
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, env=environment)
        self.assertEqual(done.returncode, 2, done.stdout)
        self.assertIn("the launcher has started 4 processes", done.stdout)

    def test_that_comes_late_is_waited_for(self):
        status, output, _, _ = self.run_case("comes_late", limit_s=3)
        self.assertEqual(status, 0, output)
        self.assertEqual(output.count("all is well"), 3, output)

    def assert_astray(self, case, *words, **settings):
        status, output, seconds, names = self.run_case(case, **settings)
        self.assertEqual(status, ABORTED, output)
        self.assertNotIn(": lost: ", output)
        errors = re.findall(r"^rank \d+: error: (.*)$", output, re.MULTILINE)
        self.assertTrue(errors, output)
        for word in (*words, names[2]):
            self.assertIn(word, errors[0])
        return seconds

    def test_in_another_collective_is_found_at_once(self):
        self.assertLess(self.assert_astray("gathers_instead", "barrier", "all-gather", limit_s=50), 30)

    def test_with_another_size_is_found_at_once(self):
        self.assertLess(self.assert_astray("gathers_more", "of 8 bytes", "of 16 bytes", limit_s=50), 30)
        self.assertLess(self.assert_astray("sums_more", "of 12000 bytes", "of 24000 bytes", limit_s=50), 30)

    def test_that_waits_elsewhere_is_found_after_the_limit(self):
        self.assert_astray("sums_instead", "all ranks wait for each other", "barrier", "all-gather")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--failing_rank", required=True)
    parser.add_argument("--mpiexec", required=True)
    parser.add_argument("case", nargs="?")
    arguments = parser.parse_args()
    LostRank.failing_rank = arguments.failing_rank
    LostRank.mpiexec = arguments.mpiexec
    module = sys.modules["__main__"]
    loader = unittest.defaultTestLoader
    suite = loader.loadTestsFromName(arguments.case, module) if arguments.case else loader.loadTestsFromModule(module)
    sys.exit(0 if unittest.TextTestRunner(verbosity=2).run(suite).wasSuccessful() else 1)


if __name__ == "__main__":
    main()

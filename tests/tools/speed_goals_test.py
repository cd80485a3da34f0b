#!/usr/bin/env python3
"""tools/speed_goals.py asks bench for the right things, and tells of its answers what they say; here a small program answers."""

import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

TOOL = pathlib.Path(__file__).resolve().parents[2] / "tools" / "speed_goals.py"
SPREAD = {"median": 0.9, "lower": 0.89, "upper": 0.91}
BENCH = """#!/usr/bin/env python3
import json, pathlib, sys
here = pathlib.Path(__file__).parent
arguments = sys.argv[1:]
with open(here / "asked.txt", "a") as asked:
    print(*arguments, file=asked)
answer = "step"
if "--to_loss" in arguments:
    answer = "best" if "--within" in arguments else "race"
path = here / f"{answer}.json"
if not path.exists():
    sys.exit("error: bench cannot do this")
print(path.read_text())
"""


def entrant(*runs, median=None):
    told = {"name": "x", "reached": sum(found for _, found, _ in runs),
            "runs": [{"trained_seconds": seconds, "best_loss": loss} for seconds, _, loss in runs]}
    return told | ({"median_seconds": median} if median else {})


class SpeedGoals(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.build = pathlib.Path(folder.name)
        for name in ("bench", "train"):
            (self.build / name).write_text(BENCH, encoding="utf-8")
            (self.build / name).chmod(0o755)
        ops = [{"name": f"attention_{name}", "phase": "step", "floor_share": SPREAD} for name in ("forward", "backward")]
        self.answer("step", {"device": "cpu: 2 threads", "ops": ops, "step": {"mfu_spread": SPREAD, "tokens_per_s": 100.0},
                             "torch": {"version": "9.9", "ratio": 1.6, "ours_tokens_per_s": 160.0, "tokens_per_s": 100.0}})

    def answer(self, name, answer):
        (self.build / f"{name}.json").write_text(json.dumps(answer), encoding="utf-8")

    def run_tool(self, *arguments, expect=0):
        run = subprocess.run([sys.executable, str(TOOL), "--build", str(self.build), *arguments], capture_output=True, text=True,
                             check=False)
        self.assertEqual(run.returncode, expect, run.stderr)
        return run.stdout if expect == 0 else run.stderr

    def asked(self):
        return (self.build / "asked.txt").read_text(encoding="utf-8").splitlines()

    def test_steps_are_measured_once_for_three_rows(self):
        table = self.run_tool("--rows", "torch,peak,attention", "--json", str(self.build / "all.json"))
        self.assertIn("PyTorch 9.9, float32 | 1.5 times | 1.60 times (160 and 100)", table)
        self.assertIn("| tiny, share of the peak, float32 | 88 % | 90.0 % (89.0 to 91.0) |", table)
        self.assertEqual(table.count("| attention "), 8)
        self.assertEqual(len([line for line in self.asked() if "tiny.json" in line]), 2)
        self.assertIn("cpu: 2 threads", table)
        self.assertIn("float32", json.loads((self.build / "all.json").read_text(encoding="utf-8")))

    def test_neighbours_are_held_against_what_the_time_allows(self):
        table = self.run_tool("--rows", "neighbours", "--rounds", "1")
        self.assertIn("beside 1 busy program on", table)
        self.assertIn("beside 4 busy programs on", table)
        self.assertEqual(len(self.asked()), 3)

    def test_races_are_told_by_their_medians(self):
        self.answer("race", {"machine": "m", "entrants": [entrant((200, 1, 1.46), median=200), entrant((800, 0, 1.48), (700, 0, 1.49)),
                                                          entrant((400, 1, 1.46), median=400)]})
        self.answer("best", {"machine": "m", "entrants": [entrant((700, 1, 1.39))]})
        table = self.run_tool("--rows", "race,best", "--input", "text.txt", "--old", str(self.build / "train"))
        self.assertIn("0.5 or less | 0.27 or less (200 s; the other trained for 750 s and found it in 0 of 2 runs)", table)
        self.assertIn("0.75 or less | 0.50 (200 and 400 s)", table)
        self.assertIn("| 1.40 or less | 1.3900 (1.3900 to 1.3900) |", table)
        self.assertIn("--within 750s", self.asked()[1])
        self.assertEqual(len(self.asked()), 2)

    def test_a_row_without_its_means_says_why_and_the_others_go_on(self):
        (self.build / "step.json").unlink()
        table = self.run_tool("--rows", "race,peak")
        self.assertIn("| race | | not measured: give train of an earlier build: --old FILE |", table)
        self.assertIn("| peak | | not measured: error: bench cannot do this |", table)
        self.assertIn("--input FILE", self.run_tool("--rows", "race", "--old", str(self.build / "train")))

    def test_what_is_not_there_is_refused(self):
        self.assertIn("there are race, best", self.run_tool("--rows", "speed", expect=2))
        self.assertIn("--old", self.run_tool("--old", "absent/train", expect=2))
        self.assertIn("at least 1", self.run_tool("--seeds", "0", expect=2))


if __name__ == "__main__":
    unittest.main()

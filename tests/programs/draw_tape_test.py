#!/usr/bin/env python3
"""The picture of a block's calls in docs/ is what tools/draw_tape.py draws of the step as it is."""

import pathlib
import subprocess
import sys
import xml.etree.ElementTree

import harness

ROOT = pathlib.Path(__file__).resolve().parents[2]
DRAW = [sys.executable, ROOT / "tools" / "draw_tape.py"]


class DrawTape(harness.ProgramTest):
    def draw(self, *flags):
        command = [pathlib.Path(self.train).parent / "calc_params", "--config", ROOT / "configs" / "tiny.json", "--dtype", "float32"]
        calls = self.run_command([*command, "--calls", "--json", *flags])
        return subprocess.run(DRAW, input=calls, text=True, stdout=subprocess.PIPE, check=True).stdout

    def test_gives_the_picture_of_the_docs(self):
        picture = (ROOT / "docs" / "block.svg").read_text(encoding="utf-8")
        self.assertEqual(self.draw("--recompute", "none"), picture, "draw it again: see the head of tools/draw_tape.py")

    def test_shows_what_is_made_again(self):
        picture = xml.etree.ElementTree.fromstring(self.draw("--recompute", "block"))
        ops = [text.text for text in picture.iter("{http://www.w3.org/2000/svg}text")]
        self.assertEqual(ops.count("attention_forward"), 2, "once forward, once for the backward pass")

    def test_refuses_what_is_no_step(self):
        done = subprocess.run(DRAW, input="{}", text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("calc_params --calls --json", done.stderr)


if __name__ == "__main__":
    harness.main()

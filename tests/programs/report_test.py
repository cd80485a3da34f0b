#!/usr/bin/env python3
"""report as a user meets it: the page, the picture, the table and the plot of real runs, read back by other readers."""

import csv
import html.parser
import io
import json
import math
import os
import pathlib
import re
import shutil
import subprocess
import xml.etree.ElementTree

import harness

SVG = "{http://www.w3.org/2000/svg}"
VOID = {"meta", "br", "link", "img", "input", "hr"}


class Page(html.parser.HTMLParser):
    """Tags, texts and attributes of a page; fails on tags that do not close."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.attributes, self.texts, self.errors = [], [], [], {}, []
        self.feed(text)
        self.close()
        self.errors += self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [(tag, *attribute) for attribute in attributes]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [(tag, *attribute) for attribute in attributes]

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.errors.append(f"</{tag}>")

    def handle_data(self, data):
        if self.open:
            self.texts.setdefault(self.open[-1], []).append(data)


class ReportTest(harness.ProgramTest):
    def report(self, *arguments, expect=0, environment=None):
        done = subprocess.run(
            [pathlib.Path(self.train).parent / "report", *map(str, arguments)],
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=harness.TIMEOUT_S,
            cwd=self.folder,
            env={**harness.ENVIRONMENT, **(environment or {})},
        )
        self.assertEqual(done.returncode, expect, done.stdout + done.stderr)
        return done.stderr if expect == 2 else done.stdout

    def charts(self, page):
        charts = [xml.etree.ElementTree.fromstring(svg) for svg in re.findall(r'<svg class="chart" xmlns.*?</svg>', page, re.DOTALL)]
        return {chart.get("aria-label"): chart for chart in charts}

    def assert_stands_alone(self, text):
        page = Page(text)
        self.assertEqual(page.errors, [])
        for tag, name, value in page.attributes:
            self.assertNotIn(name, ("src", "href", "srcset", "background", "xlink:href", "action"), tag)
            if name != "xmlns":
                self.assertNotRegex(value or "", r"(?i)https?:|url\(|javascript:", f"{tag} {name}")
        style_and_script = "".join(page.texts.get("style", []) + page.texts.get("script", []))
        self.assertNotRegex(style_and_script, r"url\(|@import|fetch\(|XMLHttpRequest|\bimport\b")
        self.assertEqual(re.findall(r"https?://[^\"]*", style_and_script), ["http://www.w3.org/2000/svg"], "a name space, not an address")
        return page

    def points(self, chart, name):
        """(x, y) of a line, from its pixels through the axes that the chart tells."""
        left, right, top, bottom = map(float, chart.get("data-plot").split())
        x_low, x_high = map(float, chart.get("data-x").split())
        y_low, y_high = map(float, chart.get("data-y").split()[:2])
        self.assertEqual(chart.get("data-y").split()[2], "linear")
        (path,) = [p for p in chart.iter(f"{SVG}path") if p.get("data-name") == name]
        pixels = [tuple(map(float, pair.split())) for pair in re.split("[ML]", path.get("d"))[1:]]
        return [
            (x_low + (x - left) / (right - left) * (x_high - x_low), y_low + (bottom - y) / (bottom - top) * (y_high - y_low))
            for x, y in pixels
        ]


class Report(ReportTest):
    def test_a_page_shows_the_figures_of_its_run(self):
        self.run_train(max_iters=20)
        metrics = self.metrics()
        self.report("runs/run")
        text = (self.run_folder() / "report.html").read_text(encoding="utf-8")
        page = self.assert_stands_alone(text)
        words = "".join(page.texts["b"])
        evaluations = [m for m in metrics if "val_loss" in m]
        self.assertIn(f"{min(m['val_loss'] for m in evaluations):.4f}", words)
        charts = self.charts(text)
        self.assertEqual(list(charts), ["Loss", "Learning rate", "Gradient norm", "Speed", "Memory"])
        for name, key in [("train", "loss"), ("validation", "val_loss")]:
            wanted = [(m["step"], m[key]) for m in metrics if key in m]
            found = self.points(charts["Loss"], name)
            self.assertEqual(len(found), len(wanted))
            for (x, y), (step, loss) in zip(found, wanted):
                self.assertAlmostEqual(x, step, delta=0.01)  # a hundredth of a pixel of 900, over 20 steps
                self.assertAlmostEqual(y, loss, delta=0.001)  # of 300, over less than 10 nats
        rates = self.points(charts["Learning rate"], "Learning rate")
        for (_, y), m in zip(rates, metrics):
            self.assertAlmostEqual(y, m["lr"], delta=1e-6)
        self.report("runs/run")  # its own page is replaced
        self.assertEqual((self.run_folder() / "report.html").read_text(encoding="utf-8"), text)

    def test_several_runs_are_overlaid_and_compared(self):
        self.run_train(max_iters=6)
        self.run_train(max_iters=4, model_name="other & <b>", learning_rate=0.001)
        self.report("runs/run", "runs/other & <b>", "--x", "tokens")
        text = (self.folder / "report.html").read_text(encoding="utf-8")
        page = self.assert_stands_alone(text)
        names = [p.get("data-name") for p in self.charts(text)["Loss"].iter(f"{SVG}path") if p.get("data-name")]
        self.assertIn("other & <b>: train", names)
        self.assertIn("run: validation", names)
        self.assertIn("learning_rate", page.texts["code"])
        self.assertIn("Where the configurations differ", page.texts["h2"])

    def test_a_table_reads_back(self):
        self.run_train(max_iters=5)
        rows = list(csv.DictReader(io.StringIO(self.report("runs/run", "--csv", "-"))))
        metrics = self.metrics()
        self.assertEqual(len(rows), len(metrics))
        for row, m in zip(rows, metrics):
            for key in ("step", "tokens", "loss", "lr", "grad_norm", "val_loss"):
                self.assertEqual(float(row[key]) if row[key] else None, m.get(key), key)
            if "mem" in m:
                self.assertEqual(int(row["mem_weights"]), m["mem"]["by_category"]["weights"])
        self.report("runs/run", "--csv", "all.csv")
        self.report("runs/run", "--csv", "all.csv")
        self.assertFalse((self.run_folder() / "report.html").exists(), "the page was not asked for")

    def test_a_plot_fits_the_terminal(self):
        self.run_train(max_iters=5)
        for columns in (40, 80, 120):
            plot = self.report("runs/run", "--text", "--width", columns, environment={"LC_ALL": "C.UTF-8"})
            self.assertLessEqual(max(map(len, plot.splitlines())), columns)
            self.assertRegex(plot, "[\u2801-\u28ff]")
        plot = self.report("runs/run", "--text", environment={"LC_ALL": "C"})
        self.assertTrue(plot.isascii())
        self.assert_says(plot, "validation", "best", "step")

    def test_a_picture_is_a_png(self):
        if shutil.which("rsvg-convert") is None:
            self.skipTest("rsvg-convert is not installed")
        self.run_train(max_iters=3)
        self.report("runs/run", "--png", "a.png")
        png = (self.folder / "a.png").read_bytes()
        self.assertTrue(png.startswith(b"\x89PNG\r\n\x1a\n"))
        self.assertEqual(int.from_bytes(png[16:20], "big"), 2240)
        self.assert_says(self.report("runs/run", "--png", "a.png", expect=2), "--overwrite")

    def test_a_missing_converter_is_named(self):
        self.run_train(max_iters=3)
        message = self.report("runs/run", "--png", "a.png", expect=2, environment={"PATH": "/nowhere"})
        self.assert_says(message, "rsvg-convert", "librsvg2-bin")
        self.assertFalse((self.folder / "a.png").exists())

    def test_refuses_what_is_no_run_and_keeps_what_is_there(self):
        self.run_train(max_iters=3)
        self.assert_says(self.report("runs/rum", expect=2), "did you mean runs/run?")
        self.assert_says(self.report("run", expect=2), "did you mean runs/run?")
        self.assert_says(self.report("runs", expect=2), "runs/run")
        self.assert_says(self.report("runs/run", "--outptu", "x", expect=2), "--output")
        self.assert_says(self.report("runs/run", "--x", "hours", expect=2), "step, tokens or time")
        self.assert_says(self.report(expect=2), "--run is missing")
        mine = self.folder / "mine.html"
        mine.write_text("<html>mine</html>")
        self.assert_says(self.report("runs/run", "--output", mine, expect=2), "--overwrite")
        self.assertEqual(mine.read_text(), "<html>mine</html>")
        self.report("runs/run", "--output", mine, "--overwrite")
        self.assertIn("Virgil", mine.read_text(encoding="utf-8"))
        self.assert_says(self.report("runs/run", "--output", "no/such.html", expect=2), "no folder")
        os.mkfifo(self.out_dir / "pipe")
        self.assert_says(self.report("runs/run", "--output", "runs/pipe", "--overwrite", expect=2), "choose another name")
        self.assertEqual(sorted(p.name for p in self.folder.iterdir()), ["input.txt", "mine.html", "runs"])

    def test_damaged_and_odd_figures_make_sound_pages(self):
        run = self.folder / "odd"
        run.mkdir()
        lines = [
            {"step": 0, "loss": 1e308, "lr": 0, "grad_norm": 0, "tokens_per_s": "inf", "dt_ms": -5, "mem": {"allocated": -1}},
            {"step": 5, "loss": "nan", "grad_norm": "inf", "val_loss": "-inf", "time": 1e300, "sample": "\u0000\u001b[2J</pre>\u202e"},
            {"step": 2**62, "loss": 1e-308, "tokens": -7, "mem": {"planned": 1e400, "by_category": {"weights": 1}}},
        ]
        text = "\n".join(json.dumps(line).replace("Infinity", "1e400") for line in lines)
        (run / "metrics.jsonl").write_text(text + '\n{"step": 7, "lo')
        (run / "run.json").write_text('{"format": 1, "sessions": [{"first_step": -1, "device": "<x>"}]}')
        self.report("odd")
        page = (run / "report.html").read_text(encoding="utf-8")
        self.assert_stands_alone(page)
        self.assertIn("1 line damaged", page)
        for chart in self.charts(page).values():
            for path in chart.iter(f"{SVG}path"):
                for number in re.findall(r"[-\w.]+", path.get("d").translate(str.maketrans("MLhlVZ", "      "))):
                    self.assertTrue(math.isfinite(float(number)) and abs(float(number)) < 1e5, path.get("d"))


if __name__ == "__main__":
    harness.main()

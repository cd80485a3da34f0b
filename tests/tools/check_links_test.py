#!/usr/bin/env python3
"""tools/check_links.py finds links that lead nowhere, and only those."""

import contextlib
import importlib.util
import io
import pathlib
import sys
import tempfile
import unittest

CHECKER = pathlib.Path(__file__).resolve().parents[2] / "tools" / "check_links.py"
spec = importlib.util.spec_from_file_location("check_links", CHECKER)
check_links = importlib.util.module_from_spec(spec)
spec.loader.exec_module(check_links)


class CheckLinks(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        self.write("docs/near.md", "# A page\n\n## Two words\n\n## Two words\n")

    def write(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def check(self):
        output, arguments = io.StringIO(), sys.argv
        sys.argv = [str(CHECKER), "--root", str(self.root)]
        try:
            with contextlib.redirect_stdout(output):
                status = check_links.main()
        finally:
            sys.argv = arguments
        return status, output.getvalue()

    def test_accepts_files_folders_anchors_and_addresses(self):
        self.write("LICENSE", "free\n")
        self.write("README.md", "[a](docs/near.md), [b](docs/near.md#two-words-1), [c](docs/), [d](LICENSE#any), [e](#here)\n\n"
                   "[f](https://example.org/x.md#y), [g](mailto:a@b), ![h](docs/near.md \"title\"), [i](/docs/near.md), [j]\n\n"
                   "[j]: docs/near.md\n\n# Here\n")
        self.assertEqual(self.check(), (0, ""))

    def test_names_the_line_of_a_file_that_is_absent(self):
        self.write("docs/x.md", "one\n\n[far](far.md) and ![picture](a.svg)\n<img alt=\"\" src=\"b.png\">\n[k]: c.md\n")
        self.assertEqual(self.check(), (1, "docs/x.md:3: a.svg: there is no docs/a.svg\ndocs/x.md:3: far.md: there is no docs/far.md\n"
                                           "docs/x.md:4: b.png: there is no docs/b.png\ndocs/x.md:5: c.md: there is no docs/c.md\n"))

    def test_sees_a_link_over_two_lines_and_a_picture_that_is_a_link(self):
        self.write("docs/x.md", "[two\nlines](far.md)\n[![picture](a.svg)](near.md)\n")
        self.assertEqual(self.check(), (1, "docs/x.md:2: far.md: there is no docs/far.md\ndocs/x.md:3: a.svg: there is no docs/a.svg\n"))

    def test_names_the_nearest_anchor(self):
        self.write("README.md", "[a](docs/near.md#two-word)\n")
        self.assertEqual(self.check(), (1, "README.md:1: docs/near.md#two-word: docs/near.md has no #two-word; did you mean #two-words?\n"))

    def test_refuses_to_leave_the_repository(self):
        self.write("README.md", "[a](../elsewhere.md)\n")
        self.assertEqual(self.check(), (1, "README.md:1: ../elsewhere.md leads out of the repository\n"))

    def test_reads_no_code_and_no_comments(self):
        self.write("README.md", "`[a](no.md)`\n\n```md\n[b](no.md)\n# Heading\n```\n\n<!-- [c](no.md)\n[d](no.md) -->\n[e](#heading)\n")
        self.assertEqual(self.check(), (1, "README.md:10: #heading: README.md has no #heading\n"))

    def test_makes_anchors_as_github_does(self):
        anchors = {
            "C++ and CUDA": "c-and-cuda",
            "`--zero_stage`: what?": "--zero_stage-what",
            "A & B": "a--b",
            "T² and ½": "t-and-",
            "1. Größe, x.y (z)": "1-größe-xy-z",
            "**Bold**, _it_ and snake_case_name": "bold-it-and-snake_case_name",
            "[A link](near.md) here": "a-link-here",
        }
        for heading, anchor in anchors.items():
            with self.subTest(heading):
                self.assertEqual(check_links.anchors_of([f"## {heading} ##"]), {anchor})

    def test_numbers_headings_that_repeat(self):
        self.assertEqual(check_links.anchors_of(["# A", "## A", "## A-1", "# A"]), {"a", "a-1", "a-1-1", "a-2"})
        self.assertEqual(check_links.anchors_of(['<a id="mine"></a>']), {"mine"})


if __name__ == "__main__":
    unittest.main()

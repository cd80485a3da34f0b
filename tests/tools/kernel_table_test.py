#!/usr/bin/env python3
"""tools/kernel_table.py finds its table in docs/kernels.md, and compares it; no compiler is needed here."""

import contextlib
import io
import pathlib
import sys
import unittest
from unittest import mock

TOOL = pathlib.Path(__file__).resolve().parents[2] / "tools" / "kernel_table.py"
sys.path.insert(0, str(TOOL.parent))
import check_kernels  # noqa: E402
import kernel_table  # noqa: E402


class KernelTable(unittest.TestCase):
    def run_main(self, version):
        printed = io.StringIO()
        with (
            mock.patch.object(check_kernels, "find_nvcc", return_value="nvcc" if version else None),
            mock.patch.object(kernel_table, "version_of", return_value=version),
            mock.patch.object(sys, "argv", [str(TOOL)]),
            contextlib.redirect_stdout(printed),
        ):
            return kernel_table.main(), printed.getvalue()

    def test_skips_without_the_compiler_that_the_table_names(self):
        named = kernel_table.BEGIN.search(kernel_table.PAGE.read_text(encoding="utf-8")).group(1)
        for version, here in ((None, "here is none"), ("1.2.3", "here is 1.2.3")):
            status, printed = self.run_main(version)
            self.assertEqual(status, 77)
            self.assertIn(f"the table is of nvcc {named}", printed)
            self.assertIn(here, printed)

    def test_names_the_lines_that_differ(self):
        text = "<!-- tools/kernel_table.py, nvcc 1.2.3 -->\n| a | 1 |\n| b | 2 |\n<!-- end -->\n"
        printed, errors = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(errors):
            self.assertEqual(kernel_table.compare(text, "| a | 1 |\n| b | 2 |\n", "1.2.3", False), 0)
            self.assertEqual(kernel_table.compare(text, "| a | 1 |\n| b | 3 |\n", "1.2.3", False), 1)
        self.assertIn("-| b | 2 |\n+| b | 3 |", printed.getvalue())
        self.assertNotIn("| a | 1 |\n+", printed.getvalue())
        self.assertIn("--write", errors.getvalue())

    def test_has_a_row_for_every_line_of_the_table(self):
        text = kernel_table.PAGE.read_text(encoding="utf-8")
        begin = kernel_table.BEGIN.search(text).end()
        lines = text[begin:text.index(kernel_table.END, begin)].splitlines()[2:]
        self.assertEqual([line.split(" | ")[0].lstrip("| ") for line in lines], [row[0] for row in kernel_table.ROWS])


if __name__ == "__main__":
    unittest.main()

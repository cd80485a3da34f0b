#!/usr/bin/env python3
"""tools/check_includes.py finds names of the standard library whose headers are missing, only those, and adds the headers."""

import pathlib
import subprocess
import sys
import tempfile
import unittest

CHECKER = pathlib.Path(__file__).resolve().parents[2] / "tools" / "check_includes.py"


class CheckIncludes(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        self.write("include/virgil/base/x.h", "#pragma once\n\n#include <string>\n\nstd::string x();\n")

    def write(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def check(self, *flags):
        done = subprocess.run([sys.executable, CHECKER, "--root", self.root, *flags], capture_output=True, text=True)
        return done.returncode, done.stdout

    def test_accepts_headers_of_the_source_and_of_its_own_header(self):
        self.write("src/base/x.cpp", '#include "virgil/base/x.h"\n\n#include <vector>\n\nstd::vector<std::string> all;\n')
        self.write("tests/base/x_test.cpp", '#include "virgil/base/x.h"\n\nstd::string name;\n')
        self.assertEqual(self.check(), (0, ""))

    def test_names_the_line_and_the_header(self):
        self.write("src/base/x.cpp", '#include "virgil/base/x.h"\n\nint least(int a) { return std::min({a, 1, 2}); }\n')
        self.assertEqual(self.check(), (1, "src/base/x.cpp:3: std::min needs #include <algorithm>\n"))

    def test_does_not_count_the_headers_of_others(self):
        self.write("src/base/y.cpp", '#include "virgil/base/x.h"\n\nstd::string y;\n')
        self.assertEqual(self.check()[0], 1)

    def test_takes_any_header_that_brings_the_name(self):
        self.write("src/base/y.cpp", "#include <vector>\n\nstd::size_t y;\n")
        self.assertEqual(self.check()[0], 0)

    def test_tells_algorithms_of_ranges_and_macros_apart_from_comments_and_literals(self):
        self.write("src/base/y.cpp", '// std::min\nauto s = "std::max";\nauto r = R"(std::sort")";\nint n = 1\'000; /* std::map\nstd::set */\n')
        self.assertEqual(self.check(), (0, ""))
        self.write("src/base/y.cpp", "int y = errno;\nbool z = std::ranges::equal(a, b);\n")
        self.assertEqual(self.check()[1].count("needs"), 2)

    def test_asks_for_a_row_where_a_name_is_unknown(self):
        self.write("src/base/y.cpp", "std::brand_new y;\n")
        status, output = self.check()
        self.assertEqual(status, 1)
        self.assertIn("src/base/y.cpp:1: std::brand_new is in no row of NAMES", output)

    def test_adds_what_is_missing_in_its_place(self):
        source = self.write("src/base/x.cpp", '#include "virgil/base/x.h"\n\n#include <array>\n#include <vector>\n\n'
                            '#include "virgil/base/x.h"\n\nstd::array<std::optional<int>, 2> a;\nauto b = fmt::format("{}", 1);\n')
        self.assertEqual(self.check("--fix")[0], 1)
        self.assertEqual(self.check(), (0, ""))
        self.assertTrue(source.read_text().startswith(
            '#include "virgil/base/x.h"\n\n#include <fmt/format.h>\n\n#include <array>\n#include <optional>\n#include <vector>\n\n'))
        header = self.write("src/base/z.h", "// What it is.\n#pragma once\n\nstd::int64_t z;\n")
        self.check("--fix")
        self.assertEqual(header.read_text(), "// What it is.\n#pragma once\n\n#include <cstdint>\n\nstd::int64_t z;\n")


if __name__ == "__main__":
    unittest.main()

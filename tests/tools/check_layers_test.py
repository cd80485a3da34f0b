#!/usr/bin/env python3
"""tools/check_layers.py finds includes that run upwards or into a layer, and only those."""

import pathlib
import subprocess
import sys
import tempfile
import unittest

CHECKER = pathlib.Path(__file__).resolve().parents[2] / "tools" / "check_layers.py"


class CheckLayers(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        self.write("include/virgil/base/error.h", "#include <string>\n")
        self.write("src/model/gpt.cpp", '#include "virgil/backend/backend.h"\n#include "neighbour.h"\n#include "model/near.h"\n')

    def write(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def check(self):
        command = [sys.executable, CHECKER, "--root", self.root]
        done = subprocess.run(command, capture_output=True, text=True)
        return done.returncode, done.stdout

    def test_accepts_includes_that_run_downwards(self):
        self.assertEqual(self.check(), (0, ""))

    def test_names_the_line_that_runs_upwards(self):
        self.write("src/base/x.cpp", '// why\n#  include "virgil/train/trainer.h"\n')
        status, output = self.check()
        self.assertEqual(status, 1)
        self.assertIn("src/base/x.cpp:2: base includes virgil/train/trainer.h of layer train", output)

    def test_keeps_private_headers_private(self):
        users = ("src/model/y.cpp", "include/virgil/base/y.h", "tests/model/y_test.cpp", "tests/support/y.h", "tools/y.cpp", "cuda/y.cu")
        for user in users:
            with self.subTest(user):
                self.write(user, '#include "base/posix_file.h"\n')
                status, output = self.check()
                self.assertEqual(status, 1)
                self.assertIn(f"{user}:1: base/posix_file.h is private to the layer base", output)
                self.assertIn("git mv src/base/posix_file.h include/virgil/base/posix_file.h", output)
                (self.root / user).unlink()

    def test_lets_tests_see_their_layers_headers_and_each_others(self):
        self.write("src/base/posix_file.h", "")
        self.write("tests/base/posix_file_test.cpp", '#include "base/posix_file.h"\n#include "support/x.h"\n')
        self.write("tests/backend_conformance/x.cpp", '#include "backend/cpu/simd_targets.h"\n')
        self.write("tests/train/tiny_run.h", "")
        self.write("tests/command/x_test.cpp", '#include "train/tiny_run.h"\n')
        self.assertEqual(self.check(), (0, ""))

    def test_keeps_siblings_apart(self):
        self.write("include/virgil/data/x.h", '#include "virgil/backend/backend.h"\n')
        self.assertEqual(self.check()[0], 1)

    def test_refuses_unknown_layers(self):
        self.write("src/misc/x.cpp", "")
        self.assertEqual(self.check()[0], 1)

    def test_refuses_cuda_headers_in_include(self):
        self.write("include/virgil/backend/x.h", "#include <cuda_runtime.h>\n")
        self.assertEqual(self.check()[0], 1)


if __name__ == "__main__":
    unittest.main()

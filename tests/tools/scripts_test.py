#!/usr/bin/env python3
"""The shell scripts: syntax, bad flags, and the poem's check against a server on this machine."""

import functools
import http.server
import os
import pathlib
import shutil
import subprocess
import tempfile
import threading
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCRIPTS = [*sorted(ROOT.glob("tools/*.sh")), *sorted(ROOT.glob("data/*.sh")), ROOT / ".ci" / "run"]
CANTOS = [("Inferno", 34), ("Purgatorio", 33), ("Paradiso", 33)]
ENDINGS = [
    "E quindi uscimmo a riveder le stelle.",
    "puro e disposto a salire alle stelle.",
    "l'amor che move il sole e l'altre stelle.",
]
NUM_VERSES = 14233


def made_up_poem(mark=":"):
    """The poem's frame (title, headings, first verse, endings, number of verses) around made-up verses."""
    verses_left, lines = NUM_VERSES, []
    for (part, num_cantos), ending in zip(CANTOS, ENDINGS):
        lines += ["LA DIVINA COMMEDIA", "di Dante Alighieri", part.upper(), ""]
        for canto in range(1, num_cantos + 1):
            numeral = "X" * (canto // 10) + "I" * (canto % 10)  # as long as it looks like a Roman numeral
            count = min(142, verses_left) if (part, canto) != ("Paradiso", 33) else verses_left
            verses = ["perché l'uom non s'inganni e veggia"] * count
            if (part, canto) == ("Inferno", 1):
                verses[0] = "  Nel mezzo del cammin di nostra vita"
            if canto == num_cantos:
                verses[-1] = "  " + ending
            lines += [f"{part}{mark} Canto {numeral}", "", *verses, ""]
            verses_left -= count
    return "\n".join(lines).rstrip("\n") + "\n"


def as_etext(body):
    """As Project Gutenberg wraps it: byte order mark, CRLF, licence before and after."""
    start, end = "*** START OF THE PROJECT GUTENBERG EBOOK ***", "*** END OF THE PROJECT GUTENBERG EBOOK ***"
    text = f"The Project Gutenberg eBook of La divina commedia di Dante\n\n{start}\n\n\n{body}\n\n- - -\nTABLE\n{end}\nLicence.\n"
    return b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode()


class Syntax(unittest.TestCase):
    def test_of_every_script_is_right(self):
        for script in SCRIPTS:
            with self.subTest(script.name):
                self.assertTrue(os.access(script, os.X_OK) or script.name == "common.sh", "not executable")
                subprocess.run(["bash", "-n", script], check=True)

    def test_of_flags_is_checked(self):
        for script in ("tools/setup.sh", "tools/run_tests.sh", "tools/gpu_check.sh", "tools/pack_gpu.sh", "data/fetch_divine_comedy.sh"):
            with self.subTest(script):
                done = subprocess.run([ROOT / script, "--nonsense"], capture_output=True, text=True)
                self.assertEqual(done.returncode, 2, done.stdout + done.stderr)


class Quickstart(unittest.TestCase):
    def test_checks_every_input_before_it_installs_anything(self):
        for flags in (["--input", "absent.txt"], ["--input=absent.txt"], ["--input", "README.md", "absent.txt", "--seed", "1"],
                      ["--input", "README.md", "--input-file", "absent.txt"], ["--input", "absent*.txt"]):
            done = subprocess.run([ROOT / "tools" / "quickstart.sh", *flags], capture_output=True, text=True, cwd=ROOT)
            self.assertEqual(done.returncode, 2, done.stdout + done.stderr)
            self.assertIn("absent", done.stderr)
            self.assertEqual(done.stdout, "")


class SetUp(unittest.TestCase):
    """tools/setup.sh on a machine made of stand-ins: every package is there but pip, and OpenAI's address is not reachable."""

    STAND_INS = {
        "dpkg-query": "echo installed",
        "curl": "exit 6",
        "sudo": 'exec "$@"',
        "apt-get": 'echo "$*" >>"$CALLS"; [[ $* != *--simulate* ]] || exit 0; touch "$PIP"',
        # pip downloads a package whose vocabulary is another file.
        "python3": """[[ -e $PIP ]] || exit 1
            while (($# > 0)); do [[ $1 != --dest ]] || dest=$2; shift; done
            [[ -n ${dest:-} ]] || exit 0
            mkdir -p "$dest/a/whisper/assets" && echo none >"$dest/a/whisper/assets/gpt2.tiktoken"
            tar -czf "$dest/openai-whisper-1.tar.gz" -C "$dest" a""",
    }

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="virgil-test-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        for name in ("tools/setup.sh", "tools/common.sh", "data/fetch_gpt2_vocab.sh"):
            (self.folder / name).parent.mkdir(exist_ok=True)
            shutil.copy(ROOT / name, self.folder / name)
        (self.folder / "bin").mkdir()
        for name, body in self.STAND_INS.items():
            path = self.folder / "bin" / name
            path.write_text(f"#!/usr/bin/env bash\n{body}\n")
            path.chmod(0o755)

    def run_setup(self, *flags):
        calls = self.folder / "calls"
        environment = {**os.environ, "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}", "CALLS": str(calls),
                       "PIP": str(self.folder / "pip")}
        environment.pop("VIRGIL_SKIP_SETUP", None)
        done = subprocess.run([self.folder / "tools" / "setup.sh", *flags], capture_output=True, text=True, env=environment)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout, calls.read_text().splitlines() if calls.exists() else []

    def test_installs_pip_only_where_the_vocabulary_needs_it(self):
        output, calls = self.run_setup()
        self.assertEqual([c for c in calls if "--simulate" not in c and not c.endswith("python3-pip")], [])
        self.assertTrue(any(c.endswith("--yes --no-install-recommends python3-pip") for c in calls), calls)
        self.assertIn("installing with apt: python3-pip", output)
        self.assertIn("another SHA-256", output)
        self.assertIn("going on without the GPT-2 vocabulary", output)
        self.assertFalse((self.folder / "data" / "gpt2.tiktoken").exists())

    def test_installs_nothing_when_the_vocabulary_is_there(self):
        (self.folder / "data" / "gpt2.tiktoken").write_text("here")
        self.assertEqual(self.run_setup(), ("", []))

    def test_installs_open_mpi_where_it_is_asked_for_and_no_mpi_is_there(self):
        (self.folder / "data" / "gpt2.tiktoken").write_text("here")
        (self.folder / "bin" / "dpkg-query").write_text('#!/usr/bin/env bash\n[[ $* == *openmpi* ]] || echo installed\n')
        missing = {package for package, probe in (("openmpi-bin", "mpirun"), ("libopenmpi-dev", "mpicxx")) if not shutil.which(probe)}
        self.assertEqual(self.run_setup(), ("", []))
        for flag in ("--mpi", "--tests"):
            _, calls = self.run_setup(flag)
            self.assertEqual({word for call in calls for word in call.split() if "openmpi" in word}, missing, calls)

    def test_names_the_libraries_without_installing_any(self):
        output, calls = self.run_setup("--libraries")
        self.assertEqual(calls, [])
        self.assertLessEqual({"libdnnl-dev", "libgtest-dev", "nlohmann-json3-dev"}, set(output.split()))
        self.assertTrue(all(word.endswith("-dev") for word in output.split()), output)

    def test_does_not_install_pip_twice(self):
        (self.folder / "pip").touch()
        output, calls = self.run_setup()
        self.assertEqual(calls, [])
        self.assertIn("going on without", output)


class BuildStep(unittest.TestCase):
    """run_build_step of tools/common.sh: a build that fails ends with its first error and what to do."""

    NOTES = [f"/usr/include/c++/14/bits/stl_algo.h:{n}:5: note: candidate: 'template<class T> T std::min(T)'" for n in range(80)]
    COMPILER = ["[1/9] Building CXX object x.o", "FAILED: x.o", "/usr/bin/c++ -O3 -o x.o -c src/x.cpp",
                "src/x.cpp: In function 'int f()':", "src/x.cpp:7:15: error: 'min_element' is not a member of 'std'",
                "    7 |   return std::min_element(a);", "      |               ^~~~~~~~~~~", *NOTES,
                "src/x.cpp:9:1: error: another that follows from it", "ninja: build stopped: subcommand failed."]

    def fail(self, lines):
        """What is printed about a build that fails with these lines."""
        with tempfile.TemporaryDirectory() as folder:
            said = pathlib.Path(folder) / "said"
            said.write_text("\n".join(lines) + "\n")
            script = 'cd "$1"; source "$2"; run_build_step build/build.log bash -c "cat said; exit 3"'
            done = subprocess.run(["bash", "-c", script, "bash", folder, ROOT / "tools" / "common.sh"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 3, done.stdout + done.stderr)
        self.assertEqual(done.stderr, "")
        self.assertLess(done.stdout.count("\n"), 17, "a screenful")
        return done.stdout

    def test_shows_the_first_error_of_a_compiler_and_what_to_do(self):
        output = self.fail(self.COMPILER)
        self.assertIn("the first error (build/build.log, line 5):\n  src/x.cpp:7:15: error: 'min_element' is not a member", output)
        self.assertIn("      |               ^~~", output)
        for other in ("note:", "another that follows", "/usr/bin/c++"):
            self.assertNotIn(other, output)
        self.assertRegex(output.splitlines()[-1], "^what to do: .*delete the folder build and .*report it with build/build.log")

    def test_tells_other_causes_apart(self):
        causes = {
            "tools/setup.sh installs them": ["src/x.cpp:1:10: fatal error: fmt/format.h: No such file or directory"],
            "tools/setup.sh": ["CMake Error at CMakeLists.txt:31 (find_package):", '  By not providing "FindCLI11.cmake"', *["  more"] * 30],
            "VIRGIL_JOBS=1": ["FAILED: x.o", "c++: fatal error: Killed signal terminated program cc1plus", "compilation terminated."],
            "it continues": ["FAILED: x.o", "ninja: build stopped: interrupted by user."],
            "the disk is full": ["src/x.cpp:1:1: error: x", "/tmp/ccabc.s: fatal error: No space left on device"],
            "report it": ["FAILED: train", "/usr/bin/ld: x.o: in function `f': undefined reference to `g'", "collect2: error: ld returned 1"],
        }
        for words, lines in causes.items():
            with self.subTest(words):
                output = self.fail(lines)
                self.assertIn(words, output.splitlines()[-1])
                self.assertIn(next(line for line in lines if "rror" in line or "undefined" in line or "FAILED" in line)[:60], output)

    def test_shows_the_end_where_no_line_is_an_error(self):
        self.assertIn("  [2/9] last", self.fail(["[1/9] first", "[2/9] last"]))

    def test_says_nothing_when_it_passes(self):
        script = 'cd "$1"; source "$2"; run_build_step build/build.log echo done'
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(["bash", "-c", script, "bash", folder, ROOT / "tools" / "common.sh"], capture_output=True, text=True)
            self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))
            self.assertEqual((pathlib.Path(folder) / "build" / "build.log").read_text(), "done\n")


class CheckDistributions(unittest.TestCase):
    def test_checks_its_arguments_before_it_makes_anything(self):
        for flags, word in (["--nonsense"], "--only"), (["--only"], "value"), (["--only", "all"], "quickstart"), (["--steps", "0"], "30"), (["../x"], "suite"):
            with self.subTest(flags):
                command = [ROOT / "tools" / "check_distributions.sh", *flags]
                done = subprocess.run(command, capture_output=True, text=True)
                self.assertEqual((done.returncode, done.stdout), (2, ""), done.stderr)
                self.assertIn(word, done.stderr)


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


class FetchDivineComedy(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        # A copy of the scripts, so that the project's own data/ is left alone.
        for name in ("tools/common.sh", "data/fetch_divine_comedy.sh"):
            (self.folder / name).parent.mkdir(exist_ok=True)
            shutil.copy(ROOT / name, self.folder / name)
        self.target = self.folder / "data" / "divine_comedy.txt"
        handler = functools.partial(QuietHandler, directory=self.folder)
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        self.url = f"http://127.0.0.1:{server.server_port}"

    def fetch(self, *flags, names=()):
        urls = " ".join(f"{self.url}/{name}" for name in names)
        environment = {**os.environ, "VIRGIL_GUTENBERG_URLS": urls, "no_proxy": "127.0.0.1"}
        command = [self.folder / "data" / "fetch_divine_comedy.sh", *flags]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr

    def needs_curl(self):
        if shutil.which("curl") is None:
            self.skipTest("curl is not installed")

    def test_cuts_the_poem_out_of_an_etext(self):
        self.needs_curl()
        body = made_up_poem()
        (self.folder / "etext").write_bytes(as_etext(body))
        status, output = self.fetch(names=["missing", "etext"])
        self.assertEqual(status, 0, output)
        self.assertEqual(self.target.read_bytes(), body.encode())
        self.assertIn("an edition not seen before", output)
        (self.folder / "etext").unlink()
        self.assertEqual(self.fetch(names=["etext"])[0], 0, "a complete copy is kept without a download")

    def test_accepts_the_other_mark_in_headings(self):
        path = self.folder / "local"
        path.write_bytes(as_etext(made_up_poem(mark=" •")))
        self.assertEqual(self.fetch("--from", path)[0], 0)

    def test_refuses_what_is_not_the_whole_poem(self):
        body = made_up_poem()
        lines = body.split("\n")
        last_of_inferno = next(i for i, line in enumerate(lines) if ENDINGS[0] in line)
        broken = {
            "cut": as_etext(body)[:300000],
            "a canto missing": as_etext(body.replace("Purgatorio: Canto XX\n", "")),
            "verses missing": as_etext("\n".join(lines[:20] + lines[200:])),
            "an ending missing": as_etext("\n".join(lines[:last_of_inferno] + ["x"] + lines[last_of_inferno + 1 :])),
            "latin-1": as_etext(body).decode("utf-8-sig").encode("latin-1"),
            "an error page": b"<html>busy</html>",
            "empty": b"",
        }
        for name, content in broken.items():
            with self.subTest(name):
                path = self.folder / "broken"
                path.write_bytes(content)
                status, output = self.fetch("--from", path)
                self.assertEqual(status, 2, output)
                self.assertIn("broken", output)
        self.assertEqual(sorted(p.name for p in self.target.parent.iterdir()), ["fetch_divine_comedy.sh"])

    def test_says_3_when_no_mirror_answers(self):
        self.needs_curl()
        status, output = self.fetch(names=["missing"])
        self.assertEqual(status, 3, output)
        self.assertIn("--from FILE", output)

    def test_keeps_the_old_copy_when_the_new_one_is_refused(self):
        self.target.write_text("mine")
        path = self.folder / "broken"
        path.write_text("no poem")
        self.assertEqual(self.fetch("--from", path)[0], 2)
        self.assertEqual(self.target.read_text(), "mine")


if __name__ == "__main__":
    unittest.main()

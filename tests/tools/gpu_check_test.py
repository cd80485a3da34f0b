#!/usr/bin/env python3
"""tools/gpu_check.sh with stand-ins for the GPU's tools and for the programs that it builds."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))
import predict_step  # noqa: E402

STAGES = ["setup", "build", "conformance", "ops", "determinism", "presets", "train", "loss", "memcheck", "racecheck"]
COPIED = [*(f"tools/{name}" for name in ("gpu_check.sh", "gpu_stages.sh", "gpu_report.py", "gpu_results.py", "gpu_tables.py",
                                         "gpu_prediction.py", "predict_step.py", "common.sh")),
          "data/gpus.json", "configs/tiny.json", "configs/150M_1024.json"]
GPU = "NVIDIA H100 80GB HBM3, 9.0, 550.1, 81559 MiB"

TESTS = """for word; do [[ $word != --gtest_output=json:* ]] || out=${word#--gtest_output=json:}; done
    [[ -z ${out:-} ]] ||
      echo '{"testsuites": [{"testsuite": [{"name": "A/cuda_float32", "status": "RUN", "result": "COMPLETED"}]}]}' >"$out"
    """
BENCH = """echo a warning >&2
    [[ $* != *no_such* ]] || exit 2
    echo '{'
    echo '"gemm_peak_gflops": {"bfloat16": 150000}, "bandwidth_gb_per_s": 900, "ops": [{"name": "gelu_forward", "calls": 12,'
    echo '"phase": "step", "shape": "(8, 1024, 3072)", "ms": 0.2, "floor_ms": 0.1, "flops": 0, "bytes": 100663296}],'
    echo '"step": {"dtype": "bfloat16", "ms": 10, "tokens_per_s": 1000, "model_gflops": 98900}, "memory": {"planned": 1048576,'
    echo '"resident_growth": 2097152}}'"""
CALC_PARAMS = """echo '{"total_parameters": 1000, "architecture": {"block_size": 256}, "work": {"training_flops_per_token": 1e8},'
    echo '"plan": {"batch_size": 12, "grad_accum_steps": 1, "recompute": "none"}, "step": {"tensors": [{"slot": "logits"}], "calls": ['
    echo '{"op": "matmul", "family": "matmul", "recomputed": false, "flops": 1e12, "bytes": 1e6, "workspace_bytes": 0, "operands":'
    echo '[{"name": "out", "tensor": 0, "shape": "(1, 1)"}]}]}}'"""
TRAIN = """while (($# > 0)); do
      [[ $1 != --out_dir ]] || out=$2
      [[ $1 != --model_name ]] || name=$2
      shift
    done
    [[ -n ${out:-} ]] || exit 0
    out=$out/$name
    mkdir -p "$out"
    for loss in 10.9 9.0 8.0; do
      printf '{"loss": %s, "grad_norm": 1.5, "tokens_per_s": 1000, "dt_ms": 5, "mem": {"allocated": 1000, ' "$loss"
      echo '"device_used": 1500, "device_free": 9000, "device_context": 400}}'
    done >"$out/metrics.jsonl"
    echo '{"format": 1, "sessions": [{"planned": 1000}]}' >"$out/run.json"
    """


class Probe(unittest.TestCase):
    DRIVER = """#include <string.h>
        int cuInit(unsigned flags) { return flags; }
        int cuDeviceGetCount(int* count) { *count = COUNT; return 0; }
        int cuDriverGetVersion(int* version) { *version = 13010; return 0; }
        int cuDeviceGet(int* device, int ordinal) { *device = ordinal + 5; return 0; }
        int cuDeviceGetName(char* name, int size, int device) { strncpy(name, "NVIDIA H200", size); return device - 5; }
        int cuDeviceTotalMem_v2(size_t* bytes, int device) { *bytes = 143771UL << 20; return device - 5; }
        int cuDeviceGetAttribute(int* value, int attribute, int device) { *value = attribute == 75 ? 9 : 0; return device - 5; }
        """

    def probe(self, folder):
        return subprocess.run([sys.executable, "-B", ROOT / "tools" / "gpu_probe.py"], capture_output=True, text=True,
                              env={**os.environ, "LD_LIBRARY_PATH": str(folder)})

    def test_asks_the_driver(self):
        if shutil.which("cc") is None:
            self.skipTest("there is no C compiler to make a driver with")
        with tempfile.TemporaryDirectory() as folder:
            source = pathlib.Path(folder) / "driver.c"
            source.write_text(self.DRIVER)
            for count, status, words in ((1, 0, "NVIDIA H200, 9.0, CUDA 13.1, 143771 MiB"), (0, 1, "the NVIDIA driver shows no GPU")):
                subprocess.run(["cc", "-shared", "-fPIC", f"-DCOUNT={count}", "-o", f"{folder}/libcuda.so.1", source], check=True)
                done = self.probe(folder)
                self.assertEqual((done.returncode, done.stdout.strip()), (status, words), done.stderr)


class Prediction(unittest.TestCase):
    def test_finds_the_gpu_that_nvidia_smi_names(self):
        import gpu_prediction
        for description, name in (("NVIDIA H200, 9.0, 580.1, 143771 MiB", "H200"), ("NVIDIA H100 PCIe, 9.0, 1, 81559 MiB", "H100 PCIe"),
                                  ("NVIDIA H100 80GB HBM3, 9.0, 1, 81559 MiB", "H100"), ("NVIDIA A100-SXM4-80GB, 8.0, 1, 81920 MiB", "A100 80GB"),
                                  ("NVIDIA A100-SXM4-40GB, 8.0, 1, 40960 MiB", "A100 40GB"), ("Tesla T4, 7.5, 1, 15360 MiB", "T4"),
                                  ("NVIDIA GeForce RTX 4070 Ti, 8.9, 1, 12282 MiB", "RTX 4070 Ti"),
                                  ("NVIDIA GeForce RTX 4070, 8.9, 1, 12282 MiB", "RTX 4070")):
            with self.subTest(description):
                self.assertEqual(gpu_prediction.find_rates(description)["name"], name)
        for unknown in ("", "NVIDIA X1000, 9.0, 1, 99 MiB", "NVIDIA H200, 8.9, 580.1, 143771 MiB"):
            self.assertIsNone(gpu_prediction.find_rates(unknown))

    def test_takes_the_efficiencies_of_a_gpu_of_the_kind(self):
        import gpu_prediction
        rates = predict_step.load_rates()
        for name, like in (("H200", "H100"), ("A100 40GB", "A100 80GB"), ("RTX 3090", "RTX 4090"), ("RTX 4090", "RTX 4090")):
            self.assertIn(gpu_prediction.find_efficiency(rates[name]).name, (name, like))
        self.assertIsNone(gpu_prediction.find_efficiency(rates["T4"]))


class PackGpu(unittest.TestCase):
    def test_checks_its_arguments_before_it_downloads_anything(self):
        for flags, word in ([[], "virgil-gpu.tar.gz"], [["x.zip"], ".tar.gz"], [["x.tar.gz", "--arch", "9.0"], "80;90"], [["x.tar.gz", "--oops"], "--oops"],
                            [["none/x.tar.gz"], "none/x.tar.gz"]):
            with self.subTest(flags):
                done = subprocess.run([ROOT / "tools" / "pack_gpu.sh", *flags], capture_output=True, text=True)
                self.assertEqual((done.returncode, done.stdout), (2, ""), done.stderr)
                self.assertIn(word, done.stderr)


class GpuCheck(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="virgil-test-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        for name in COPIED:
            (self.folder / name).parent.mkdir(exist_ok=True)
            shutil.copy(ROOT / name, self.folder / name)
        (self.folder / "data" / "divine_comedy.txt").write_text("Nel mezzo")
        self.stand_in("tools/setup.sh", "touch set_up")
        self.probe(f"print({GPU!r})")
        self.stand_in("bin/nvidia-smi", "exit 9")
        self.stand_in("bin/nvcc", "echo release 13.0; echo last")
        self.stand_in("lib64/libcublasLt.so", "")  # beside nvcc's folder, as in a toolkit
        self.stand_in("bin/cmake", '[[ $* != --version ]] || { echo 3.25.1; exit; }\necho "$*" >>cmake_calls\n'
                                   '[[ ! -e broken ]] || { echo "CMake Error: broken"; exit 1; }\nmkdir -p build-cuda; cp -r built/. build-cuda')
        self.stand_in("bin/compute-sanitizer", 'while [[ $1 == --* ]]; do shift 2; done; exec "$@"')
        self.stand_in("built/tests/gpu_conformance_tests", TESTS)
        self.stand_in("built/bench", BENCH)
        self.stand_in("built/train", TRAIN)
        self.stand_in("built/calc_params", CALC_PARAMS)

    def stand_in(self, name, body, shebang="#!/usr/bin/env bash"):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{shebang}\n{body}\n")
        path.chmod(0o755)

    def probe(self, body):
        self.stand_in("tools/gpu_probe.py", body, shebang="#!/usr/bin/env python3")

    def start(self, *flags):
        environment = {**os.environ, "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}"}
        return subprocess.Popen([self.folder / "tools" / "gpu_check.sh", *flags], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                text=True, env=environment)

    def check(self, *flags, expect=0):
        process = self.start(*flags)
        output = process.communicate()[0]
        self.assertEqual(process.returncode, expect, output)
        return output

    def wait_until_gone(self, pid):
        """What is left of a process that has ended may wait for the system to take note of it."""
        path = pathlib.Path(f"/proc/{pid}/stat")
        for _ in range(500):
            try:
                if path.read_text().rsplit(")", 1)[1].split()[0] == "Z":
                    return
            except OSError:
                return
            time.sleep(0.02)
        self.fail(f"process {pid} goes on")

    def report(self, name="gpu_check.json"):
        return json.loads((self.folder / name).read_text())

    def outcomes(self):
        return {stage["name"]: stage["outcome"] for stage in self.report()["stages"]}

    def pack(self, architectures="90"):
        """As an archive unpacks: libraries, and programs."""
        (self.folder / "deps" / "usr").mkdir(parents=True)
        shutil.copytree(self.folder / "built", self.folder / "programs")
        shutil.move(self.folder / "programs" / "tests" / "gpu_conformance_tests", self.folder / "programs")
        (self.folder / "packed.txt").write_text(f"source: abc-dirty\narchitectures: {architectures}\n")

    def test_refuses_bad_flags(self):
        for flags, word in ([["--nonsense"], "--limit"], [["--limit", "soon"], "--limit 8"], [["--batch_size"], "--batch_size"],
                            [["--output"], "--output"], [["--stages", "build,oops"], "oops"], [["--deps", "x"], "--offline"],
                            [["--stages", "ops", "--resume"], "one of the two"], [["--offline"], "tools/pack_gpu.sh"],
                            [["--output", "none/x.json"], "none/x.json"]):
            with self.subTest(flags):
                self.assertIn(word, self.check(*flags, expect=2))

    def test_reports_every_stage(self):
        output = self.check()
        report = self.report()
        self.assertEqual(report["failures"], [])
        self.assertEqual([s["name"] for s in report["stages"]], STAGES)
        self.assertEqual({s["outcome"] for s in report["stages"]}, {"ok"})
        self.assertEqual(report["tests"]["conformance"], {"passed": 1, "skipped": 0, "failed": []})
        self.assertEqual(report["determinism"], {"steps": 3, "same_bits_again": True, "same_bits_without_graphs": True, "ms": 5,
                                                 "ms_without_graphs": 5})
        self.assertEqual(report["train"]["last_loss"], 8.0)
        self.assertEqual(report["train"]["beyond_plan_bytes"], 100)
        self.assertEqual(report["loss"]["types"]["float32"], {"last": 8.0, "largest_difference": 0})
        self.assertEqual(report["rates"]["name"], "H100")
        self.assertAlmostEqual(report["presets"]["tiny"]["share_of_dense_rate"], 0.1)
        assumed = next(gpu for gpu in predict_step.GPUS if gpu.name == "H100")
        self.assertAlmostEqual(report["bench"]["ops"][0]["predicted_ms"], 100663296 / (3350e9 * assumed.memory) * 1e3)
        product_ms = 1e12 / (989e12 * assumed.matmul) * 1e3
        self.assertAlmostEqual(report["presets"]["tiny"]["predicted"]["ms"], product_ms + 1e3 * (predict_step.SYNC_S + 4 * predict_step.LAUNCH_S))
        for words in ("H100", "gelu_forward", "50 %", "1,000 tokens/s", "the same bits again", "150M_1024"):
            self.assertIn(words, output)
        calls = (self.folder / "cmake_calls").read_text()
        self.assertIn("-DVIRGIL_CUDA_ARCHITECTURES=90", calls)

    def test_makes_the_tables_of_the_documentation(self):
        self.check("--output", "first.json", "--stages", "ops")
        self.check("--output", "second.json", "--stages", "presets,loss")
        command = [sys.executable, "-B", "tools/gpu_report.py", "--markdown", "first.json", "second.json"]
        text = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=True).stdout
        self.assertRegex(text, r"\| gelu_forward \| \(8, 1024, 3072\) \| 12 \| 100.0 \| [0-9.]+ \| 200.0 \| 50% \| [0-9.]+ \|")
        self.assertRegex(text, r"\| tiny \| [0-9.]+, [0-9,]+, [0-9]+% \| 10.0, 1,000, 10% \| [0-9.]+ \| 1, 2 \|")
        self.assertIn("loss after 3 steps", text)

    def test_reports_presets_that_it_cannot_predict(self):
        (self.folder / "built" / "calc_params").unlink()
        self.check("--stages", "presets")
        tiny = self.report()["presets"]["tiny"]
        self.assertIn("there is no build/calc_params", tiny["not_predicted"])
        self.assertNotIn("predicted", tiny)
        self.assertEqual(tiny["ms"], 10)

    def test_sees_a_graph_that_changes_a_bit(self):
        self.stand_in("built/train", TRAIN.replace("for loss in", "[[ $name != graphs ]] || extra=1\nfor loss in")
                      .replace("1.5,", "1.5'\"$extra\"',"))
        self.check(expect=1)
        self.assertEqual(self.report()["failures"], ["determinism: the same steps, run again, have other losses",
                                                     "determinism: losses without cuda_graph are not those with it"])

    def test_sees_a_loss_that_is_not_the_cpus(self):
        self.stand_in("built/train", TRAIN.replace("for loss in 10.9 9.0 8.0", "last=8.0; [[ $name != loss_* || $name == loss_cpu ]] || last=8.02\n"
                                                   "for loss in 10.9 9.0 $last"))
        self.check("--stages", "loss", expect=1)
        self.assertEqual(self.report()["failures"], ["loss: in float32 it differs from the CPU's by up to 0.25%, 0.1% is allowed"])

    def test_lists_what_failed(self):
        self.stand_in("built/tests/gpu_conformance_tests", TESTS.replace("COMPLETED", "SKIPPED"))
        self.stand_in("built/bench", "exit 3")
        self.stand_in("built/train", TRAIN.replace('"allocated": 1000', '"allocated": 1001').replace("8.0;", "'\"nan\"';"))
        output = self.check(expect=1)
        for words in ("conformance: no test ran", "ops: exit status 3", "train: the loss went from 10.9 to nan",
                      "train: 1001 bytes allocated, 1000 planned", "presets: bench failed on 150M_1024 tiny",
                      "loss: in float32 it differs from the CPU's by up to inf%, 0.1% is allowed"):
            self.assertIn(words, self.report()["failures"])
            self.assertIn("FAILED " + words, output)

    def test_reports_whatever_a_stage_has_left(self):
        self.stand_in("built/train", TRAIN.replace('"mem":', '"memory":'))
        self.stand_in("built/bench", "echo '{'; echo '\"ops\": 7}'")
        self.check("--stages", "ops,train", expect=1)
        self.assertEqual(self.report()["failures"], ["train: what it left cannot be read: KeyError: 'mem'",
                                                     "report: what the stages left cannot be tabulated: TypeError: 'int' object is not iterable"])

    def test_knows_a_preset_that_does_not_fit(self):
        self.stand_in("built/bench", '[[ $* != *150M_1024* ]] || { echo "error: too large" >&2; exit 2; }\n' + BENCH)
        self.assertIn("too large", self.check("--stages", "presets"))
        self.assertEqual(self.report()["presets"]["150M_1024"], {"skipped": "error: too large"})
        self.assertEqual(self.report()["presets"]["tiny"]["ms"], 10)
        self.stand_in("built/bench", 'echo "error: no device" >&2; exit 2')
        self.check("--stages", "presets", expect=1)
        self.assertEqual(self.report()["failures"], ["presets: none runs here: error: no device"])

    def test_runs_nothing_without_a_build(self):
        (self.folder / "broken").touch()
        self.check(expect=1)
        self.assertEqual(self.outcomes(), {"setup": "ok", "build": "failed", **{name: "not done" for name in STAGES[2:]}})
        self.assertIn("CMake Error: broken", self.report()["failures"][0])

    def test_goes_on_after_a_set_up_that_failed(self):
        self.stand_in("tools/setup.sh", "echo no apt here; exit 2")
        self.check(expect=1)
        self.assertEqual(self.outcomes(), {"setup": "failed", **{name: "ok" for name in STAGES[1:]}})
        self.assertEqual(self.report()["failures"], ["setup: no apt here"])

    def test_builds_and_says_no_gpu_where_there_is_none(self):
        self.probe("print('no NVIDIA driver: libcuda.so.1'); raise SystemExit(1)")
        self.stand_in("bin/nvidia-smi", f"echo '{GPU}'")  # a played one
        self.check(expect=77)
        self.assertEqual(self.outcomes(), {"setup": "ok", "build": "ok", **{name: "no GPU" for name in STAGES[2:]}})
        self.assertEqual(self.report()["no_gpu"], "no NVIDIA driver: libcuda.so.1")
        self.assertEqual(self.report()["failures"], [])

    def test_stages_that_take_too_long_are_not_done(self):
        self.stand_in("tools/setup.sh", "exec sleep 60")
        output = self.check("--limit", "1", "--batch_size", "4", expect=3)
        self.assertEqual(self.outcomes(), {name: "not done" for name in STAGES})
        self.assertEqual(self.report()["failures"], [])
        self.assertEqual(self.report()["not_done"], STAGES)
        self.assertIn("to do the rest: tools/gpu_check.sh --batch_size 4 --resume", output)

    def stop(self, stage):
        """Lets the time of a stage run out once it has ended, however long that takes."""
        self.stand_in("bin/timeout", f'"${{@:3}}" || status=$?\n[[ $* != *" {stage}" ]] || exit 124\nexit "${{status:-0}}"')

    def test_a_second_call_does_the_rest(self):
        self.stop("ops")
        self.check(expect=3)
        self.assertEqual(self.report()["not_done"], ["ops"])
        (self.folder / "bin" / "timeout").unlink()
        self.stand_in("built/tests/gpu_conformance_tests", "exit 1")  # is not run again
        self.stand_in("bin/nvidia-smi", f"echo '{GPU.replace('550.1', '580.2')}'")  # knows more of the driver
        (self.folder / "set_up").unlink()
        output = self.check("--resume")
        self.assertTrue((self.folder / "set_up").exists())
        self.assertEqual(self.outcomes(), {name: "ok" for name in STAGES})
        self.assertEqual(self.report()["tests"]["conformance"]["passed"], 1)
        self.assertIn("580.2", output)

    def test_a_stage_that_failed_before_it_was_stopped_has_failed(self):
        self.stand_in("built/tests/gpu_conformance_tests", "echo '[  FAILED  ] Backends/Matmul.Is/cuda_float32 (1 ms)'")
        self.stop("conformance")
        self.check("--stages", "conformance", expect=1)
        self.assertIn("Matmul.Is/cuda_float32", self.report()["failures"][0])

    def test_reports_when_it_is_stopped(self):
        self.stand_in("built/tests/gpu_conformance_tests", "sleep 1.1\n" + TESTS)
        self.stand_in("built/bench", "echo $$ >begun.part; mv begun.part begun; exec sleep 60")
        for number, status in ((signal.SIGTERM, 143), (signal.SIGINT, 130)):
            with self.subTest(number):
                begun = self.folder / "begun"
                begun.unlink(missing_ok=True)
                process = self.start("--stages", "conformance,ops,train")
                while not begun.exists():
                    self.assertIsNone(process.poll())
                    time.sleep(0.02)
                self.assertEqual(self.outcomes()["conformance"], "ok")  # written already, should nothing more be
                process.send_signal(number)
                output = process.communicate()[0]
                self.assertEqual(process.returncode, status, output)
                self.assertEqual(self.outcomes(), {"setup": "ok", "build": "ok", "conformance": "ok", "ops": "not done", "train": "not done"})
                self.wait_until_gone(int(begun.read_text()))

    def test_takes_the_programs_of_an_archive(self):
        self.pack()
        self.check("--offline")
        self.assertFalse((self.folder / "set_up").exists())
        self.assertFalse((self.folder / "cmake_calls").exists())
        self.assertEqual(set(self.outcomes().values()), {"ok"})
        self.assertEqual(self.report()["source"], "source: abc-dirty")

    def test_builds_where_the_programs_of_an_archive_do_not_serve(self):
        self.pack("80;86")
        self.stand_in("bin/ninja", "exit 0")
        output = self.check("--offline", "--stages", "build")
        self.assertIn("programs do not serve: they are for 80;86, and the GPU is 90", output)
        calls = (self.folder / "cmake_calls").read_text()
        self.assertIn(f"-DCMAKE_PREFIX_PATH={self.folder}/deps/usr;", calls)
        self.assertIn("-DVIRGIL_MPI=OFF", calls)

    def test_builds_with_make_where_there_is_no_ninja(self):
        (self.folder / "deps" / "usr").mkdir(parents=True)
        # What the scripts use of the system, and no ninja.
        for name in ("bash", "env", "python3", "make", "c++", "awk", "sed", "grep", "head", "tail", "cut", "tr", "dirname", "mkdir", "rm",
                     "timeout", "date", "nproc", "uname", "getconf", "sort", "paste", "readlink", "cat", "cp", "touch", "printf", "sleep"):
            found = shutil.which(name)
            if found and not (self.folder / "bin" / name).exists():
                (self.folder / "bin" / name).symlink_to(found)
        process = subprocess.run([self.folder / "tools" / "gpu_check.sh", "--offline", "--stages", "build"], capture_output=True, text=True,
                                 env={"PATH": str(self.folder / "bin"), "HOME": str(self.folder)})
        self.assertIn("there is no ninja: building with make", process.stdout, process.stderr)
        self.assertIn("-GUnix Makefiles", (self.folder / "cmake_calls").read_text())

    def test_says_what_a_bare_machine_lacks(self):
        self.pack("80")
        self.stand_in("bin/cmake", "[[ $1 != --version ]] || echo cmake version 3.16.1; exit 1")
        self.stand_in("bin/nvcc", "exit 1")
        self.check("--offline", expect=1)
        self.assertRegex(self.report()["failures"][0], "^setup: missing: .*cmake 3.22 or newer: this is 3.16.1; .*nvcc")


if __name__ == "__main__":
    unittest.main()

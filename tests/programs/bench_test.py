#!/usr/bin/env python3
"""bench: the fields of its JSON, and what it says to flags that make no sense."""

import json
import math
import os
import subprocess

import harness

SIZES = {"n_layer": 2, "n_head": 2, "n_embd": 32, "block_size": 24, "batch_size": 2, "tokenizer": "byte", "dropout": 0.1, "threads": 2}


class Bench(harness.ProgramTest):
    def run_bench(self, *extra, expect=0):
        other_modes = {"--tokenizers", "--generate", "--to_loss"}
        steps = [] if other_modes & set(extra) else ["--steps", "2"]
        command = [os.path.join(os.path.dirname(self.train), "bench"), *harness.flags_of(SIZES), *steps, *extra]
        done = subprocess.run(command, capture_output=True, text=True, timeout=harness.TIMEOUT_S, cwd=self.folder,
                              env=harness.ENVIRONMENT)
        self.assertEqual(done.returncode, expect, done.stdout + done.stderr)
        return done.stdout if expect == 0 else done.stderr

    def test_json_has_the_promised_fields(self):
        result = json.loads(self.run_bench("--json"))
        self.assertGreater(result["gemm_peak_gflops"]["float32"], 0)
        self.assertGreater(result["bandwidth_gb_per_s"], 0)
        step = result["step"]
        for key in ("ms", "tokens_per_s", "model_gflops", "mfu"):
            self.assertGreater(step[key], 0, key)
        self.assertEqual(step["ms_spread"]["count"], 2)
        self.assertEqual(result["gemm_peak_spread"]["float32"]["count"], 2 + 1 + 3 + 8, "slices around steps, inference, generation")
        self.assertIn("measured twice", " ".join(result["warnings"]))
        self.assertGreaterEqual(set(step["by_op_ms"]), {"matmul", "attention", "norm", "gelu", "embedding", "optimizer"})
        self.assertGreater(result["memory"]["planned"], 0)
        self.assertGreater(result["generation"]["tokens_per_s"], 0)
        for op in result["ops"]:
            self.assertGreater(op["ms"], 0, op)
            self.assertGreater(op["floor_ms"], 0, op)
        shares = [op["share"] for op in result["ops"] if op["phase"] in ("step", "update")]
        # The median of a sum is not the sum of medians, so the shares sum to 1 only about.
        self.assertTrue(0.2 < sum(shares) < 5, sum(shares))
        names = {op["name"] for op in result["ops"]}
        self.assertGreaterEqual(names, {"matmul", "attention_forward", "attention_backward", "attention_decode",
                                        "cross_entropy_forward", "cross_entropy_forward_backward", "adamw_update"})

    def test_steps_in_bfloat16_are_held_against_its_peak(self):
        result = json.loads(self.run_bench("--dtype", "bfloat16", "--json"))
        self.assertEqual(result["step"]["dtype"], "bfloat16")
        spread = result["gemm_peak_spread"]["bfloat16"]
        rates = [result["step"]["model_gflops"] / spread[end] for end in ("max", "min")]
        self.assertTrue(0.1 * rates[0] < result["step"]["mfu"] < 10 * rates[1], (result["step"]["mfu"], rates))

    def test_text_names_the_machine_and_the_step(self):
        text = self.run_bench()
        self.assert_says(text, "peak", "GFLOP/s", "tokens/s", "planned and allocated", "generate")
        self.assertNotIn("attention_backward", text)
        self.assert_says(self.run_bench("--ops"), "attention_backward", "floor_ms")

    def test_update_of_muon_is_told_apart_from_the_model(self):
        result = json.loads(self.run_bench("--optimizer", "muon", "--json"))
        names = {op["name"] for op in result["ops"] if op["phase"] == "update"}
        self.assertGreaterEqual(names, {"l2_norm", "muon_momentum", "scaled_sum", "matmul", "muon_apply", "adamw_update"})
        update = result["step"]["update"]
        self.assertEqual({op["name"] for op in update["ops"]}, names)
        self.assertGreater(next(op["flops"] for op in update["ops"] if op["name"] == "matmul"), 0)
        self.assertTrue(0 < update["share"] < 1, update)
        self.assertAlmostEqual(result["step"]["by_op_ms"]["optimizer"], update["ms"])

    def test_race_with_cudnn_is_skipped_on_the_cpu(self):
        self.assert_says(self.run_bench("--device", "cpu", "--compare_cudnn"), "cudnn", "skipped: attention is cudnn", "NVIDIA")
        self.assertIn("NVIDIA", json.loads(self.run_bench("--device", "cpu", "--json", "--compare_cudnn"))["cudnn"]["skipped"])

    def test_comparison_without_pytorch_is_skipped_with_a_word(self):
        script = self.folder / "torch.py"
        script.write_text("import sys\nsys.exit(3)\n")
        self.assert_says(self.run_bench("--compare_torch", "--torch_script", str(script)), "torch", "skipped", "--python")

    def test_comparison_prints_the_ratio(self):
        script = self.folder / "torch.py"
        script.write_text('print(\'{"torch": "9.9", "tokens_per_s": 1.0}\')\n')
        result = json.loads(self.run_bench("--json", "--compare_torch", "--torch_script", str(script)))
        self.assertEqual(result["torch"]["version"], "9.9")
        self.assertGreater(result["torch"]["ratio"], 0)

    def test_tokenizers_json_has_the_promised_fields(self):
        result = json.loads(self.run_bench("--json", "--tokenizers", "--input", str(self.input)))["tokenizers"]
        self.assertEqual(result["text_bytes"], self.input.stat().st_size)
        self.assertEqual([e["threads"] for e in result["encode"]], [1, 2])
        for rate in (result["encode"][0]["mb_per_s"], result["decode_mb_per_s"], result["memcpy_mb_per_s"]):
            self.assertGreater(rate, 0)
        self.assertNotIn("tiktoken", result)

    def test_tokenizers_need_a_text(self):
        self.assert_says(self.run_bench("--tokenizers", expect=2), "--input")
        output = self.run_bench("--tokenizers", "--compare_tiktoken", "--input", str(self.input), expect=2)
        self.assert_says(output, "tokenizer is byte", "gpt2")

    def test_generation_is_timed_over_contexts_and_batches(self):
        # Room for a few sequences beside 0.2 MB of weights, but not for the caches of a thousand: 4 KiB each of 8 tokens.
        grid = ("--generate", "--contexts", "8,24", "--batches", "1,3,1000", "--rounds", "1", "--max_memory", "4MB")
        result = json.loads(self.run_bench(*grid, "--json"))
        self.assertGreater(result["bandwidth_gb_per_s"], 0)
        table = result["generate"]
        self.assertEqual((table["dtype"], table["rounds"], table["limit_source"]), ("float32", 1, "max_memory is 4MB"))
        shapes = [(cell["context"], cell["batch"]) for cell in table["cells"]]
        self.assertEqual(shapes, [(8, 1), (8, 3), (8, 1000), (24, 1), (24, 3), (24, 1000)])
        for cell in table["cells"]:
            self.assertEqual(cell["fits"], cell["batch"] < 1000, cell)
            self.assertEqual(cell["fits"], cell["planned_bytes"] <= table["limit_bytes"], cell)
            if cell["fits"]:
                self.assertEqual(cell["planned_bytes"], cell["held_bytes"])
                for key in ("first_token_ms", "token_ms", "tokens_per_s", "first_token_floor_ms", "token_floor_ms"):
                    self.assertGreater(cell[key], 0, key)

    def test_generation_refuses_what_it_cannot_do_and_what_is_not_its_own(self):
        self.assert_says(self.run_bench("--generate", "--contexts", "25", expect=2), "--contexts", "25", "block_size")
        self.assert_says(self.run_bench("--generate", "--dtype", "float16", "--device", "cpu", expect=2), "float16", "float32")
        self.assert_says(self.run_bench("--generate", "--max_memory", "1KB", expect=2), "max_memory is 1KB", "--contexts")
        self.assert_says(self.run_bench("--generate", "--steps", "2", expect=2), "--steps", "--generate", "one of the two")

    def test_programs_race_to_a_loss(self):
        text = self.folder / "text.txt"
        text.write_text("Nel mezzo del cammin di nostra vita, perché è già lì. " * 40, encoding="utf-8")
        race = ["--input", str(text), "--seeds", "1", "--eval_interval", "2", "--max_iters", "6", "--race", "train",
                "train --optimizer muon --learning_rate 1e-3"]
        result = json.loads(self.run_bench("--to_loss", "50", "--json", *race))
        for entrant in result["entrants"]:
            run = entrant["runs"][0]
            self.assertEqual((entrant["reached"], run["steps"]), (1, 2))
            self.assertGreater(run["seconds"], 0)
            self.assertIn("--seed", run["command"])
            with open(self.folder / run["folder"] / "metrics.jsonl", encoding="utf-8") as lines:
                bits = [m["val_bpb"] for m in map(json.loads, lines) if "val_bpb" in m]
            held_out = text.read_bytes()[-int(0.1 * text.stat().st_size):].decode(errors="ignore")
            nats = math.log(2) * min(bits[1:]) * len(held_out.encode()) / len(held_out)
            self.assertAlmostEqual(run["best_loss"], nats, delta=0.01 * nats)
        table = self.run_bench("--to_loss", "50", *race)
        self.assert_says(table, "50 nats a character", "1 of 1", "train --optimizer muon", "ratio")
        self.assert_says(self.run_bench("--to_loss", "0.01", *race), "0 of 1")
        self.assert_says(self.run_bench("--to_loss", "50", "--race", "train", "--input", str(text), "--n_head", "3", expect=2),
                         "exit status 2", ".log")

    def test_bad_flags_are_named(self):
        self.assert_says(self.run_bench("--stepz", "3", expect=2), "--stepz", "--steps")
        self.assert_says(self.run_bench("--steps", "0", expect=2), "--steps", "at least 1")
        self.assert_says(self.run_bench("--compare_torch", "--torch_script", "absent.py", expect=2), "absent.py", "--torch_script")
        self.assert_says(self.run_bench("--device", "cuda:99", expect=2), "cuda:99", "--device")
        for flag in ("--gpu", "--mfu", "--step_ms", "--cards"):
            self.assert_says(self.run_bench(flag, "1", expect=2), flag, "belongs to --scaling")


class Scaling(harness.ProgramTest):
    """bench --scaling as a user meets it; tests/report/scaling_report_test.cpp holds its figures against the model's."""

    def bench(self, *arguments, expect=0):
        command = [os.path.join(os.path.dirname(self.train), "bench"), "--scaling", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=harness.TIMEOUT_S, cwd=self.folder,
                              env=harness.ENVIRONMENT)
        self.assertEqual(done.returncode, expect, f"{command}\n{done.stdout}{done.stderr}")
        return done

    def test_json_has_every_preset_and_the_text_a_summary(self):
        tables = json.loads(self.bench("--json").stdout)
        self.assertEqual(len(tables), 11)
        for table in tables:
            self.assertEqual([len(cluster["points"]) for cluster in table["clusters"]], 6 * [11], table["model"])
        text = self.bench().stdout
        self.assert_says(text, "on paper", *(table["model"] for table in tables), "Efficiency in % at 8, 64 and 1,024 GPUs")

    def test_bad_input_is_named_and_prints_nothing_else(self):
        config = self.folder / "one.json"
        config.write_text(json.dumps({"n_layer": 2, "n_head": 2, "n_embd": 32}))
        for arguments, words in [
            (["--gpu", "RTX 4091"], ["--gpu", "RTX 4091", "RTX 4090"]),
            (["--mfu", "0"], ["--mfu", "0", "positive number"]),
            (["--mfu", "0.4"], ["--mfu", "0.4", "40"]),
            (["--mfu=high"], ["--mfu", "high", "positive number"]),
            (["--step_ms=-1", "--config", "one.json"], ["--step_ms", "-1", "positive number"]),
            (["--step_ms=nan", "--config", "one.json"], ["--step_ms", "nan", "positive number"]),
            (["--cards", "0"], ["--cards", "0", "at least 1"]),
            (["--cards", "99999999999999999999"], ["--cards", "99999999999999999999", "out of range"]),
            (["--step_ms", "9", "--gpu", "A100", "--config", "one.json"], ["--step_ms", "9", "--gpu", "A100", "one of the two"]),
            (["--step_ms", "9"], ["--step_ms", "9", "--config"]),
            (["--config", "absent.json"], ["absent.json"]),
            (["--steps", "3"], ["--steps", "--scaling", "one of the two"]),
            (["--compare_torch"], ["--compare_torch", "--scaling", "one of the two"]),
        ]:
            done = self.bench(*arguments, "--json", expect=2)
            self.assertEqual(done.stdout, "", arguments)
            self.assertTrue(done.stderr.startswith("error: "), done.stderr)
            self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
            self.assert_says(done.stderr, *words)


if __name__ == "__main__":
    harness.main()

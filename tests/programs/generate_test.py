#!/usr/bin/env python3
"""The programs that use a checkpoint: generate and evaluate, which lie beside train."""

import json
import pathlib
import shutil
import struct
import subprocess

import harness


class Checkpoint(harness.ProgramTest):
    def run_program(self, name, *flags, stdin=b"", expect=0):
        """Runs generate or evaluate and returns its two outputs, as bytes and as text."""
        done = subprocess.run(
            [pathlib.Path(self.train).parent / name, "--threads=1", *map(str, flags)],
            input=stdin,
            capture_output=True,
            timeout=harness.TIMEOUT_S,
            cwd=self.folder,
        )
        notes = done.stderr.decode("utf-8", errors="replace")
        self.assertEqual(done.returncode, expect, f"exit status of {name} {' '.join(map(str, flags))}\n{notes}")
        return done.stdout, notes

    def generate(self, *flags, **options):
        return self.run_program("generate", "--checkpoint", self.run_folder(), *flags, **options)

    def assert_refused(self, words, name, *flags):
        output, notes = self.run_program(name, *flags, expect=2)
        self.assertEqual(output, b"")
        self.assertTrue(any(line.startswith("error: ") for line in notes.splitlines()), notes)
        self.assert_says(notes, *words)


class Generate(Checkpoint):
    def setUp(self):
        super().setUp()
        self.run_train(threads=1)

    def test_gives_the_same_text_for_the_same_seed_streamed_or_not(self):
        flags = ["--prompt", "ba", "--max-new-tokens", 40, "--seed=7"]
        text, notes = self.generate(*flags)
        self.assertTrue(text.startswith(b"ba"))
        self.assert_says(notes, "best")
        self.assertEqual(self.generate(*flags)[0], text)
        self.assertEqual(self.generate(*flags, "--stream")[0], text)
        self.assertNotEqual(self.generate(*flags[:-1], "--seed=8")[0], text)

    def test_reads_a_file_or_standard_input(self):
        (self.folder / "prompt.txt").write_text("ba\nco")
        text = self.generate("--prompt_file", "prompt.txt", "--temperature", 0)[0]
        self.assertTrue(text.startswith(b"ba\nco"))
        self.assertEqual(self.generate("--temperature", 0, stdin=b"ba\nco")[0], text)

    def test_writes_one_json_object(self):
        output = self.generate("--prompt", "ba", "--json", "--num_samples", 3, "--max_new_tokens", 9, "--stop", "q", "--stop", "z")[0]
        result = json.loads(output)
        self.assertEqual([sample["num_tokens"] for sample in result["samples"]], [9, 9, 9])
        self.assertEqual(result["prompt"], "ba")

    def test_output_is_always_utf8(self):
        for seed in range(5):
            self.generate("--prompt", "lè", "--stream", "--temperature", 3, "--seed", seed)[0].decode("utf-8")

    def test_answers_line_by_line(self):
        output = self.generate("--interactive", "--json", stdin=b"ba\nco\n")[0]
        self.assertEqual([json.loads(line)["prompt"] for line in output.splitlines()], ["ba", "co"])

    def foreign_copy(self, tensor, value):
        """The run's best checkpoint as a folder of another program's, with every value of a tensor replaced."""
        copy = self.folder / "foreign"
        shutil.copytree(self.run_folder() / "best", copy)
        for name in ("training_state.json", "training_state.sha256"):
            (copy / name).unlink()
        file = copy / "model.safetensors"
        content = bytearray(file.read_bytes())
        header_end = 8 + struct.unpack("<Q", content[:8])[0]
        begin, end = json.loads(content[8:header_end])[tensor]["data_offsets"]
        content[header_end + begin : header_end + end] = struct.pack("<f", value) * ((end - begin) // 4)
        file.write_bytes(content)
        return copy

    def test_tells_a_model_that_computes_nan_from_one_that_holds_it(self):
        name = "transformer.h.0.mlp.c_fc.weight"
        flags = ["--checkpoint", self.foreign_copy(name, float("nan")), "--prompt", "ba"]
        self.assert_refused([name, "NaN or infinite"], "generate", *flags)
        shutil.rmtree(flags[1])
        self.foreign_copy(name, 3e38)
        output, notes = self.run_program("generate", *flags, expect=1)
        self.assertEqual(output, b"")
        self.assert_says(notes, "error: the logits after 2 tokens are NaN or infinite", "transformer.h.0.mlp.c_fc")
        (self.folder / "text.txt").write_text("ba co ba co\n")
        output, notes = self.run_program("evaluate", *flags[:2], "--input", "text.txt", expect=1)
        self.assertEqual(output, b"")
        self.assert_says(notes, "error: text.txt: losses of this text are NaN or infinite", "transformer.h.0.mlp.c_fc")

    def test_refuses_bad_input(self):
        good = ["--checkpoint", self.run_folder(), "--prompt", "ba"]
        self.assert_refused(["prompt is empty"], "generate", *good[:2], "--prompt", "")
        self.assert_refused(["prompt is empty"], "generate", *good[:2])
        self.assert_refused(["top_p is 1.5"], "generate", *good, "--top_p", 1.5)
        self.assert_refused(["--seed is \"-1\"", "at least 0"], "generate", *good, "--seed", -1)
        self.assert_refused(["--seed", "below 2^64"], "generate", *good, "--seed", 2**64)
        self.assert_refused(["--top_k is \"many\"", "a whole number"], "generate", *good, "--top_k", "many")
        self.assert_refused(["--top_k: its value is missing", "--top_k VALUE"], "generate", *good, "--top_k")
        self.assert_refused(["\"5000\"", "0 for as many as"], "generate", *good, "--threads", 5000)
        self.assert_refused(["did you mean", "runs/run?"], "generate", "--checkpoint", self.out_dir / "runn", "--prompt", "ba")
        (self.folder / "prompt.txt").write_text("ba")
        self.assert_refused(["did you mean prompt.txt?"], "generate", *good[:2], "--prompt_file", "promt.txt")
        self.assert_refused(["--temprature"], "generate", *good, "--temprature", 1)
        self.assert_refused(["absent"], "generate", "--checkpoint", "absent", "--prompt", "ba")
        self.assert_refused(["--checkpoint is missing (the folder of", "generate --checkpoint runs"], "generate", "--prompt", "ba")
        weights = self.run_folder() / "best" / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-100])
        self.assert_refused(["model.safetensors", "truncated"], "generate", *good)


class Flags(Checkpoint):
    def test_of_other_programs_are_taken(self):
        self.run_train(threads=1)
        expected = self.generate("--prompt", "ba", "--max_new_tokens", 9, "--seed", 7)[0]
        flags = ["--start", "ba", "--max-tokens=9", "-n", 9, "--num_return_sequences", 1, "--seed", 7, "--stream", "False", "--device", "CPU"]
        self.assertEqual(self.run_program("generate", self.run_folder(), *flags)[0], expected)
        self.assertEqual(self.run_program("generate", "--version")[0].split(b",")[0], b"generate")
        # Without effect, with train's note.
        notes = self.generate("--prompt", "ba", "--max_new_tokens", 1, "--compile", "True", "--wandb_log=False", "--cpu")[1]
        self.assert_says(notes, "config   --compile has no effect: there is nothing to compile", "--wandb_log False has no effect")
        (self.folder / "t.txt").write_text("ba co ba co")
        flags = ["--checkpoint", self.run_folder(), "--input", "t.txt", "--bs", 2, "--no-cuda"]
        self.assert_says(self.run_program("evaluate", *flags, "--compile")[1], "config   --compile has no effect")

    def test_that_have_no_equal_are_answered(self):
        self.assert_refused(["--max_length", "--max_new_tokens"], "generate", "--max_length", 9)
        self.assert_refused(["--temprature: unknown flag", "did you mean --temperature?"], "generate", "--temprature", 1)
        self.assert_refused(["--stream", "true or false"], "generate", "--stream=maybe")
        self.assert_refused(["hf download openai-community/gpt2"], "generate", "--checkpoint", "gpt2", "--prompt", "a")
        self.assert_refused(["unknown flag", "evaluate --help"], "evaluate", "--nonsense")


class Evaluate(Checkpoint):
    def setUp(self):
        super().setUp()
        self.run_train(threads=1)
        (self.folder / "short.txt").write_text(harness.make_text(num_bytes=500, seed=3), encoding="utf-8")

    def test_measures_a_text(self):
        flags = ["--checkpoint", self.run_folder(), "--input", "short.txt"]
        result = json.loads(self.run_program("evaluate", *flags, "--json")[0])
        self.assertEqual(result["predicted_tokens"], result["tokens"] - 1)
        sliding = json.loads(self.run_program("evaluate", *flags, "--json", "--stride=4")[0])
        self.assertEqual(sliding["predicted_tokens"], result["predicted_tokens"])
        self.assert_says(self.run_program("evaluate", *flags)[0].decode(), "perplexity", "bits/byte", f"{result['loss']:.4f}")

    def test_refuses_bad_input(self):
        flags = ["--checkpoint", self.run_folder()]
        self.assert_refused(["--input is missing (the texts", "evaluate --checkpoint runs"], "evaluate", *flags)
        self.assert_refused(["--checkpoint is missing", "--input is missing"], "evaluate")
        self.assert_refused(["absent.txt"], "evaluate", *flags, "--input", "absent.txt")
        self.assert_refused(["stride is 33"], "evaluate", *flags, "--input", "short.txt", "--stride", 33)


if __name__ == "__main__":
    harness.main()

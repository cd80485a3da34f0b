#!/usr/bin/env python3
"""calc_params and show_configs as a user meets them: exit statuses, JSON, and what they say to input that makes no sense."""

import json
import pathlib
import subprocess

import harness

SMALL = {"n_layer": 2, "n_head": 2, "n_embd": 64, "block_size": 64, "vocab_size": 500, "batch_size": 4, "threads": 1}


class Tool(harness.ProgramTest):
    def run_tool(self, name, *arguments, expect=0, stdin=""):
        done = subprocess.run(
            [pathlib.Path(self.train).parent / name, *map(str, arguments)],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=harness.TIMEOUT_S,
            cwd=self.folder,
            env=harness.ENVIRONMENT,
        )
        self.assertEqual(done.returncode, expect, f"{name} {' '.join(map(str, arguments))}\n{done.stdout}{done.stderr}")
        return done.stdout if expect != 2 else done.stderr

    def calc(self, *arguments, **options):
        return self.run_tool("calc_params", *arguments, **options)

    def calc_small(self, *arguments, **options):
        return self.calc(*harness.flags_of(SMALL), *arguments, **options)

    def assert_refused(self, words, *arguments, tool="calc_params"):
        before = harness.tree_of(self.folder)
        message = self.run_tool(tool, *arguments, expect=2)
        self.assertTrue(message.startswith("error: "), message)
        self.assertEqual(message.count("\n"), 1, message)
        self.assert_says(message, *words)
        self.assertEqual(harness.tree_of(self.folder), before)


class Answers(Tool):
    def test_what_fits_is_the_exit_status(self):
        planned = json.loads(self.calc_small("--json"))["plan"]["total_bytes"]
        self.calc_small("--fits", planned * 2)
        text = self.calc_small("--fits", planned * 3 // 4, expect=1)
        # The command that is proposed is one that train takes, and it fits.
        command = text.strip().splitlines()[-1].split()
        self.assertEqual(command[0], str(pathlib.Path(self.train).parent / "train"), "as calc_params was started")
        self.calc(*command[1:], "--fits", planned * 3 // 4)
        self.run_tool("show_configs", "--fits", "12GB")
        self.run_tool("show_configs", "--fits", "1MB", expect=1)
        self.calc_small("--solve", "n_layer", "--max_memory", "1KB", expect=1)

    def test_what_is_planned_is_what_a_run_holds(self):
        self.run_train(max_iters=2, lr_decay_iters=10)
        text = self.calc("--run", self.run_folder())
        self.assert_says(text, "weights", "equal", "the plan cannot know")
        self.assertNotIn("apart", text)
        memory = json.loads(self.calc("--run", self.run_folder(), "--json"))
        self.assertEqual(memory["planned"], memory["allocated"])
        checkpoint = self.step_checkpoints()[-1] / "config.json"
        self.assert_says(self.calc("--hf", checkpoint), "TOTAL PARAMETERS", "Training memory")

    def test_a_verified_plan_is_allocated(self):
        memory = json.loads(self.calc_small("--verify", "--json"))["memory"]
        self.assertEqual(memory["planned"], memory["allocated"])
        self.assertEqual(memory["planned"], memory["peak"])

    def test_questions_end_in_a_file_that_train_takes(self):
        # No head size fits a width of 63, nor do 5 heads fit 64: either is asked again at once.
        answers = "\n".join(["2", "wide", "63", "64", "5", "2", "32", "char", "", "", "auto", "", "mine.json"]) + "\n"
        text = self.calc("--interactive", stdin=answers)
        self.assert_says(text, "TOTAL PARAMETERS", "saved")
        self.assertEqual(json.loads((self.folder / "mine.json").read_text())["batch_size"], "auto")
        self.run_train("--config", "mine.json", max_iters=1, lr_decay_iters=10, n_layer=None, n_head=None, n_embd=None,
                       block_size=None, tokenizer=None, batch_size=None, max_memory="4MB", grad_accum_steps=None)


class BadInput(Tool):
    def test_of_sizes_that_cannot_be_names_them(self):
        self.assert_refused(["n_embd", "1000000000"], "--n_embd", "1000000000")
        self.assert_refused(["n_embd", "n_head", "multiple"], "--n_embd", 768, "--n_head", 5)
        self.assert_refused(["n_layer", "0"], "--n_layer", 0)
        self.assert_refused(["n_kv_head"], "--model", "llama2-7b", "--n_kv_head", 3)
        self.assert_refused(["d_ff"], "--d_ff", "99999999999999999999")

    def test_of_memory_that_is_none_names_the_units(self):
        for memory in ("12 gigs", "-1GB", "0GB", "GB", "12", "12 G B", "12XB", "99999999999999GB"):
            for flag in ("--fits", "--max_memory"):
                self.assert_refused([memory], f"{flag}={memory}")
            self.assert_refused([memory], f"--fits={memory}", tool="show_configs")
        self.assert_refused(["neither a file", "gigs"], "--fits", "12", "gigs")

    def test_of_unknown_names_suggests_the_nearest(self):
        self.assert_refused(["gpt2-xxl", "did you mean gpt2-xl"], "--model", "gpt2-xxl")
        self.assert_refused(["RTX 4091", "RTX 4090"], "--gpu", "RTX 4091")
        self.assert_refused(["--modle", "--model"], "--modle", "gpt2")
        self.assert_refused(["--solve", "batch_size"], "--solve", "everything")
        self.assert_refused(["150N", "did you mean 150M"], "--diff", "150N", "200M", tool="show_configs")

    def test_of_damaged_hugging_face_configs_names_the_key(self):
        path = self.folder / "config.json"
        llama = {"model_type": "llama", "num_hidden_layers": 2, "num_attention_heads": 4, "hidden_size": 64,
                 "intermediate_size": 128, "max_position_embeddings": 64, "vocab_size": 100}
        self.calc("--hf", self.write(path, llama))
        for key, value in [("hidden_size", "64"), ("hidden_size", None), ("num_hidden_layers", -2), ("num_attention_heads", 3),
                           ("num_key_value_heads", 3), ("intermediate_size", 0), ("vocab_size", 1e30), ("model_type", "bert"),
                           ("max_position_embeddings", [])]:
            self.assert_refused(["config.json"], "--hf", self.write(path, {**llama, key: value}))
        path.write_text("{")
        self.assert_refused(["config.json", "JSON"], "--hf", path)
        self.assert_refused(["absent.json"], "--hf", self.folder / "absent.json")
        self.assert_refused(["no metrics.jsonl"], "--run", self.folder)

    def write(self, path, config):
        path.write_text(json.dumps(config))
        return path


if __name__ == "__main__":
    harness.main()

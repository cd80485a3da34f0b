#!/usr/bin/env python3
"""Bad input: exit status 2, a message that names the key or file, its value and the remedy, and nothing written."""

import json
import os
import subprocess

import harness


class BadInput(harness.ProgramTest):
    def assert_refused(self, words, *extra, **settings):
        before = harness.tree_of(self.folder)
        output = self.run_train(*extra, expect=2, **settings)
        self.assert_says(output, *words)
        self.assertNotIn("terminate called", output)
        self.assertEqual(harness.tree_of(self.folder), before, "bad input must leave nothing behind")
        return output

    def test_of_a_misspelt_flag_names_the_nearest(self):
        self.assert_refused(["--n_lyer", "--n_layer"], "--n_lyer", "4")

    def test_of_a_misspelt_key_names_the_nearest(self):
        config = self.folder / "bad.json"
        config.write_text(json.dumps({"learning_rat": 0.1}))
        self.assert_refused(["bad.json", "learning_rat", "learning_rate"], "--config", str(config))

    def test_of_a_wrong_type_names_the_value(self):
        self.assert_refused(["n_layer", "six"], n_layer="six")
        self.assert_refused(["n_layer", "1.5"], n_layer=1.5)
        config = self.folder / "bad.json"
        config.write_text(json.dumps({"n_layer": "six"}))
        self.assert_refused(["bad.json", "n_layer", "six"], "--config", str(config))

    def test_out_of_range_names_the_value_and_the_range(self):
        self.assert_refused(["n_layer", "0", "1"], n_layer=0)
        self.assert_refused(["dropout", "1.5"], dropout=1.5)
        self.assert_refused(["n_embd", "-8"], n_embd=-8)
        self.assert_refused(["max_iters"], max_iters="99999999999999999999999")

    def test_of_heads_that_do_not_divide_names_both(self):
        self.assert_refused(["n_embd", "n_head", "32", "3"], n_head=3)

    def test_of_an_unknown_choice_names_the_choices(self):
        self.assert_refused(["lr_schedule", "cosin", "cosine"], lr_schedule="cosin")
        self.assert_refused(["tokenizer", "chars", "char"], tokenizer="chars")

    def test_of_a_missing_value_or_a_stray_word_says_so(self):
        self.assert_refused(["--seed"], "--seed")
        self.assert_refused(["stray"], "stray")

    def test_without_an_input_names_the_flag(self):
        self.assert_refused(["--input"], input=None)

    def test_of_a_missing_input_names_the_file(self):
        self.assert_refused(["absent.txt", "No such file"], input=self.folder / "absent.txt")

    def test_of_a_folder_as_input_names_it(self):
        (self.folder / "folder").mkdir()
        self.assert_refused(["folder"], input=self.folder / "folder")

    def test_of_a_missing_config_names_the_file(self):
        self.assert_refused(["absent.json"], "--config", str(self.folder / "absent.json"))

    def test_of_a_config_that_is_not_json_names_the_place(self):
        config = self.folder / "bad.json"
        config.write_text('{"n_layer": 2,\n "n_head" 2}')
        self.assert_refused(["bad.json", "line 2"], "--config", str(config))

    def test_of_an_empty_input_says_so(self):
        self.input.write_text("")
        self.assert_refused(["input.txt", "empty"])

    def test_of_an_input_shorter_than_a_block_says_which_block_size_fits(self):
        self.input.write_text("abcdefghij" * 2)
        self.assert_refused(["18 tokens", "block_size", "17"])  # a tenth of the 20 is held out

    def test_of_a_binary_input_says_so(self):
        self.input.write_bytes(b"\x7fELF\0\0\0" * 1000)
        self.assert_refused(["input.txt", "a program, not a text"])
        self.input.write_bytes(b"a\0b\0\0" * 1000)
        self.assert_refused(["input.txt", "NUL"])

    def test_of_too_little_memory_is_refused_before_allocating(self):
        output = self.assert_refused(["max_memory", "300KiB"], max_memory="300KiB")
        self.assert_no_step(output)

    def test_of_a_model_larger_than_the_machine_is_refused_before_allocating(self):
        # 96 layers of width 12,288 in float32: about 2.8 TB with gradients and optimizer state.
        huge = {"n_layer": 96, "n_embd": 12288, "n_head": 96, "block_size": 64}
        self.assert_no_step(self.assert_refused(["free on this machine"], **huge))
        # A max_memory beyond what the machine has is no permission to take what is not there.
        self.assert_no_step(self.assert_refused(["free on this machine", "max_memory is 900TB"], max_memory="900TB", **huge))

    def test_of_a_device_that_is_not_there_names_the_remedy(self):
        self.assert_refused(["cuda:99", "--device"], device="cuda:99")

    def test_of_a_run_name_with_slashes_is_refused(self):
        self.assert_refused(["model_name", "out_dir"], model_name="../run")

    def test_of_weights_that_are_not_there_names_the_folder(self):
        self.assert_refused(["absent", "no such checkpoint"], init_from=self.folder / "absent")

    def test_of_paths_that_the_system_refuses_names_them(self):
        (self.folder / "loop").symlink_to("loop")
        os.mkfifo(self.folder / "fifo")
        (self.folder / "locked").mkdir(mode=0)
        refused = [
            (["loop", "symbolic link"], {"out_dir": self.folder / "loop"}),
            (["loop", "symbolic link"], {"init_from": self.folder / "loop"}),
            (["shorter name"], {"model_name": "m" * 300}),
            (["fifo", "pipe"], {"config": self.folder / "fifo"}),
            (["fifo"], {"init_from": self.folder / "fifo"}),
        ]
        if os.geteuid() != 0:  # who may read everything
            refused.append((["locked", "Permission denied"], {"out_dir": self.folder / "locked" / "runs"}))
        for words, settings in refused:
            self.assert_says(self.run_train(expect=2, **settings), "error: ", *words)
        self.assertFalse(self.out_dir.exists())

    def test_of_any_length_is_repeated_in_part(self):
        for key in ("model_name", "dtype", "input", "n_layer", "max_memory", "tokenizer"):
            output = self.run_train(expect=2, **{key: "x" * 100000})
            self.assertLess(len(output), 3000, key)
        config = self.folder / "bad.json"
        for text in ('{"' + "k" * 100000 + '": 1}', '{"dtype": "' + "v" * 100000 + '"}', "[" * 100000, '{"n_layer": 1' + "0" * 100000 + "}"):
            config.write_text(text)
            self.assertLess(len(self.assert_refused(["bad.json"], "--config", str(config))), 3000)

    def test_of_an_out_dir_that_is_a_file_names_it(self):
        (self.folder / "file").write_text("x")
        self.assert_refused(["file"], out_dir=self.folder / "file")


class Help(harness.ProgramTest):
    def test_lists_the_keys_and_succeeds(self):
        done = subprocess.run([self.train, "--help"], capture_output=True, text=True, timeout=harness.TIMEOUT_S)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assert_says(done.stdout, "--input", "--config", "n_layer", "learning_rate", "resume")


if __name__ == "__main__":
    harness.main()

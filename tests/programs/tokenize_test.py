#!/usr/bin/env python3
"""tokenize: statistics, token files that train learns from, saved tokenizers, and what it says to bad input."""

import json
import pathlib
import shutil
import struct
import subprocess

import harness


class TokenizeTest(harness.ProgramTest):
    def tokenize(self, *flags, expect=0):
        """Runs tokenize and returns its two outputs."""
        done = subprocess.run(
            [pathlib.Path(self.train).parent / "tokenize", *map(str, flags)],
            capture_output=True,
            timeout=harness.TIMEOUT_S,
            cwd=self.folder,
            env=harness.ENVIRONMENT,
        )
        notes = done.stderr.decode("utf-8", errors="replace")
        self.assertEqual(done.returncode, expect, f"exit status of tokenize {' '.join(map(str, flags))}\n{notes}")
        return done.stdout.decode("utf-8"), notes

    def statistics(self, *flags):
        return json.loads(self.tokenize("--json", *flags)[0])

    def assert_refused(self, words, *flags):
        before = harness.tree_of(self.folder)
        output, notes = self.tokenize(*flags, expect=2)
        self.assertEqual(output, "")
        self.assertTrue(notes.splitlines()[-1].startswith("error: "), notes)
        self.assert_says(notes, *words)
        self.assertEqual(harness.tree_of(self.folder), before, "bad input must leave nothing behind")


class Tokenize(TokenizeTest):
    def test_prints_statistics(self):
        output, _ = self.tokenize("--input", self.input, "--tokenizer", "bpe:300")
        self.assert_says(output, "bpe:300: 300 ids", "bytes per token", "1 document", "longest tokens", "most frequent tokens")

    def test_json_has_the_promised_fields(self):
        result = self.statistics("--input", self.input, "--tokenizer", "byte")
        size = self.input.stat().st_size
        self.assertEqual((result["bytes"], result["tokens"], result["bytes_per_token"]), (size, size, 1.0))
        self.assertEqual(result["tokenizer"]["vocab_size"], 256)
        self.assertIn(0, result["unused_ids"])
        self.assertEqual(set(result["most_frequent_tokens"][0]), {"id", "bytes", "text", "count"})

    def test_shows_a_text_cut_into_tokens(self):
        output, _ = self.tokenize("--text", "ba\nfù", "--tokenizer", "byte", "--inspect")
        self.assertTrue(output.startswith("b|a|\\n\nf|\\xC3|\\xB9\n"), output)

    def test_takes_several_inputs_folders_and_patterns(self):
        texts = self.folder / "texts"
        texts.mkdir()
        for i in range(3):
            (texts / f"{i}.txt").write_text("abc")
        for inputs in ([texts], ["texts/*.txt"], ["texts/0.txt", "texts/1.txt", "texts/2.txt"]):
            result = self.statistics("--tokenizer", "byte", "--input", *inputs)
            self.assertEqual((result["documents"], result["bytes"]), (3, 9))

    def test_writes_the_formats_of_other_programs(self):
        for name in ("llm.c", "nanogpt"):
            self.tokenize("--text", "abc", "--tokenizer", "byte", "--output", name, "--format", name)
        ids = struct.pack("<3H", *b"abc")
        header = struct.pack("<256i", 20240520, 1, 3, *[0] * 253)
        self.assertEqual((self.folder / "llm.c" / "train" / "train-00000.bin").read_bytes(), header + ids)
        self.assertEqual((self.folder / "nanogpt" / "train" / "train-00000.bin").read_bytes(), ids)

    def test_help_lists_its_flags(self):
        output, _ = self.tokenize("--help")
        self.assert_says(output, "--input", "--tokenizer", "--output", "--inspect", "--save_tokenizer", "--json")

    def test_names_what_is_wrong(self):
        (self.folder / "utf32.txt").write_bytes("selva".encode("utf-32"))
        (self.folder / "nul.txt").write_bytes(b"ab\0c")
        (self.folder / "odd.bin").write_bytes(b"abc")
        (self.folder / "broken.json").write_text('{"format": "virgil-tokenizer"')
        self.assert_refused(["--input", "--text"])
        self.assert_refused(["absent.txt"], "--input", "absent.txt")
        self.assert_refused(["format", "hdf5", "nanogpt"], "--input", self.input, "--tokenizer", "byte", "--format", "hdf5")
        self.assert_refused(["bpe:99999", "or less"], "--input", self.input, "--tokenizer", "bpe:99999")
        self.assert_refused(["utf32.txt", "iconv"], "--input", "utf32.txt", "--tokenizer", "byte")
        self.assert_refused(["nul.txt", "offset 2", "--force"], "--input", "nul.txt", "--tokenizer", "byte")
        self.assert_refused(["odd.bin", "16-bit"], "--input", "odd.bin", "--tokenizer", "byte")
        self.assert_refused(["broken.json", "not valid JSON"], "--input", self.input, "--tokenizer", "broken.json")
        self.assert_refused(["cannot be mixed"], "--input", self.input, "odd.bin", "--tokenizer", "byte")
        self.assert_refused(["holds something"], "--input", self.input, "--tokenizer", "byte", "--output", self.folder)
        self.assert_refused(["--inptu"], "--inptu", self.input)
        self.assert_refused(["--shard_tokens"], "--input", self.input, "--tokenizer", "byte", "--shard_tokens", "0")

    def test_takes_nul_bytes_when_forced(self):
        (self.folder / "nul.txt").write_bytes(b"ab\0c")
        self.assertEqual(self.statistics("--input", "nul.txt", "--tokenizer", "byte", "--force")["tokens"], 4)


class Data(TokenizeTest):
    """What train does with the inputs it is given."""

    def test_token_files_train_as_their_texts_do(self):
        self.run_train(tokenizer="bpe:300", model_name="text")
        self.tokenize("--input", self.input, "--tokenizer", "bpe:300", "--val_fraction", "0.1", "--output", "tokens",
                      "--shard_tokens", "1000")
        self.run_train(input="tokens/train", val_input="tokens/val", tokenizer="tokens", model_name="files")
        self.assertEqual(self.figures("text"), self.figures("files"))
        self.assert_same_checkpoint(self.run_folder("text") / "step-00000020", self.run_folder("files") / "step-00000020")

    def test_several_inputs_in_a_config_file_are_kept_by_the_run(self):
        for name in ("a.txt", "b.txt"):
            (self.folder / name).write_text(harness.make_text(seed=len(name)), encoding="utf-8")
        config = self.folder / "texts.json"
        config.write_text(json.dumps({"input": ["a.txt", "b.txt"], "sampling": "epoch"}))
        output = self.run_train("--config", str(config), input=None)
        self.assert_says(output, "a.txt, b.txt (2 documents)")
        saved = json.loads((self.run_folder() / "run_config.json").read_text())
        kept = [str(self.folder.resolve() / name) for name in ("a.txt", "b.txt")]  # so that it can be resumed from any folder
        self.assertEqual((saved["input"], saved["sampling"]), (kept, "epoch"))
        self.run_train("--resume", input=None, max_iters=22)
        self.assertEqual(self.step_checkpoints()[-1].name, "step-00000022")

    def test_a_damaged_cache_is_refused_and_a_deleted_one_made_again(self):
        self.run_train(cache_dir="cache")
        entry = next((self.folder / "cache").iterdir())
        tokens = entry / "train-00000.bin"
        whole = tokens.read_bytes()
        tokens.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        output = self.run_train("--overwrite", expect=2, cache_dir="cache")
        self.assert_says(output, entry.name, "damaged", "delete the folder")
        shutil.rmtree(entry)
        self.run_train("--overwrite", cache_dir="cache")
        self.assertEqual(tokens.read_bytes(), whole)

    def test_a_damaged_vocabulary_is_refused(self):
        self.tokenize("--input", self.input, "--tokenizer", "bpe:300", "--save_tokenizer", "saved")
        saved = self.folder / "saved" / "tokenizer.json"
        whole = saved.read_text()
        saved.write_text(whole[: len(whole) // 2])
        self.assert_says(self.run_train(expect=2, tokenizer="saved"), "tokenizer.json", "not valid JSON")
        saved.write_text(whole.replace('"model"', '"modle"'))
        self.assert_says(self.run_train(expect=2, tokenizer="saved"), "tokenizer.json", "model")
        self.assertFalse(self.run_folder().exists())

    def test_a_missing_or_damaged_gpt2_vocabulary_is_refused(self):
        output = self.run_train(expect=2, tokenizer="gpt2", environment={"VIRGIL_DATA_DIR": str(self.folder)})
        self.assert_says(output, "gpt2.tiktoken", "run data/fetch_gpt2_vocab.sh")
        (self.folder / "gpt2.tiktoken").write_text("IQ== 0\n")
        output = self.run_train(expect=2, tokenizer="gpt2", environment={"VIRGIL_DATA_DIR": str(self.folder)})
        self.assert_says(output, "gpt2.tiktoken", "SHA-256", "fetch_gpt2_vocab.sh")

    def test_token_files_of_another_tokenizer_are_refused(self):
        self.tokenize("--input", self.input, "--tokenizer", "char", "--output", "chars")
        self.assert_says(self.run_train(expect=2, input="chars/train", tokenizer="byte"), "another tokenizer", "byte")
        self.tokenize("--text", "z" * 300, "--tokenizer", "byte", "--output", "bytes", "--format", "nanogpt")
        self.assert_says(self.run_train(expect=2, input="bytes/train", tokenizer="chars"), "outside the tokenizer's vocabulary")
        self.assertFalse(self.run_folder().exists())

    def test_another_tokenizer_than_the_checkpoints_is_refused(self):
        self.run_train()
        output = self.run_train("--resume", expect=2, max_iters=22, tokenizer="byte")
        self.assert_says(output, "tokenizer is char", "byte")

    def test_what_is_converted_is_said(self):
        text = harness.make_text()
        self.run_train(model_name="plain")
        self.input.write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
        self.assert_says(self.run_train(model_name="crlf"), "byte order mark", "CRLF")
        self.input.write_bytes(text.encode("utf-16"))
        self.assert_says(self.run_train(model_name="utf16"), "UTF-16")
        for name in ("crlf", "utf16"):
            self.assertEqual(self.figures(name), self.figures("plain"))
        self.input.write_bytes(text.encode() + b"caf\xe9 \xff")
        output = self.run_train(model_name="latin")
        self.assert_says(output, "2 bytes are not valid UTF-8", f"offset {len(text.encode()) + 3}")


if __name__ == "__main__":
    harness.main()

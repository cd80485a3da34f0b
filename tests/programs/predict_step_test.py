#!/usr/bin/env python3
"""tools/predict_step.py: its tables are those of docs/kernels.md, and its counts those of closed formulas."""

import functools
import pathlib
import subprocess
import sys

import harness

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOOL = ROOT / "tools" / "predict_step.py"
sys.path.insert(0, str(TOOL.parent))
import predict_step  # noqa: E402


@functools.cache
def gpt2(calc_params, *flags):
    """GPT-2 124M, in one micro-step unless the flags say otherwise."""
    return predict_step.Step([*predict_step.PUBLISHED_FLAGS, "--grad_accum_steps", "1", *flags], calc_params)


class PredictStep(harness.ProgramTest):
    @property
    def calc_params(self):
        return pathlib.Path(self.train).parent / "calc_params"

    def gpt2(self, *flags):
        return gpt2(self.calc_params, *flags)

    def test_prints_the_tables_of_the_documentation(self):
        done = subprocess.run([sys.executable, "-B", TOOL, "--calc_params", self.calc_params], capture_output=True, text=True, check=True)
        text = (ROOT / "docs" / "kernels.md").read_text(encoding="utf-8")
        for table in done.stdout.strip().split("\n\n"):
            self.assertTrue(table in text, f"docs/kernels.md differs: put the output of tools/predict_step.py there:\n{table}")

    def test_counts_what_the_formula_counts(self):
        step = self.gpt2()
        weights = 12 * 12 * 768**2 + 50304 * 768
        for gpu in predict_step.GPUS:
            ops = predict_step.step_ops(step, gpu)
            # Three products for each weight.
            self.assertEqual(sum(op.count * op.matmul_flops for op in ops), 6 * weights * step.rows)
            # Nine products of tiles for the three of 6 L C T by two each; pairs of a position with itself besides.
            attention = sum(op.count * op.attention_flops for op in ops)
            self.assertAlmostEqual(attention / (9 / 6 * 6 * 12 * 768 * 1025 * step.rows), 1, 9)

    def test_takes_the_calls_apart_that_a_gpu_does_not_fuse(self):
        fusing, apart = (next(gpu for gpu in predict_step.GPUS if gpu.fuses_gelu_backward == fuses) for fuses in (True, False))
        step = self.gpt2()
        hidden = 12 * step.rows * 4 * 768
        moved = [sum(op.count * op.bytes for op in predict_step.step_ops(step, gpu)) for gpu in (fusing, apart)]
        self.assertAlmostEqual((moved[1] - moved[0]) / (hidden * (3 * 2 - 2)), 1, 6)  # three reads and writes for one
        self.assertEqual(len(predict_step.step_ops(step, apart)) - len(predict_step.step_ops(step, fusing)), 12)

    def test_counts_parameters_and_operations(self):
        step = predict_step.read_step(ROOT / "configs" / "150M_1024.json", calc_params=self.calc_params)
        self.assertEqual(step.parameters, 152_691_456)  # docs/high-context.md
        self.assertEqual(step.flops_per_token, 6 * (step.parameters - 1024 * 768) + 6 * 16 * 768 * 1024)

    def test_recomputation_and_dropout_take_time(self):
        rates = predict_step.load_rates()
        for gpu in predict_step.GPUS:
            def time(*flags):
                return predict_step.figures(self.gpt2(*flags), gpu, rates[gpu.name])[0]

            self.assertLess(time(), time("--recompute", "gelu"))
            self.assertLess(time("--recompute", "gelu"), time("--recompute", "norm"))
            self.assertLess(time("--recompute", "norm"), time("--recompute", "block"))
            self.assertLess(time(), time("--dropout", "0.1"))
            self.assertLess(time(), time("--logits_chunk", "333"))

    def test_draws_masks_of_all_that_is_dropped(self):
        dropped = sum(op.count * op.dropped for op in predict_step.step_ops(self.gpt2("--dropout", "0.1"), predict_step.GPUS[0]))
        rows = self.gpt2().rows
        pairs = 12 * 12 * rows * 1024 / 2  # of all layers and heads
        # Attention draws once forward and twice backward, residuals once both ways, embeddings once and twice.
        self.assertEqual(dropped, 3 * pairs + (2 * 2 * 12 + 3) * rows * 768)

    def test_meets_what_others_published(self):
        # 5 % below their least at the worst, never above their best.
        rates = predict_step.load_rates()
        step = predict_step.Step(predict_step.PUBLISHED_FLAGS, self.calc_params)
        for gpu in predict_step.GPUS:
            rate = predict_step.figures(step, gpu, rates[gpu.name])[1]
            least, best = predict_step.PUBLISHED[gpu.name]
            self.assertGreater(rate, 0.95 * least)
            self.assertLess(rate, best)

    def test_says_what_it_lacks(self):
        for flags, words in ((["--calc_params", "/no/calc_params"], "/no/calc_params"),
                             ([ROOT / "configs" / "tiny.json", "--logits_chunk", "-3", "--calc_params", self.calc_params], "logits_chunk")):
            done = subprocess.run([sys.executable, "-B", TOOL, *flags], capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 2)
            self.assertIn(words, done.stderr)
            self.assertNotIn("Traceback", done.stderr)


if __name__ == "__main__":
    harness.main()

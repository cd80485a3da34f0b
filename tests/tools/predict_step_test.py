#!/usr/bin/env python3
"""tools/predict_step.py: its tables are those of docs/kernels.md, and its counts those of closed formulas."""

import dataclasses
import pathlib
import subprocess
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOOL = ROOT / "tools" / "predict_step.py"
sys.path.insert(0, str(TOOL.parent))
import predict_step  # noqa: E402

GPT2 = dataclasses.replace(predict_step.PUBLISHED_SHAPE, micro_steps=1)


class PredictStep(unittest.TestCase):
    def test_prints_the_tables_of_the_documentation(self):
        done = subprocess.run([sys.executable, "-B", TOOL], capture_output=True, text=True, check=True)
        text = (ROOT / "docs" / "kernels.md").read_text(encoding="utf-8")
        for table in done.stdout.strip().split("\n\n"):
            self.assertIn(table, text, "docs/kernels.md differs: put the output of tools/predict_step.py there")

    def test_counts_what_the_formula_counts(self):
        for gpu in predict_step.GPUS:
            self.check_counts(predict_step.step_ops(GPT2, gpu))

    def check_counts(self, ops):
        matmul = sum(op.count * op.matmul_flops for op in ops)
        attention = sum(op.count * op.attention_flops for op in ops)
        tokens = GPT2.rows
        # Three products for each weight; classifier's chunks cover the rows and less than a chunk more.
        weights = 12 * 12 * 768**2 + 50304 * 768
        self.assertGreaterEqual(matmul, 6 * weights * tokens)
        self.assertLess(matmul, 6 * (weights + 50304 * 768 / 24) * tokens)
        # Nine products of tiles for the three of 6 L C T by two each.
        self.assertEqual(attention, 9 / 6 * 6 * 12 * 768 * 1024 * tokens)

    def test_counts_parameters(self):
        shape = predict_step.read_shape(ROOT / "configs" / "150M_1024.json")
        self.assertEqual(shape.parameters, 152_691_456)  # docs/high-context.md

    def test_recomputation_and_dropout_take_time(self):
        rates = predict_step.load_rates()
        for gpu in predict_step.GPUS:
            def time(**changes):
                return predict_step.figures(dataclasses.replace(GPT2, **changes), gpu, rates[gpu.name])[0]

            self.assertLess(time(), time(recompute="gelu"))
            self.assertLess(time(recompute="gelu"), time(recompute="norm"))
            self.assertLess(time(recompute="norm"), time(recompute="block"))
            self.assertLess(time(), time(dropout=True))
            self.assertLess(time(), time(logits_chunk=333))

    def test_meets_what_others_published(self):
        # 5 % below their least at the worst, never above their best.
        rates = predict_step.load_rates()
        for gpu in predict_step.GPUS:
            rate = predict_step.figures(predict_step.PUBLISHED_SHAPE, gpu, rates[gpu.name])[1]
            least, best = predict_step.PUBLISHED[gpu.name]
            self.assertGreater(rate, 0.95 * least)
            self.assertLess(rate, best)


if __name__ == "__main__":
    unittest.main()

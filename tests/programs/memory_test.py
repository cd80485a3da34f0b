#!/usr/bin/env python3
"""Plan and reality on a run of more than 500 MiB: what train plans is what it allocates, and what the process grows by."""

import pathlib

import harness

MIB = 1 << 20
# Many tokens of a small model: the plan is large, a step is short and the checkpoint at the end is small.
LARGE = {
    "n_layer": 6,
    "n_head": 2,
    "n_embd": 128,
    "block_size": 128,
    "grad_accum_steps": 1,
    "dropout": 0,
    "max_iters": 1,  # one step touches every byte
    "warmup_iters": 0,
    "lr_decay_iters": 1,
    "eval_interval": 0,
    "save_interval": 0,
}


class Memory(harness.ProgramTest):
    def setUp(self):
        super().setUp()
        if b"__asan_init" in pathlib.Path(self.train).read_bytes():
            self.skipTest("a sanitizer's own memory counts as resident")

    def test_the_process_grows_by_the_plan_in_float32(self):
        self.check_growth(dtype="float32", batch_size=84)

    def test_the_process_grows_by_the_plan_in_bfloat16(self):
        self.check_growth(dtype="bfloat16", batch_size=164)

    def check_growth(self, **settings):
        output = self.run_train(**LARGE, **settings)
        memory = self.metrics()[-1]["mem"]
        (session,) = self.sessions()
        planned = session["planned"]
        self.assertGreaterEqual(planned, 500 * MIB)
        self.assertEqual(memory["allocated"], planned)
        self.assertEqual(memory["peak"], planned)
        if memory["process_rss"] == 0:
            self.skipTest("this system does not tell a process's resident bytes")
        # Threads, a library's code and buffers, and rounding to pages: less than 3 % of the plan.
        growth = memory["process_rss"] - session["process_before"]
        self.assertLess(abs(growth - planned), 0.03 * planned, f"grew by {growth} bytes for a plan of {planned}\n{output}")
        self.assert_says(output, "the plan cannot know", "equal")
        self.assertNotIn("bytes apart", output)


if __name__ == "__main__":
    harness.main()

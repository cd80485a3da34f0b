#!/usr/bin/env python3
"""What `train` shows on a terminal: one line that fits, and lines that stay."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios

import harness

CONTROL = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
LIVE = re.compile(r"\r(?:\x1b\[\?7l)([^\r\n]*?)\x1b\[K\x1b\[\?7h")


class Console(harness.ProgramTest):
    def on_terminal(self, columns, term="xterm-256color", **variables):
        """All that train writes to a terminal so many columns wide."""
        ours, its = pty.openpty()
        fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        environment = {**self.environment, "TERM": term, "LC_ALL": "C.UTF-8", "NO_COLOR": "", **variables}
        command = self.command("--overwrite", max_iters=40)
        process = subprocess.Popen(command, stdin=its, stdout=its, stderr=its, cwd=self.folder, env=environment)
        os.close(its)
        output = b""
        while True:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # the other end is closed
                break
            if not piece:
                break
            output += piece
        os.close(ours)
        self.assertEqual(process.wait(timeout=harness.TIMEOUT_S), 0, output)
        return output.decode("utf-8").replace("\r\n", "\n")

    def test_the_live_line_fits_the_terminal(self):
        for columns, parts in ((80, ["%", "/40", "loss ", " tok/s", "mem ", "MiB"]), (200, ["lr ", "norm ", "rss ", "left"])):
            lines = [line for line in LIVE.findall(self.on_terminal(columns)) if "loss" in line]
            self.assertGreater(len(lines), 30)
            for line in lines:
                self.assertLess(len(CONTROL.sub("", line)), columns, line)
            for part in parts:
                self.assertIn(part, CONTROL.sub("", lines[-1]))
            self.assertRegex(lines[-1], "[▁▂▃▄▅▆▇█]{5}")

    def test_a_step_of_every_twentieth_stays(self):
        text = CONTROL.sub("", self.on_terminal(80))
        lasting = re.findall(r"^(?:[^\n]*\r)? *(\d+)% +\d+/40 loss [^\r\n]*$", text, re.MULTILINE)
        self.assertEqual([int(percent) for percent in lasting], list(range(5, 101, 5)))

    def test_colours_are_left_out_on_request(self):
        self.assertIn("\x1b[1m", self.on_terminal(80))
        self.assertNotIn("\x1b[1m", self.on_terminal(80, NO_COLOR="1"))

    def test_a_terminal_that_cannot_rewrite_a_line_gets_plain_ones(self):
        text = self.on_terminal(80, term="dumb")
        self.assertNotIn("\x1b", text)
        self.assertRegex(text, r"(?m)^step +39/40  loss")


if __name__ == "__main__":
    harness.main()

#!/usr/bin/env python3
"""Draws one block of a training step: its calls forward and backward, and what the backward pass reads of the forward pass.

    build/calc_params --config configs/tiny.json --recompute none --calls --json | tools/draw_tape.py > docs/block.svg

Reads what calc_params --calls --json prints. --layer chooses the block (1: the first that follows another).
"""

import argparse
import html
import json
import sys

BOX_WIDTH = 330
BOX_HEIGHT = 40
FORWARD_X = 30
BACKWARD_X = 640
TOP = 70
BACKWARD_STEP = 54
PREFIX = "transformer."


class Step:
    """The calls of one block, with the names of their operands."""

    def __init__(self, step, layer):
        self.tensors = step["tensors"]
        self.block = f"{PREFIX}h.{layer}."
        calls = list(enumerate(step["calls"]))
        # The head is what writes losses; all before is the forward pass.
        head = next(index for index, call in calls if call["family"] == "cross_entropy")
        self.forward = [call for index, call in calls if index < head and self.writes_block(call)]
        self.backward = [call for index, call in calls if index > head and self.touches_block(call)]

    def name(self, operand):
        return self.tensors[operand["tensor"]]["name"]

    def writes_block(self, call):
        return any(o["access"] != "read" and self.name(o).startswith(self.block) for o in call["operands"])

    def touches_block(self, call):
        return any(self.name(o).startswith(self.block) for o in call["operands"])

    def short(self, name):
        return name.replace(self.block, "").replace(PREFIX, "")

    def written(self, call):
        """Names with shapes, statistics left out where there is something else."""
        names = [(self.short(self.name(o)), o["shape"], o["access"]) for o in call["operands"] if o["access"] != "read"]
        main = [entry for entry in names if not entry[0].endswith((".mean", ".rstd", ".lse"))]
        return [f"{name} {shape}{' +=' if access == 'update' else ''}" for name, shape, access in main or names]

    def kept(self):
        """(forward call, backward call, names): what the one makes and the other reads."""
        made = {}
        for index, call in enumerate(self.forward):
            for operand in call["operands"]:
                if operand["access"] != "read":
                    made.setdefault(operand["tensor"], index)
        links = {}
        for index, call in enumerate(self.backward):
            for operand in call["operands"]:
                if operand["access"] == "read" and operand["tensor"] in made:
                    links.setdefault((made[operand["tensor"]], index), []).append(self.short(self.name(operand)))
        return [(forward, backward, names) for (forward, backward), names in links.items()]


def text(x, y, content, size=12, weight="normal", colour="#1f2328", anchor="start"):
    return (
        f'<text x="{x}" y="{y}" font-size="{size}" font-weight="{weight}" fill="{colour}" text-anchor="{anchor}">'
        f"{html.escape(content)}</text>"
    )


def box(x, y, call, written, fill):
    cost = f"{call['flops'] / 1e9:.2f} GFLOP, " if call["flops"] else ""
    line = ", ".join(written)
    shown = line if len(line) <= 58 else line[:57] + "…"
    return [
        f'<rect x="{x}" y="{y}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="6" fill="{fill}" stroke="#57606a" stroke-width="0.8"/>',
        text(x + 9, y + 16, call["op"], weight="600"),
        text(x + BOX_WIDTH - 9, y + 16, f"{cost}{call['bytes'] / 1e6:.1f} MB", size=10, colour="#57606a", anchor="end"),
        text(x + 9, y + 32, shown, size=10),
    ]


def draw(step):
    bottom = TOP + BACKWARD_STEP * (len(step.backward) - 1)
    forward_step = (bottom - TOP) / max(1, len(step.forward) - 1)
    forward_y = [TOP + forward_step * i for i in range(len(step.forward))]
    backward_y = [bottom - BACKWARD_STEP * i for i in range(len(step.backward))]
    height = bottom + BOX_HEIGHT + 30
    width = BACKWARD_X + BOX_WIDTH + 30
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height:.0f}" width="{width}" height="{height:.0f}" '
        'font-family="system-ui, sans-serif">',
        f'<rect width="{width}" height="{height:.0f}" fill="#ffffff"/>',
        text(FORWARD_X, 32, "forward, downwards", size=15, weight="600"),
        text(BACKWARD_X, 32, "backward, upwards", size=15, weight="600"),
        text((FORWARD_X + BOX_WIDTH + BACKWARD_X) / 2, 32, "what is kept", size=12, colour="#57606a", anchor="middle"),
        text(FORWARD_X, 52, "op, cost, and what it writes", size=11, colour="#57606a"),
        text(BACKWARD_X, 52, "+= adds to what is there", size=11, colour="#57606a"),
    ]
    left, right = FORWARD_X + BOX_WIDTH, BACKWARD_X
    kept = step.kept()
    for forward, backward, names in kept:
        # What ends in one call ends side by side, so that the names can be read.
        ends = sorted(other[0] for other in kept if other[1] == backward)
        beside = (ends.index(forward) - (len(ends) - 1) / 2) * 16
        y1, y2 = forward_y[forward] + BOX_HEIGHT / 2, backward_y[backward] + BOX_HEIGHT / 2 + beside
        title = html.escape(", ".join(names))
        lines.append(
            f'<path d="M {left} {y1:.1f} C {left + 130} {y1:.1f}, {right - 130} {y2:.1f}, {right} {y2:.1f}" fill="none" '
            f'stroke="#0969da" stroke-opacity="0.55" stroke-width="1.3"><title>{title}</title></path>'
        )
        lines.append(text(right - 6, y2 - 4, ", ".join(names), size=9, colour="#0969da", anchor="end"))
    for call, y in zip(step.forward, forward_y):
        lines += box(FORWARD_X, y, call, step.written(call), "#ddf4ff")
    for call, y in zip(step.backward, backward_y):
        lines += box(BACKWARD_X, y, call, step.written(call), "#fff1e5")
    return "\n".join([*lines, "</svg>", ""])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layer", type=int, default=1, help="which block (1)")
    arguments = parser.parse_args()
    try:
        step = json.load(sys.stdin)["step"]
    except (ValueError, KeyError, TypeError) as error:
        sys.exit(f"standard input is not what calc_params --calls --json prints: {error!r}")
    drawn = Step(step, arguments.layer)
    if not drawn.forward:
        sys.exit(f"the model has no block {arguments.layer}")
    sys.stdout.write(draw(drawn))


if __name__ == "__main__":
    main()

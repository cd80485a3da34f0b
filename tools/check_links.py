#!/usr/bin/env python3
"""Fails on a link of a Markdown file that leads nowhere: to a file that is absent, or to a heading that its page does not have.

Anchors are made by GitHub's rules: lower case, punctuation removed, spaces to hyphens, -1, -2, ... for headings that repeat.
Addresses of the web are not opened.

    tools/check_links.py [--root DIRECTORY]

Prints one line a broken link: file:line: what is wrong. Exit status 1 when there is any.
"""

import argparse
import difflib
import pathlib
import re
import subprocess
import sys
import unicodedata
import urllib.parse

FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})(.*)$")
CODE_SPAN = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)")
COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
HEADING = re.compile(r"^ {0,3}(#{1,6})[ \t]+(.*?)(?:[ \t]+#+)?[ \t]*$")
INLINE_LINK = re.compile(r"\[(?:[^\[\]]|\[[^\[\]]*\])*\]\(\s*(<[^<>]*>|(?:[^\s()]|\([^\s()]*\))*)(?:\s+(?:\"[^\"]*\"|'[^']*'))?\s*\)")
NESTED_IMAGE = re.compile(r"!\[[^\[\]]*\]\(\s*(<[^<>]*>|[^\s()]*)[^()]*\)")
REFERENCE = re.compile(r"^ {0,3}\[([^\]^]+)\]:\s*(<[^<>]*>|\S+)")
HTML_TARGET = re.compile(r"<(?:a|img|source)\b[^>]*?\b(?:href|src|srcset)\s*=\s*[\"']([^\"']+)[\"']", re.IGNORECASE)
HTML_ANCHOR = re.compile(r"<[a-z][a-z0-9]*\b[^>]*?\b(?:id|name)\s*=\s*[\"']([^\"']+)[\"']", re.IGNORECASE)
SCHEME = re.compile(r"^[a-z][a-z0-9+.-]*:", re.IGNORECASE)


def blank(match):
    """Spaces in place of what a pattern found, so that lines keep their numbers."""
    return re.sub(r"[^\n]", " ", match.group(0))


def prose_lines(text):
    """The lines of a page, with fenced code and comments blanked."""
    lines, fence = [], None
    for line in COMMENT.sub(blank, text).split("\n"):
        match = FENCE.match(line)
        if fence is not None:
            if match and match.group(1).startswith(fence) and not match.group(2).strip():
                fence = None
            lines.append("")
        elif match and not (match.group(1)[0] == "`" and "`" in match.group(2)):
            fence = match.group(1)
            lines.append("")
        else:
            lines.append(line)
    return lines


def plain_text(heading):
    """What a heading shows: the words of its links, code and emphasis without their marks."""
    spans = []

    def keep(match):
        spans.append(match.group(2).strip())
        return f"\0{len(spans) - 1}\0"

    text = CODE_SPAN.sub(keep, heading)
    text = re.sub(r"!\[[^\]]*\]\([^)]*\)", "", text)
    text = re.sub(r"\[([^\]]*)\](?:\([^)]*\)|\[[^\]]*\])", r"\1", text)
    text = re.sub(r"<[^>]+>", "", text)
    text = re.sub(r"(\*\*|__)(?=\S)(.+?)(?<=\S)\1", r"\2", text)
    text = re.sub(r"\*(?=\S)(.+?)(?<=\S)\*", r"\1", text)
    text = re.sub(r"(?<!\w)_(?=\S)(.+?)(?<=\S)_(?!\w)", r"\1", text)
    text = re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", text)
    return re.sub(r"\0(\d+)\0", lambda match: spans[int(match.group(1))], text)


def stays(character):
    """Whether an anchor keeps a character: letters, marks and digits; unlike Python's \\w no superscripts and fractions."""
    return character in "- " or unicodedata.category(character)[0] in "LM" or unicodedata.category(character) in ("Nd", "Nl", "Pc")


def anchor_of(heading):
    """A heading's anchor on GitHub, before repeated ones are numbered."""
    return "".join(filter(stays, plain_text(heading).strip().lower())).replace(" ", "-")


def anchors_of(lines):
    """Every anchor of a page."""
    anchors, used = set(), {}
    for line in lines:
        anchors.update(HTML_ANCHOR.findall(line))
        match = HEADING.match(line)
        if not match:
            continue
        base = name = anchor_of(match.group(2))
        while name in used:
            used[base] += 1
            name = f"{base}-{used[base]}"
        used[name] = 0
        anchors.add(name)
    return anchors


def targets_of(lines):
    """(line number, target) of every link and picture of a page. A link may run over the end of a line."""
    text = "\n".join(lines)
    text = CODE_SPAN.sub(blank, text)
    for pattern in (INLINE_LINK, NESTED_IMAGE, HTML_TARGET):
        for match in pattern.finditer(text):
            yield text.count("\n", 0, match.start(1)) + 1, match.group(1).strip("<>")
    for number, line in enumerate(lines, start=1):
        match = REFERENCE.match(line)
        if match:
            yield number, match.group(2).strip("<>")


class Pages:
    """Markdown files below a root, each read once."""

    def __init__(self, root):
        self.root = root
        self.lines = {}

    def lines_of(self, path):
        if path not in self.lines:
            self.lines[path] = prose_lines(path.read_text(encoding="utf-8"))
        return self.lines[path]

    def problem(self, page, target):
        """What is wrong with a link of a page, or None."""
        if SCHEME.match(target) or target.startswith("//"):
            return None
        name, _, anchor = target.partition("#")
        name, anchor = urllib.parse.unquote(name), urllib.parse.unquote(anchor)
        start = self.root if name.startswith("/") else page.parent
        file = (start / name.lstrip("/")).resolve() if name else page
        if file != self.root and self.root not in file.parents:
            return f"{target} leads out of the repository"
        if not file.exists():
            return f"{target}: there is no {file.relative_to(self.root)}"
        if not anchor or file.suffix != ".md":
            return None
        anchors = anchors_of(self.lines_of(file))
        if anchor in anchors:
            return None
        near = difflib.get_close_matches(anchor, anchors, n=1, cutoff=0)
        return f"{target}: {file.relative_to(self.root)} has no #{anchor}" + (f"; did you mean #{near[0]}?" if near else "")


def markdown_files(root):
    """Markdown files that git knows or would add; in a folder that is not git's every one outside build folders."""
    command = ["git", "-C", root, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", "*.md"]
    listed = subprocess.run(command, capture_output=True, text=True) if (root / ".git").exists() else None
    if listed is None or listed.returncode != 0:
        return sorted(page for page in root.rglob("*.md") if not page.relative_to(root).parts[0].startswith(("build", ".")))
    return sorted({root / name for name in listed.stdout.split("\0") if name and (root / name).is_file()})


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--root", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parent.parent)
    root = parser.parse_args().root.resolve()
    pages = Pages(root)
    broken = 0
    for page in markdown_files(root):
        for number, target in sorted(set(targets_of(pages.lines_of(page)))):
            problem = pages.problem(page, target)
            if problem:
                broken += 1
                print(f"{page.relative_to(root)}:{number}: {problem}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())

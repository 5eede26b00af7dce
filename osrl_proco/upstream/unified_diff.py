"""Apply a unified diff to a source text in memory, as `patch -p1` would, but without fuzz."""

from __future__ import annotations

import re
from dataclasses import dataclass

_HEADER = re.compile(r"@@ -(\d+)(?:,(\d+))? \+\d+(?:,(\d+))? @@")


class DoesNotFit(Exception):
    """The lines that a hunk replaces are not in the text. `line` is where they were expected, from 1."""

    def __init__(self, line: int) -> None:
        super().__init__(f"no match near line {line}")
        self.line = line


@dataclass(frozen=True)
class Hunk:
    """Replace the lines `old`, expected at line `start` (from 1), by the lines `new`."""

    start: int
    old: tuple[str, ...]
    new: tuple[str, ...]


def parse_diff(text: str) -> dict[str, list[Hunk]]:
    """The hunks of a unified diff by file, the first part of the path dropped (`-p1`).

    Text before the first `---` line is the header and is skipped. Raises ValueError for a hunk that is cut short.
    """
    files: dict[str, list[Hunk]] = {}
    lines = text.splitlines()
    current: list[Hunk] = []
    at = 0
    while at < len(lines):
        line = lines[at]
        at += 1
        if line.startswith("--- ") and at < len(lines) and lines[at].startswith("+++ "):
            path = lines[at][4:].split("\t")[0].partition("/")[2]
            current = files.setdefault(path, [])
            at += 1
        elif files and (header := _HEADER.match(line)):
            start, old_count, new_count = (int(n) if n else 1 for n in header.groups())
            old: list[str] = []
            new: list[str] = []
            while len(old) < old_count or len(new) < new_count:
                if at == len(lines):
                    raise ValueError(f"hunk at line {start} is cut short")
                sign, content = lines[at][:1], lines[at][1:]
                if sign != "+":
                    old.append(content)
                if sign != "-":
                    new.append(content)
                at += 1
            current.append(Hunk(start, tuple(old), tuple(new)))
    return files


def apply_hunks(source: str, hunks: list[Hunk]) -> str:
    """The text with all hunks applied; each may lie above or below its expected line, but must match exactly.

    Raises DoesNotFit.
    """
    lines = source.split("\n")
    shift = 0
    for hunk in hunks:
        size = len(hunk.old)
        expected = hunk.start - 1 + shift
        places = [i for i in range(len(lines) - size + 1) if tuple(lines[i : i + size]) == hunk.old]
        if not places:
            raise DoesNotFit(hunk.start)
        place = min(places, key=lambda i: abs(i - expected))
        lines[place : place + size] = hunk.new
        shift = place - (hunk.start - 1) + len(hunk.new) - size
    return "\n".join(lines)

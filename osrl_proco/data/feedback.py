"""What a person said of segments: preferences between two, and whether each is safe. Two JSON files.

    {"kind": "preferences", "data": "0f3a...", "length": 20, "pairs": [[120, 4000, "first"], ...]}
    {"kind": "safety labels", "data": "0f3a...", "length": 20, "segments": [[120, "safe"], [4000, "unsafe"], ...]}

A segment is named by its first row in the training data, as the split left them. `data` is `data_key` of these data, so
that a file is never read against others. `osrl-proco label` writes both files; docs/algorithms/presa.md explains them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..core.errors import UserError
from ..core.files import read_json, write_text
from .samplers import SHORTEST_SEGMENT
from .trajectories import Trajectories
from .transitions import Transitions

CHOICES = {"first": 1.0, "second": 0.0, "same": 0.5}  # probability that the first of a pair is preferred
SAFETY = ("safe", "unsafe")
_KINDS = {"preferences": ("pairs", 3), "safety labels": ("segments", 2)}
LARGEST_FILE = 2**28  # bytes


@dataclass(frozen=True)
class Feedback:
    """One of the two files: `items` are (first row, first row, choice) or (first row, label)."""

    kind: str
    data: str
    length: int
    items: tuple[tuple[Any, ...], ...]

    def write(self, path: str | Path) -> None:
        """Write the file, whole or not at all. Raises UserError where that fails."""
        name = _KINDS[self.kind][0]
        head = {"kind": self.kind, "data": self.data, "length": self.length}
        lines = ",\n".join(json.dumps(list(item)) for item in self.items)
        write_text(path, f'{json.dumps(head)[:-1]}, "{name}": [\n{lines}\n]}}\n')


def data_key(data: Transitions) -> str:
    """16 hexadecimal digits of what was seen and done in the data; costs and rewards may change, rows may not."""
    digest = hashlib.sha256()
    for column in (data.observations, data.actions, data.last):
        digest.update(column.cpu().contiguous().numpy().data)
    return digest.hexdigest()[:16]


def read_preferences(path: str, data: Transitions) -> tuple[int, Tensor, Tensor]:
    """Length of the segments, their first rows (2P,) with pair p at 2p and 2p + 1, and the choice (P,) of `CHOICES`.

    Raises UserError that names the file, the entry and the fix.
    """
    found = read(path, "--preferences", "preferences", data)
    _require(found, found.items, CHOICES, f"--preferences {path}: pairs", data)
    rows = torch.tensor([item[:2] for item in found.items]).reshape(-1)
    return found.length, rows, torch.tensor([CHOICES[item[2]] for item in found.items])


def read_safety_labels(path: str, data: Transitions) -> tuple[int, dict[int, bool]]:
    """Length of the segments, and whether each is unsafe, by its first row.

    Raises UserError that names the file, the entry and the fix.
    """
    found = read(path, "--safety_labels", "safety labels", data)
    _require(found, found.items, SAFETY, f"--safety_labels {path}: segments", data)
    unsafe: dict[int, bool] = {}
    for i, (row, label) in enumerate(found.items):
        if unsafe.setdefault(row, label == "unsafe") != (label == "unsafe"):
            raise UserError(f"--safety_labels {path}: segments[{i}]: row {row} is both safe and unsafe; keep one entry")
    return found.length, unsafe


def read(path: str | Path, flag: str, kind: str, data: Transitions) -> Feedback:
    """The file, its head checked against `data`. Raises UserError for another kind, other data or a wrong length."""
    label = f"{flag} {path}"
    content = read_json(path, flag, limit=LARGEST_FILE)
    name, _ = _KINDS[kind]
    if not isinstance(content, dict) or content.get("kind") != kind:
        raise UserError(f'{label}: "kind" must be "{kind}"; osrl-proco label writes such a file')
    length, items, key = content.get("length"), content.get(name), data_key(data)
    if content.get("data") != key:
        raise UserError(
            f'{label}: "data" is {str(content.get("data"))[:16]!r}, those of this run are {key!r}; give the dataset, '
            "--seed and split that were labelled, or label these"
        )
    if isinstance(length, bool) or not isinstance(length, int) or length < SHORTEST_SEGMENT:
        raise UserError(f'{label}: "length" must be a whole number of steps, at least {SHORTEST_SEGMENT}')
    if not isinstance(items, list) or not items:
        raise UserError(f'{label}: "{name}" must be a list with at least one entry')
    return Feedback(kind, key, length, tuple(tuple(i) if isinstance(i, list) else (i,) for i in items))


def _require(found: Feedback, items: Sequence[tuple[Any, ...]], words: Any, label: str, data: Transitions) -> None:
    """Every entry has its rows, within one trajectory, and one of the words."""
    trajectories = Trajectories.of(data)
    room = (trajectories.of_rows(trajectories.end) - torch.arange(len(data), device=trajectories.end.device)).tolist()
    wanted = _KINDS[found.kind][1]
    for i, item in enumerate(items):
        word = item[-1] if len(item) == wanted else None
        if not isinstance(word, str) or word not in words:
            form = ", ".join(["row"] * (wanted - 1))
            raise UserError(f"{label}[{i}]: must be [{form}, word], the word one of {', '.join(words)}")
        for row in item[:-1]:
            if isinstance(row, bool) or not isinstance(row, int) or not 0 <= row < len(room):
                raise UserError(f"{label}[{i}]: {str(row)[:20]} is no row of the data (0 to {len(room) - 1})")
            if room[row] < found.length:
                raise UserError(
                    f"{label}[{i}]: row {row} is followed by {room[row]} steps of its trajectory, not {found.length}; "
                    "name an earlier row"
                )

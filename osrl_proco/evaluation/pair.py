"""Two segments side by side, as a person compares them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from ..data.transitions import Transitions
from ..tasks.task import Task

WIDE = 3  # an entry of more numbers (a lidar) is drawn by its largest one
NAMES = ("first", "second")


def draw_pair(task: Task, data: Transitions, firsts: Sequence[int], length: int, file: Path) -> None:
    """A PNG file with a column for each of the two segments and a row for each quantity, on one scale.

    Args:
        data: what the segments are of; `firsts` are their first rows, `length` their steps.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    parts = [data.index(slice(first, first + length)) for first in firsts]
    columns = [list(quantities(task, part)) for part in parts]
    figure, axes = plt.subplots(
        len(columns[0]), 2, figsize=(10.0, 1.5 * len(columns[0])), layout="constrained", sharex=True, sharey="row",
        squeeze=False,
    )  # fmt: skip
    for axis_column, name, rows in zip(axes.T, NAMES, columns, strict=True):
        axis_column[0].set_title(name)
        for axis, (label, lines) in zip(axis_column, rows, strict=True):
            axis.plot(lines)
            axis.set_ylabel(label if name == NAMES[0] else "", fontsize=8)
        axis_column[-1].set_xlabel("step")
    figure.savefig(file, dpi=90, format="png")
    plt.close(figure)


def quantities(task: Task, part: Transitions) -> Iterator[tuple[str, np.ndarray]]:
    """Name with unit, and values (L, lines), of what is drawn of a segment: entries, actions, reward so far."""
    seen = part.observations.cpu().numpy()
    for entry in task.entries:
        values = seen[:, entry.start : entry.stop]
        if entry.size > WIDE:
            yield f"{entry.name}\nlargest ({entry.unit})", values.max(1, keepdims=True)
        else:
            yield f"{entry.name}\n({entry.unit})", values
    yield "action", part.actions.cpu().numpy()
    yield "reward so far", part.rewards.cpu().numpy().cumsum()[:, None]

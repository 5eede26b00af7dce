"""Checks of the actions against the action space: another unit, codes of discrete actions, unused ranges."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from gymnasium import spaces

from .columns import as_rows, blocks, extremes, wide
from .findings import ODD, WRONG, Finding

# DSRL recorded what its policies put out, a sample around a mean within the space: of an entry that is always at its
# limit, half the samples leave the space. 75 % of the rows is more than any such policy gives.
CLIPPED_WRONG = 0.75
FAR, FAR_SHARE, DAMAGE = 10.0, 0.01, 100.0  # half widths
SMALL_ODD, SMALL_WRONG = 0.1, 0.01
ROUNDING = 1e-4  # half widths


def bounded(space: spaces.Space) -> bool:
    """Whether the space says within which limits an action is."""
    return isinstance(space, spaces.Box) and bool(np.isfinite(space.low).all() and np.isfinite(space.high).all())


def action_findings(actions: np.ndarray, name: str, space: spaces.Space) -> Iterator[Finding]:
    """What is odd or wrong with actions (N, act_dim) of a task with this action space."""
    if not bounded(space):
        return
    assert isinstance(space, spaces.Box)
    low, high = wide(space.low), wide(space.high)
    centre, half = (high + low) / 2, np.maximum((high - low) / 2, 1e-12)
    outside, away, first = _outside(actions, centre, half)
    whole = _whole(actions)
    unit = f"({low.min():g} to {high.max():g})"
    if whole and outside.any():
        yield Finding(
            "actions-integers",
            WRONG,
            f"{name}: key 'actions' holds whole numbers beyond the action space {unit}; they look like codes of "
            "discrete actions, write the values that they stand for",
        )
    elif whole and (actions.dtype.kind in "iub" or not _ends_and_middle(actions, low, centre, high)):
        text = f"{name}: key 'actions' holds whole numbers only; are they codes of discrete actions?"
        yield Finding("actions-integers", ODD, text)
    yield from _clipped(name, unit, len(actions), outside, away, first)
    smallest, largest = extremes(actions)
    reach = float((np.maximum(np.abs(smallest), np.abs(largest)) / np.maximum(np.abs(low), np.abs(high))).max())
    if 0 < reach <= SMALL_ODD:
        yield Finding(
            "actions-small",
            WRONG if reach <= SMALL_WRONG else ODD,
            f"{name}: key 'actions' uses {reach:.2%} of the action space {unit}; bring it to the task's unit",
        )
    sided = ((smallest >= centre) & (largest >= centre + 0.9 * half)) | (
        (largest <= centre) & (smallest <= centre - 0.9 * half)
    )
    sided &= (smallest < largest) & ~outside.any()
    if sided.any():
        entry = int(np.flatnonzero(sided)[0])
        yield Finding(
            "actions-one-sided",
            ODD,
            f"{name}: key 'actions', entry {entry}, is {smallest[entry]:g} to {largest[entry]:g} in a range of "
            f"{low[entry]:g} to {high[entry]:g}; where it cannot be more, state min_action in the task file",
        )


def clip(actions: np.ndarray, space: spaces.Space) -> np.ndarray:
    """The actions within the action space: what acted in the simulator."""
    if not bounded(space):
        return actions
    assert isinstance(space, spaces.Box)
    return np.clip(actions.astype(np.float32, copy=False), space.low, space.high)


def _outside(actions: np.ndarray, centre: np.ndarray, half: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Rows outside per entry (act_dim,), rows beyond FAR and DAMAGE half widths (2,), and the first row outside."""
    rows = as_rows(actions)
    per_entry, away, first, worst = np.zeros(rows.shape[1]), np.zeros(3), -1, -1
    for block in blocks(rows):
        distance = np.abs(wide(rows[block]) - centre) / half
        out = distance > 1 + ROUNDING
        per_entry += out.sum(0)
        any_ = out.any(1)
        away += [any_.sum(), (distance.max(1) > FAR).sum(), (distance.max(1) > DAMAGE).sum()]
        if first < 0 and any_.any():
            first = block.start + int(np.argmax(any_))
        if worst < 0 and (distance > DAMAGE).any():
            worst = block.start + int(np.argmax((distance > DAMAGE).any(1)))
    return per_entry, away, worst if worst >= 0 else first


def _clipped(name: str, unit: str, count: int, outside: np.ndarray, away: np.ndarray, first: int) -> Iterator[Finding]:
    if not outside.any():
        return
    rows, far, damaged = away.astype(int)
    if damaged or far > FAR_SHARE * count:
        yield Finding(
            "actions-clipped",
            WRONG,
            f"{name}: key 'actions' is far outside the action space {unit} in {damaged or far} rows, the first is row "
            f"{first}; bring it to the task's unit",
        )
        return
    wrong = bool((outside >= CLIPPED_WRONG * count).any()) and count >= 4
    yield Finding(
        "actions-clipped",
        WRONG if wrong else ODD,
        f"{name}: key 'actions' leaves the action space {unit} in {rows} rows ({rows / count:.2%} of the actions), the "
        f"first is row {first}; {'bring it to the unit of the task' if wrong else 'clipped to it'}",
    )


def _whole(actions: np.ndarray) -> bool:
    if actions.dtype.kind in "iub":
        return True
    rows = as_rows(actions)
    return all(bool((rows[b] == np.rint(rows[b])).all()) for b in blocks(rows))


def _ends_and_middle(actions: np.ndarray, low: np.ndarray, centre: np.ndarray, high: np.ndarray) -> bool:
    """Whether each entry is at an end or in the middle of its range, as a bang-bang controller's."""
    rows = as_rows(actions)
    return all(bool(((rows[b] == low) | (rows[b] == high) | (rows[b] == centre)).all()) for b in blocks(rows))

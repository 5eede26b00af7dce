"""A cost function held against recorded labels: before anything is fitted, and whatever made the labels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .findings import ODD, WRONG, Finding

MISSES_WRONG = 0.5  # of the recorded violations found; the library's worst function finds 97.8 % (docs/datasets.md)
EVERYTHING_ODD, EVERYTHING_WRONG = 0.5, 0.95  # of the recorded safe states called unsafe; the library's worst: 19.1 %
LATE_ODD, LATE_WRONG = 0.03, 0.1  # of the labels that disagree; SwimmerVelocity's function: 0.006
FEW = 5  # labels of either kind, below which no agreement is measured


def label_findings(predicted: Any, recorded: Any, name: str, *, last: Any = None) -> list[Finding]:
    """What is odd or wrong with a cost function's labels of next states, against the recorded ones.

    Args:
        predicted: what the function says of `next_observations` (N,), above 0 (or true) for unsafe.
        recorded: `costs` (N,), above 0 for unsafe.
        name: what the lines begin with, for example the function's file.
        last: whether the next row does not continue a row (N,), as `Transitions.last`; without it no shift by a row
            is looked for. Give it only where the rows are whole episodes.

    Returns findings, the gravest first; empty where all is well, or where nothing was recorded.
    """
    says, was = _bools(predicted), _bools(recorded)
    if says.shape != was.shape:
        raise ValueError(f"labels of shape {says.shape} against {was.shape}")
    if not len(was):
        return []
    return list(_judge(says, was, name, None if last is None else _bools(last)))


def _judge(
    says: NDArray[np.bool_], was: NDArray[np.bool_], name: str, last: NDArray[np.bool_] | None
) -> Iterator[Finding]:
    violations, safe = int(was.sum()), int((~was).sum())
    found, called = int((says & was).sum()), int((says & ~was).sum())
    recall, false = found / max(violations, 1), called / max(safe, 1)
    in_words = f"finds {found} of {violations} recorded violations and calls {false:.2%} of {safe} safe states unsafe"
    if not says.any():
        yield Finding(
            "cost-nothing",
            WRONG if violations else ODD,
            f"{name}: the cost function calls no recorded state unsafe ({violations} violations were recorded); check "
            "its unit and threshold",
        )
        return
    # Balanced: of rare violations a function that never fires agrees with 98 %.
    if violations >= FEW and safe >= FEW and recall + (1 - false) < 0.5:
        yield Finding(
            "cost-upside-down",
            WRONG,
            f"{name}: the cost function {in_words}: its opposite agrees better; turn the comparison, or the labels",
        )
        return
    if last is not None:
        yield from _shifted(says, was, name, last)
    if false > EVERYTHING_ODD and safe >= FEW:
        yield Finding(
            "cost-everything",
            WRONG if false > EVERYTHING_WRONG else ODD,
            f"{name}: the cost function {in_words}; check the comparison and the unit",
        )
    if violations and found < violations:
        yield Finding(
            "cost-misses",
            WRONG if recall < MISSES_WRONG else ODD,
            f"{name}: the cost function {in_words}; check its rule, unit and entry",
        )


def _shifted(says: NDArray[np.bool_], was: NDArray[np.bool_], name: str, last: NDArray[np.bool_]) -> Iterator[Finding]:
    """Whether the labels agree better with the row before, or the row after, of the same episode.

    Only where a label changes does a shift show: within a long violation, all neighbours agree.
    """
    goes_on = ~last[:-1]
    middle = goes_on[1:] & goes_on[:-1]  # rows 1..N-2 with both neighbours in their episode
    if int((was[1:-1] & middle).sum()) < FEW:
        return
    label = was[1:-1][middle]
    # Of the violations alone: a conservative function disagrees with many safe rows, whatever the shift.
    here, before, after = (says[s][middle] for s in (slice(1, -1), slice(0, -2), slice(2, None)))
    wrong_here = int((here != label).sum())
    for other, where, fix in ((before, "earlier", "up"), (after, "later", "down")):
        wrong_there = int((other != label).sum())
        missed_here, missed_there = int((~here & label).sum()), int((~other & label).sum())
        if wrong_there <= (1 - LATE_ODD) * wrong_here and missed_here - missed_there >= FEW:
            wrong = wrong_there <= (1 - LATE_WRONG) * wrong_here and 2 * missed_there <= missed_here
            yield Finding(
                "cost-late",
                WRONG if wrong else ODD,
                f"{name}: the recorded costs agree better with the cost function one row {where} ({missed_there} "
                f"instead of {missed_here} violations missed); costs[t] must label next_observations[t], so shift the "
                f"column one row {fix} within each episode",
            )
            return


def _bools(values: Any) -> NDArray[np.bool_]:
    """(N,) booleans of an array or a tensor on any device; NaN is unsafe."""
    if hasattr(values, "detach"):
        values = values.detach().cpu().numpy()
    array = np.asarray(values).reshape(-1)
    return array if array.dtype == bool else ~(array <= 0)

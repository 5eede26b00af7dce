"""Checks of whole, well-formed arrays: each gives at most one finding of each of its names (`findings.KINDS`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from gymnasium import spaces

from .check_actions import action_findings
from .check_rows import chain_findings, duplicate_findings
from .columns import as_rows, extremes, listed, sample, wide
from .findings import ODD, WRONG, Finding
from .transitions import PREVIOUS

HUGE, GLITCH_WRONG, GLITCH_ODD = 1e15, 1e6, 1e3
LOST_WRONG, LOST_ODD = 5, 250  # float32 steps within an entry's larger steps
LEVELS = 4  # float32 steps within an entry's standard deviation
STILL = 1e-6  # of its value: an entry that moves by less is as good as constant
UNSAFE_ODD, UNSAFE_WRONG = 0.6, 0.9  # of the rows; half are in what reckless drivers of Walker2d record
RESTING = 1e-7  # of its value: such a spread is one or two float32 steps, the jitter of an entry that rests
SPREAD_FROM = 1e4  # below, a spread of a few float32 steps is the rounding of a resting robot's reading


def check(arrays: Mapping[str, np.ndarray], name: str, action_space: spaces.Space) -> Iterator[Finding]:
    """All findings, the gravest kinds first; `arrays` as stored, before any conversion to float32."""
    yield from action_findings(arrays["actions"], name, action_space)
    yield from _huge(arrays, name)
    yield from _precision(arrays, name)
    yield from chain_findings(arrays, name)
    yield from _costs(arrays, name)
    yield from duplicate_findings(arrays, name)
    yield from _constant(arrays, name)


def _huge(arrays: Mapping[str, np.ndarray], name: str) -> Iterator[Finding]:
    """Glitches: values far from all others of their column."""
    for key in ("observations", "next_observations", "rewards"):
        low, high = extremes(arrays[key])
        some = sample(arrays[key])
        middle = np.median(some, axis=0)
        spread = np.maximum(np.quantile(some, 0.95, axis=0) - np.quantile(some, 0.05, axis=0), np.abs(middle))
        away = np.maximum(high - middle, middle - low) / np.maximum(spread, 1.0)
        largest = np.maximum(np.abs(low), np.abs(high))
        wrong = (away >= GLITCH_WRONG) | (largest >= HUGE)
        found = np.flatnonzero(wrong if wrong.any() else away >= GLITCH_ODD)
        if len(found):
            column = as_rows(arrays[key])[:, found[0]]
            row = int(np.argmax(np.abs(wide(column) - middle[found[0]])))
            yield Finding(
                "numbers-huge",
                WRONG if wrong.any() else ODD,
                f"{name}: key {key!r} holds {column[row]:g} in row {row}, entry {found[0]}, where others are about "
                f"{middle[found[0]]:g}; drop or mend such rows",
            )
            return


def _precision(arrays: Mapping[str, np.ndarray], name: str) -> Iterator[Finding]:
    """Entries whose steps or whose spread float32 cannot hold."""
    worst: tuple[str, int, float, float] | None = None
    level = ""
    for key in ("observations", "actions", "rewards"):
        some = sample(arrays[key])
        median = np.median(np.abs(some), axis=0)
        unit = np.spacing(np.minimum(median, 3e38).astype(np.float32)).astype(float)
        spread = some.std(axis=0)
        flat = (median >= SPREAD_FROM) & (spread < LEVELS * unit) & (np.ptp(some, axis=0) > 0)
        steps = _larger_steps(arrays, spread) if key == "observations" else np.zeros_like(spread)
        steps[(median < SPREAD_FROM) & (spread < RESTING * median)] = 0.0
        fine = steps / unit
        wrong = flat | ((steps > 0) & (fine < LOST_WRONG))
        odd = (steps > 0) & (fine < LOST_ODD)
        for mask, name_of_level in ((wrong, WRONG), (odd, ODD)):
            if mask.any() and level != WRONG and not (level == ODD and name_of_level == ODD):
                entry = int(np.flatnonzero(mask)[0])
                worst, level = (key, entry, float(median[entry]), float(unit[entry])), name_of_level
    if worst is not None:
        key, entry, median_, unit_ = worst
        yield Finding(
            "precision-lost",
            level,
            f"{name}: key {key!r}, entry {entry}, is about {median_:g}, where float32 goes in steps of {unit_:.3g}: "
            f"its changes {'are lost' if level == WRONG else 'are rounded'}; subtract the start value",
        )


def _larger_steps(arrays: Mapping[str, np.ndarray], spread: np.ndarray) -> np.ndarray:
    """The 90 % quantile of each observation entry's changes other than 0 (d,); 0 for one that only jitters in place."""
    before, after = sample(arrays["observations"]), sample(arrays["next_observations"])
    change = np.abs(after - before)
    change[change == 0] = np.nan
    known = ~np.isnan(change).all(0)
    larger = np.zeros(change.shape[1])
    larger[known] = np.nanquantile(change[:, known], 0.9, axis=0)
    return np.where(spread >= 4 * larger, larger, 0.0)


def _costs(arrays: Mapping[str, np.ndarray], name: str) -> Iterator[Finding]:
    """Labels upside down, or on another row. Not asked of a part that a split wrote: it may hold violations only."""
    costs = np.asarray(arrays["costs"], dtype=bool)
    if PREVIOUS in arrays or not costs.any():
        return
    terminal = np.asarray(arrays["terminals"], dtype=bool)
    ends = terminal | np.asarray(arrays["timeouts"], dtype=bool)
    first = np.concatenate([[True], ends[:-1]])
    share, at_start = float(costs.mean()), float(costs[first].mean())
    wrong = share >= UNSAFE_WRONG or (share >= 0.5 and at_start >= 0.9 and first.sum() >= 5)
    if wrong or share >= UNSAFE_ODD:
        everywhere = "is 1 everywhere" if share == 1 else f"is 1 in {share:.1%} of the rows"
        yield Finding(
            "costs-upside-down",
            WRONG if wrong else ODD,
            f"{name}: key 'costs' {everywhere}; 1 must mean that the rule is broken (else: costs = 1 - costs)",
        )
        return
    after = np.concatenate([[False], terminal[:-1]])
    before = np.concatenate([terminal[1:], [False]]) & ~ends
    late, early, on, total = (int((costs & m).sum()) for m in (after, before, terminal, costs | True))
    if late >= 3 and 2 * late >= total:
        yield Finding(
            "costs-late",
            WRONG,
            f"{name}: key 'costs' is 1 on the first row after an episode that ended in {late} of {total} violations; "
            "costs[t] must label next_observations[t], so shift it one row up",
        )
    elif early >= 3 and 2 * early >= total and on == 0:
        yield Finding(
            "costs-late",
            ODD,
            f"{name}: key 'costs' is 1 on the row before an episode's end in {early} of {total} violations, never on "
            "the end; if it labels observations[t], shift it one row",
        )


def _constant(arrays: Mapping[str, np.ndarray], name: str) -> Iterator[Finding]:
    if len(arrays["rewards"]) < 2:
        return
    for key in ("rewards", "observations", "actions"):
        low, high = extremes(arrays[key])
        constant = np.flatnonzero(high - low <= STILL * np.maximum(np.abs(low), np.abs(high)))
        if len(constant) and key == "rewards":
            text = f"{name}: key 'rewards' is {low[0]:g} everywhere; nothing can be learned from it"
            yield Finding("rewards-constant", ODD, text)
        elif len(constant):
            yield Finding(
                f"{key}-constant",
                WRONG if len(constant) == len(low) else ODD,
                f"{name}: key {key!r} never changes in entries {listed(constant)}; is it recorded?",
            )

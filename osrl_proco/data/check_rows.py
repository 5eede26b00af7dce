"""Checks of how rows follow each other: unmarked ends, shuffled rows, last next observations, copies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from .columns import as_rows, blocks, sample, wide
from .findings import ODD, WRONG, Finding

UNMARKED = 0.1  # of all episode ends
SHUFFLED = 0.5  # of the rows that should go on
LAST_ODD, LAST_WRONG = 0.1, 0.5  # of the episodes
COPIES_ODD, COPIES_WRONG, STRETCH = 0.05, 0.5, 8
MANY = 10  # episodes from which on their lengths mean something


def chain_findings(arrays: Mapping[str, np.ndarray], name: str) -> Iterator[Finding]:
    """What `next_observations` and the marks of episode ends say of each other."""
    ends = np.asarray(arrays["terminals"], dtype=bool) | np.asarray(arrays["timeouts"], dtype=bool)
    ends = np.concatenate([ends[:-1], [True]])
    goes_on, stays = _links(arrays)
    first = np.concatenate([[True], ends[:-1]])
    broken = np.flatnonzero(~goes_on & ~ends)
    inner = int((~ends).sum())
    if (stays & ~(goes_on & ~ends)).sum() >= SHUFFLED * len(ends) and len(broken) >= SHUFFLED * max(inner, 1):
        yield Finding(
            "next-observation-repeated",
            WRONG,
            f"{name}: 'next_observations' repeats 'observations' in {int(stays.sum())} of {len(ends)} rows; it must be "
            "the observation after the step",
        )
        return
    if len(broken) >= 2 and len(broken) >= SHUFFLED * inner:
        yield Finding(
            "rows-shuffled",
            WRONG,
            f"{name}: 'next_observations' is not what the next row observes in {len(broken)} of {inner} rows: the rows "
            "are not in order of time; put them in order, or mark every row as an end in 'timeouts'",
        )
        return
    if len(broken):
        wrong = len(broken) >= 2 and len(broken) > UNMARKED * (len(broken) + ends.sum())
        yield Finding(
            "ends-unmarked",
            WRONG if wrong else ODD,
            f"{name}: 'next_observations' is not what the next row observes in {len(broken)} rows, the first is row "
            f"{broken[0]}; mark the last step of each episode in 'terminals' or 'timeouts'",
        )
    yield from _last_steps(arrays, name, ends, first, goes_on, stays)


def _last_steps(
    arrays: Mapping[str, np.ndarray],
    name: str,
    ends: np.ndarray,
    first: np.ndarray,
    goes_on: np.ndarray,
    stays: np.ndarray,
) -> Iterator[Finding]:
    """What the last step of each episode arrives in. A resting robot repeats itself, too: the row before tells."""
    count, single = int(ends.sum()), ends & first
    moved_before = np.concatenate([[False], ~stays[:-1]]) & ~first
    repeated = int((ends & stays & moved_before).sum())
    if repeated >= 2 and repeated >= LAST_ODD * count:
        yield Finding(
            "next-observation-repeated",
            WRONG if repeated >= LAST_WRONG * count else ODD,
            f"{name}: 'next_observations' repeats 'observations' on the last step of {repeated} of {count} episodes; "
            "the state that it arrived in is missing, record it or drop these steps",
        )
    chained, ordinary = np.flatnonzero(ends & goes_on), np.flatnonzero(~ends & goes_on)
    if len(chained) >= 2 and len(ordinary):
        foreign = int((_jumps(arrays, chained) > 2 * _jumps(arrays, ordinary).max()).sum())
        if foreign >= 2 and foreign >= LAST_ODD * count:
            yield Finding(
                "next-observation-foreign",
                WRONG if foreign >= LAST_WRONG * (count - 1) else ODD,
                f"{name}: 'next_observations' on the last step of {foreign} of {count} episodes is the first "
                "observation of the next episode; record the state that it arrived in or drop these steps",
            )
    if count >= MANY and single.sum() >= 0.5 * count:
        wrong = single.all() and (goes_on[:-1]).mean() >= 0.5
        yield Finding(
            "episodes-one-step",
            WRONG if wrong else ODD,
            f"{name}: {int(single.sum())} of {count} episodes have one step; mark the last step of each episode only",
        )


def _links(arrays: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """For each row (N,): whether the next row observes its next observation, and whether it stays where it is."""
    now, then = as_rows(arrays["observations"]), as_rows(arrays["next_observations"])
    count = len(now)
    goes_on, stays = np.zeros(count, dtype=bool), np.zeros(count, dtype=bool)
    for block in blocks(now):
        stays[block] = (now[block] == then[block]).all(1)
        following = now[block.start + 1 : block.stop + 1]
        here = then[block][: len(following)]
        same = (here == following).all(1)
        unsure = np.flatnonzero(~same)  # few: only these are compared with a tolerance
        b, f = wide(here[unsure]), wide(following[unsure])
        same[unsure] = (np.abs(b - f) <= 1e-5 + 1e-4 * np.abs(f)).all(1)
        goes_on[block.start : block.start + len(same)] = same
    return goes_on, stays


def _jumps(arrays: Mapping[str, np.ndarray], rows: np.ndarray) -> np.ndarray:
    """How far the given rows (M,) go, in deviations of the entry that goes farthest."""
    now, then = as_rows(arrays["observations"]), as_rows(arrays["next_observations"])
    rows = rows[:: max(1, -(-len(rows) // (1 << 16)))]
    scale = np.maximum(sample(now).std(axis=0), 1e-12)
    return (np.abs(wide(then[rows]) - wide(now[rows])) / scale).max(1)


def duplicate_findings(arrays: Mapping[str, np.ndarray], name: str) -> Iterator[Finding]:
    """Stretches of rows that are there twice. Single rows may well repeat: a robot at rest, a grid world."""
    count = len(arrays["rewards"])
    if count < 2 * STRETCH:
        return
    keys = np.zeros(count, dtype=np.uint64)
    for key in ("observations", "actions", "rewards"):
        rows = as_rows(arrays[key])[:, :16]
        factors = np.random.default_rng(1).integers(1, 2**63, rows.shape[1], dtype=np.uint64) | np.uint64(1)
        for block in blocks(rows):
            bits = np.ascontiguousarray(rows[block], dtype=np.float32).view(np.uint32).astype(np.uint64)
            keys[block] = keys[block] * np.uint64(0x9E3779B97F4A7C15) + _mixed(bits * factors).sum(1, dtype=np.uint64)
    stretches = keys[: count - STRETCH + 1].copy()
    for step in range(1, STRETCH):
        stretches = stretches * np.uint64(0xC2B2AE3D27D4EB4F) + _mixed(keys[step : count - STRETCH + 1 + step])
    # Within a rest all stretches are the same: they count once, or every parked robot would be a copy.
    starts = np.concatenate([[True], stretches[1:] != stretches[:-1]])
    different = int(starts.sum())
    ordered = np.sort(stretches)  # np.unique is slower
    copies = different - 1 - int((ordered[1:] != ordered[:-1]).sum())
    share = copies / different
    if share >= COPIES_ODD and copies >= STRETCH:
        yield Finding(
            "rows-duplicated",
            WRONG if copies + STRETCH >= COPIES_WRONG * different else ODD,
            f"{name}: {share:.0%} of the rows are copies of others; drop what is there twice",
        )


def _mixed(keys: np.ndarray) -> np.ndarray:
    """The keys with their bits spread, so that sums of them do not collide."""
    keys = (keys ^ (keys >> np.uint64(31))) * np.uint64(0x7FB5D329728EA185)
    return keys ^ (keys >> np.uint64(27))

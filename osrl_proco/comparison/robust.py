"""Interquartile means and performance profiles with stratified bootstrap intervals (rliable)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .statistics import grouped, seed_means

SCORES = ("normalized_reward", "normalized_cost")
RESAMPLES = 2000  # of the runs within each task, for the means
PROFILE_RESAMPLES = 500
THRESHOLDS = 41


@dataclass(frozen=True)
class Profile:
    """Share of the runs (seed x task) with a score above each threshold, and its 95 % interval."""

    thresholds: list[float]
    share: list[float]
    low: list[float]
    high: list[float]


@dataclass(frozen=True)
class Robust:
    """means: score -> arm -> (interquartile mean, low, high). profiles: score -> arm -> Profile.

    tasks, runs: what they are over: the tasks that every arm has, and each arm's seeds that all of these have.
    """

    means: dict[str, dict[str, tuple[float, float, float]]]
    profiles: dict[str, dict[str, Profile]]
    tasks: list[str]
    runs: dict[str, int]
    left_out: list[str]


def robust(rows: Sequence[dict[str, Any]]) -> Robust:
    """The estimates; the same for the same rows. Needs rliable (raises ImportError)."""
    from rliable import library, metrics

    found = grouped(rows)
    every, arms = list(dict.fromkeys(t for t, _ in found)), list(dict.fromkeys(a for _, a in found))
    tasks = [t for t in every if all((t, a) in found for a in arms)]
    seeds = {a: sorted(set.intersection(*(set(found[(t, a)]) for t in tasks))) if tasks else [] for a in arms}
    left_out = [f"task {t}: not every algorithm has it" for t in every if t not in tasks]
    left_out += [f"{a}: no seed that all tasks have" for a in arms if tasks and not seeds[a]]
    arms = [a for a in arms if seeds[a]]
    means: dict[str, dict[str, tuple[float, float, float]]] = {}
    profiles: dict[str, dict[str, Profile]] = {}
    for score in SCORES:
        scores = {
            a: np.array([seed_means({s: found[(t, a)][s] for s in seeds[a]}, score) for t in tasks]).T for a in arms
        }  # arm -> (seeds, tasks)
        if not scores:
            continue
        with _numpy_seeded():
            points, intervals = library.get_interval_estimates(scores, metrics.aggregate_iqm, reps=RESAMPLES)
            lowest = min(float(x.min()) for x in scores.values())
            highest = max(float(x.max()) for x in scores.values())
            thresholds = np.linspace(min(lowest, 0.0), max(highest, 1.0), THRESHOLDS)
            shares, bands = library.create_performance_profile(scores, thresholds, reps=PROFILE_RESAMPLES)
        edges = {a: [float(v) for v in np.ravel(intervals[a])] for a in arms}
        means[score] = {a: (float(points[a]), edges[a][0], edges[a][1]) for a in arms}
        profiles[score] = {
            a: Profile(*([round(float(v), 4) for v in line] for line in (thresholds, shares[a], *bands[a])))
            for a in arms
        }
    return Robust(means, profiles, tasks, {a: len(seeds[a]) for a in arms}, left_out)


@contextlib.contextmanager
def _numpy_seeded() -> Iterator[None]:
    """rliable draws from NumPy's global generator (its `random_state` is not used): seed it, and put it back."""
    before = np.random.get_state()  # noqa: NPY002
    np.random.seed(0)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(before)  # noqa: NPY002

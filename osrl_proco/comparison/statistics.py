"""Means over seeds with intervals, and what a table says about a whole arm. No number is typed by hand."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

SAFE = 1.0  # a normalised cost of so much or less is safe

# Student's t, two-sided 95 %, by degrees of freedom (1 to 10; beyond, by the series in `t95`).
_T95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)


def t95(freedom: int) -> float:
    """The 97.5 % quantile of Student's t (Cornish-Fisher beyond 10 degrees of freedom: within 0.001)."""
    if freedom <= len(_T95):
        return _T95[freedom - 1]
    z = 1.959964
    return z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)


@dataclass(frozen=True)
class Cell:
    """One arm on one task: means over seeds of the seeds' means, and half of the 95 % interval (nan for one seed)."""

    reward: float
    reward_interval: float
    cost: float
    cost_interval: float
    clean: float  # share of the episodes without any violation
    seeds: int
    episodes: int

    @property
    def safe(self) -> bool:
        """A mean normalised cost of 1 or less."""
        return self.cost <= SAFE


@dataclass(frozen=True)
class Summary:
    """One arm over its tasks, as in the last rows of the paper's table 1.

    improvement: how much lower than its stock twin's the mean cost over their common tasks is, in cost limits (so
    1 is 100 %: one whole limit); None where there is no twin.
    """

    tasks: int
    reward: float
    cost: float
    safe: int
    improvement: float | None


def cells(rows: Sequence[dict[str, Any]]) -> dict[tuple[str, str], Cell]:
    """(task, arm) -> Cell."""
    return {key: _cell(seeds) for key, seeds in grouped(rows).items()}


def grouped(rows: Sequence[dict[str, Any]]) -> dict[tuple[str, str], dict[int, list[dict[str, Any]]]]:
    """(task, arm) -> seed -> rows, in the order of the rows."""
    found: dict[tuple[str, str], dict[int, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        found[(row["task"], row["arm"])][row["seed"]].append(row)
    return found


def seed_means(seeds: Mapping[int, Sequence[dict[str, Any]]], key: str) -> list[float]:
    """The mean of each seed's episodes."""
    return [sum(r[key] for r in rows) / len(rows) for rows in seeds.values()]


def _cell(seeds: dict[int, list[dict[str, Any]]]) -> Cell:
    reward = interval(seed_means(seeds, "normalized_reward"))
    cost = interval(seed_means(seeds, "normalized_cost"))
    episodes = [row for rows in seeds.values() for row in rows]
    clean = sum(row["cost"] == 0 for row in episodes) / len(episodes)
    return Cell(*reward, *cost, clean, len(seeds), len(episodes))


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Mean, and half of the 95 % interval by Student's t (nan for a single value)."""
    count = len(values)
    mean = sum(values) / count
    if count < 2:
        return mean, float("nan")
    variance = sum((v - mean) ** 2 for v in values) / (count - 1)
    return mean, t95(count - 1) * math.sqrt(variance / count)


def summaries(found: Mapping[tuple[str, str], Cell], twins: Mapping[str, str]) -> dict[str, Summary]:
    """arm -> Summary.

    Args:
        twins: arm with PROCO -> its stock twin.
    """
    arms = list(dict.fromkeys(arm for _, arm in found))
    return {arm: _summary(found, arm, twins.get(arm)) for arm in arms}


def _summary(found: Mapping[tuple[str, str], Cell], arm: str, stock: str | None) -> Summary:
    own = {task: cell for (task, name), cell in found.items() if name == arm}
    both = [t for t in own if (t, stock) in found]
    improvement = sum(found[(t, str(stock))].cost - own[t].cost for t in both) / len(both) if both else None
    count = len(own)
    reward = sum(c.reward for c in own.values()) / count
    cost = sum(c.cost for c in own.values()) / count
    return Summary(count, reward, cost, sum(c.safe for c in own.values()), improvement)


def twins(rows: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Arm with PROCO -> the stock arm that differs from it in this alone, by their names (`x-proco`, `x-stock`)."""
    arms = {row["arm"] for row in rows}
    found = {arm: arm.replace("-proco", "-stock", 1) for arm in arms if "-proco" in arm}
    return {arm: stock for arm, stock in found.items() if stock in arms}

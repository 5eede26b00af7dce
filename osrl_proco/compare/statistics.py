"""Means over seeds with intervals, and the table they make. No number is typed by hand."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

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

    @property
    def safe(self) -> bool:
        """A normalised cost of 1 or less."""
        return self.cost <= 1.0


def cells(rows: Sequence[dict[str, Any]]) -> dict[tuple[str, str], Cell]:
    """(task, arm) -> Cell."""
    grouped: dict[tuple[str, str], dict[int, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        grouped[(row["task"], row["arm"])][row["seed"]].append(row)
    return {key: _cell(seeds) for key, seeds in grouped.items()}


def _cell(seeds: dict[int, list[dict[str, Any]]]) -> Cell:
    def mean(key: str) -> list[float]:
        return [sum(r[key] for r in rows) / len(rows) for rows in seeds.values()]

    reward, cost = interval(mean("normalized_reward")), interval(mean("normalized_cost"))
    episodes = [row for rows in seeds.values() for row in rows]
    clean = sum(row["cost"] == 0 for row in episodes) / len(episodes)
    return Cell(*reward, *cost, clean, len(seeds))


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Mean, and half of the 95 % interval by Student's t (nan for a single value)."""
    count = len(values)
    mean = sum(values) / count
    if count < 2:
        return mean, float("nan")
    variance = sum((v - mean) ** 2 for v in values) / (count - 1)
    return mean, t95(count - 1) * math.sqrt(variance / count)


def markdown(rows: Sequence[dict[str, Any]]) -> str:
    """The table: a row for each arm, reward and cost for each task; safe costs are bold."""
    found = cells(rows)
    tasks = list(dict.fromkeys(task for task, _ in found))
    names = list(dict.fromkeys(arm for _, arm in found))
    head = "| | " + " | ".join(f"{t}: reward | cost | clean" for t in tasks) + " |"
    lines = [head, "|---" * (1 + 3 * len(tasks)) + "|"]
    for name in names:
        parts = [name]
        for task in tasks:
            cell = found.get((task, name))
            if cell is None:
                parts += ["", "", ""]
                continue
            cost = _plus_minus(cell.cost, cell.cost_interval)
            parts += [
                _plus_minus(cell.reward, cell.reward_interval),
                f"**{cost}**" if cell.safe else cost,
                f"{cell.clean:.0%}",
            ]
        lines.append("| " + " | ".join(parts) + " |")
    return "\n".join(lines)


def _plus_minus(mean: float, half: float) -> str:
    return f"{mean:.2f}" if math.isnan(half) else f"{mean:.2f} ± {half:.2f}"

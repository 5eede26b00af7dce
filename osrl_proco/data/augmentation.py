"""CDT's augmentation (ICML 2023, section 4.2): trajectories that are told to have returned more than they did.

As OSRL does it, without OApackage and SciPy. Only the targets are made here; the rows are those of the data.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from .trajectories import pareto_front

COST_CELLS, RETURN_CELLS = 10, 50  # of the grid that outliers are filtered with
MOST_PER_CELL, FEWEST_PER_CELL = 10, 3


class NoFront(ValueError):
    """There is no front to fit: the reason, in words."""


@dataclass(frozen=True)
class AugmentationSettings:
    """What OSRL's flags of the same names say.

    augment_percent: copies per trajectory that the grid keeps.
    deg: degree of the front's polynomial, return as a function of cost.
    max_reward, min_reward: a copy's return lies between the front plus `min_reward` and `max_reward`.
    max_rew_decrease: how much less than the nearest trajectory another may have returned, to be copied in its stead.
    beta: the chance of such a stand-in is in proportion to 1 / (distance + beta).
    """

    augment_percent: float
    deg: int
    max_reward: float
    min_reward: float
    max_rew_decrease: float
    beta: float


class Copies(NamedTuple):
    """Copies of trajectories with other sums to go (each (n,))."""

    source: np.ndarray  # which trajectory
    costs: np.ndarray  # its cost return as it is told
    returns: np.ndarray  # its return as it is told


def augment(
    costs: np.ndarray,
    returns: np.ndarray,
    settings: AugmentationSettings,
    rng: np.random.Generator,
) -> Copies:
    """The copies for trajectories of the given cost returns and returns (each (E,)).

    Stand-ins stand behind their nearest trajectory and the targets are dealt out in that order, as in OSRL: a target's
    return may reach another trajectory than the nearest, but never one that costs more than it is told to.

    Raises NoFront where the grid keeps nothing (all cost returns alike, as in safe-only data, or too few trajectories),
    or no polynomial can be fitted: OSRL's own code crashes there.
    """
    kept = grid_filter(costs, returns, rng)
    if not len(kept):
        alike = "all cost returns are alike" if np.ptp(costs) == 0 else "all returns are alike"
        few = "no cell of its grid holds 3 trajectories"
        raise NoFront(few if np.ptp(costs) > 0 and np.ptp(returns) > 0 else alike)
    c, r = costs[kept], returns[kept]
    front = pareto_front(torch.from_numpy(c), torch.from_numpy(r)).numpy()
    try:
        polynomial = np.poly1d(np.polyfit(c[front], r[front], settings.deg))
    except np.linalg.LinAlgError as error:
        raise NoFront(str(error)) from None
    count = int(settings.augment_percent * len(kept))
    target_costs = np.linspace(c.min(), c.max(), count)
    low = polynomial(target_costs) + settings.min_reward
    # Not `rng.uniform`: where the front is above `max_reward`, OSRL draws from the reversed interval.
    target_returns = low + (settings.max_reward - low) * rng.random(count)
    nearest = _nearest(c, r, target_costs, target_returns, settings, rng)
    return Copies(kept[nearest], target_costs, target_returns)


def grid_filter(costs: np.ndarray, returns: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Indices that a 10 x 50 grid over (cost, return) keeps: at most 10 of a cell, none of a cell of 2 or fewer."""
    steps = [np.ptp(v) / n for v, n in ((costs, COST_CELLS), (returns, RETURN_CELLS))]
    if min(steps) == 0:
        return np.zeros(0, dtype=int)  # in OSRL, 0 // 0: every trajectory in a cell of its own
    cells = [(v - v.min()) // step for v, step in zip((costs, returns), steps, strict=True)]
    _, first, cell = np.unique(np.stack(cells, 1), axis=0, return_index=True, return_inverse=True)
    kept: list[np.ndarray] = []
    for number in np.argsort(first):  # cells in the order in which they first occur, as OSRL's dict has them
        members = np.flatnonzero(cell.reshape(-1) == number)
        if len(members) > MOST_PER_CELL:
            members = rng.choice(members, MOST_PER_CELL, replace=False)
        if len(members) >= FEWEST_PER_CELL:
            kept.append(members)
    return np.concatenate(kept) if kept else np.zeros(0, dtype=int)


def _nearest(
    costs: np.ndarray,
    returns: np.ndarray,
    target_costs: np.ndarray,
    target_returns: np.ndarray,
    settings: AugmentationSettings,
    rng: np.random.Generator,
) -> np.ndarray:
    """For each target the nearest trajectory of no higher cost; where one is nearest to several, stand-ins for it."""
    nearest: list[int] = []
    for cost, ret in zip(target_costs, target_returns, strict=True):
        distance = np.where(costs <= cost, np.hypot(costs - cost, returns - ret), np.inf)
        nearest.append(int(np.argmin(distance)))
    chosen: list[int] = []
    for index in dict.fromkeys(nearest):
        chosen.append(index)
        repeats = nearest.count(index) - 1
        if repeats:
            able = (costs <= costs[index]) & (returns >= returns[index] - settings.max_rew_decrease)
            distance = np.hypot(costs[able] - costs[index], returns[able] - returns[index])
            chance = 1 / (distance + settings.beta)
            drawn = rng.choice(len(chance), size=repeats, p=chance / np.sum(chance))
            chosen += np.flatnonzero(able)[drawn].tolist()
    return np.array(chosen, dtype=int)

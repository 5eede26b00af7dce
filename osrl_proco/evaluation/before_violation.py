"""V along recorded episodes against the time to their first violation: how early a critic knows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from ..data.transitions import Transitions
from ..proco.feasibility import FeasibilityCritic

CHUNK = 8_192


@dataclass(frozen=True)
class BeforeViolation:
    """V in the last steps before a first violation.

    steps: (T,) from -(T - 1) to 0, which is the violation's own state.
    episodes: (E, T) V of each violating episode, NaN before its start.
    rest: V (N,) of the states of episodes without a violation.
    """

    steps: np.ndarray
    episodes: np.ndarray
    rest: np.ndarray

    def rows(self) -> list[dict[str, float]]:
        """One for each step that any episode has: quantiles of V over the episodes, and the share called lost."""
        found: list[dict[str, float]] = []
        for i, step in enumerate(self.steps):
            values = self.episodes[:, i][~np.isnan(self.episodes[:, i])]
            if len(values):
                low, middle, high = np.quantile(values, (0.1, 0.5, 0.9))
                found.append(
                    {
                        "steps_to_violation": -int(step),
                        "episodes": len(values),
                        "v_10": float(low),
                        "v_50": float(middle),
                        "v_90": float(high),
                        "called_lost": float((values > 0).mean()),
                    }
                )
        return found


def values(critic: FeasibilityCritic, states: torch.Tensor) -> np.ndarray:
    """V (N,) of states (N, obs_dim)."""
    device = critic.obs_mean.device
    with torch.no_grad():
        return torch.cat([critic.value(part.to(device)).cpu() for part in states.split(CHUNK)]).numpy()


def before_violation(critic: FeasibilityCritic, data: Transitions, horizon: int, most: int = 200) -> BeforeViolation:
    """V over the `horizon` steps before each episode's first violation, in at most `most` episodes of `data`."""
    v = values(critic, data.next_observations)
    ends = np.flatnonzero(data.last.cpu().numpy() > 0)
    starts = np.concatenate([[0], ends[:-1] + 1])
    costs = data.costs.cpu().numpy()
    episodes: list[np.ndarray] = []
    rest: list[np.ndarray] = []
    for start, end in zip(starts, ends, strict=True):
        bad = np.flatnonzero(costs[start : end + 1] > 0)
        if not len(bad):
            rest.append(v[start : end + 1])
        elif len(episodes) < most:
            at = start + bad[0]
            own = v[max(start, at - horizon) : at + 1]
            episodes.append(np.concatenate([np.full(horizon + 1 - len(own), np.nan), own]))
    shape = (len(episodes), horizon + 1)
    return BeforeViolation(
        np.arange(-horizon, 1), np.array(episodes).reshape(shape), np.concatenate(rest) if rest else np.zeros(0)
    )

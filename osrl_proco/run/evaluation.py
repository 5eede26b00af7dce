"""A run's last checkpoint evaluated by a protocol: raw rows, one for every episode and limit.

paper: one limit, the run's `report_cost_limit`.
dsrl: DSRL's three limits of the task's family, and the mean of the normalised scores. A policy that acts by its limit
(CAPS, CCAC, CDT) is given each at test time and runs its own episodes; of any other the same episodes count three
times.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import UserError
from ..envs.vector import VectorEnv, default_workers
from ..evaluation.episodes import Episode, Totals, row_count, run_episodes, score
from .folder import RunFolder, commit, versions
from .policy import Trained, load_policy

PROTOCOLS = ("paper", "dsrl")
_DSRL = {
    "bullet": (10.0, 20.0, 40.0),
    "embedded": (10.0, 20.0, 40.0),
    "navigation": (20.0, 40.0, 80.0),
    "velocity": (20.0, 40.0, 80.0),
}


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Raw rows of a run's evaluation (see `COLUMNS` in docs/evaluation.md), and the run's policy."""

    trained: Trained
    protocol: str
    rows: list[dict[str, Any]]

    @property
    def means(self) -> dict[str, float]:
        """Means over all rows, as `osrl-proco eval` prints them."""
        return means(self.rows)


def evaluate_run(
    folder: RunFolder,
    *,
    episodes: int = 20,
    seed: int = 0,
    workers: int | None = None,
    protocol: str = "paper",
    device: str = "auto",
    algo: str | None = None,
    lookahead: int = 0,
    dynamics: str | Path | None = None,
    progress: bool = True,
) -> Evaluation:
    """Evaluate the last checkpoint in `folder`; the i-th episode is reset with `seed + i`.

    lookahead, dynamics: as in `load_policy`.

    workers: processes that step the simulator; None: one for each core where that pays.

    Raises UserError for a folder without a checkpoint, and as `episodes.evaluate` does.
    """
    if protocol not in PROTOCOLS:
        raise UserError(f"--protocol: {protocol!r} is not one of {', '.join(PROTOCOLS)}")
    trained = load_policy(folder, device, algo, None, lookahead, dynamics)
    limits = limits_of(trained, protocol)
    workers = default_workers(trained.task) if workers is None else workers
    facts = _facts(folder, trained)
    rows: list[dict[str, Any]] = []
    with VectorEnv(trained.task, row_count(episodes), workers) as envs:
        runs: list[Totals] | None = None
        for limit in limits:
            if runs is None or trained.agent.limit_at_test:
                told = trained
                if protocol == "dsrl" and trained.agent.limit_at_test:
                    told = load_policy(folder, device, algo, limit, lookahead, dynamics)
                runs = run_episodes(told.policy, envs, episodes, seed, trained.episode_len, trained.device, progress)
            rows += [{**facts, **_row(episode, limit)} for episode in score(envs, runs, limit)]
    return Evaluation(trained, protocol, rows)


def limits_of(trained: Trained, protocol: str) -> Sequence[float]:
    """The cost limits of a protocol. Raises UserError where DSRL has none for the task."""
    if protocol == "paper":
        return (trained.config.report_cost_limit,)
    family = trained.task.family
    if family not in _DSRL:
        raise UserError(f"--protocol dsrl: DSRL has no limits for tasks of the family {family}; use --protocol paper")
    return _DSRL[family]


def means(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Means over raw rows, and the share of them without cost (`violation_free`)."""
    names = ("normalized_reward", "normalized_cost", "return", "cost")
    found = {name: float(np.mean([row[name] for row in rows])) for name in names}
    return {**found, "violation_free": float(np.mean([row["cost"] == 0 for row in rows]))}


def _facts(folder: RunFolder, trained: Trained) -> dict[str, Any]:
    """What every row of an evaluation says of its run."""
    packages = {k: v for k, v in versions().items() if k not in ("machine", "osrl-lib", "dsrl")}
    return {
        "task": trained.task.id,
        "algorithm": trained.config.algo,
        "mode": "proco" if trained.config.proco else "stock",
        "lookahead": trained.ahead.steps if trained.ahead else 0,
        "seed": trained.config.seed,
        "step": trained.step,
        "settings_sha256": folder.facts().get("settings_sha256", ""),
        "commit": commit(),
        "versions": " ".join(f"{k}={v}" for k, v in packages.items()),
    }


def _row(episode: Episode, limit: float) -> dict[str, Any]:
    return {
        "episode_seed": episode.seed,
        "return": episode.ret,
        "cost": episode.cost,
        "length": episode.length,
        "cost_limit": limit,
        "normalized_reward": episode.normalized_reward,
        "normalized_cost": episode.normalized_cost,
    }

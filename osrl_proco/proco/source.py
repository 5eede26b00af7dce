"""D and D_model side by side: what the feasibility critic, and only it, learns from (PROCO section 4.3)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..data.transitions import Transitions
from ..run.config import ProcoConfig
from .dynamics import Dynamics
from .feasibility import FeasibilityBatch
from .rollout import CostLabel, Policy, UnsafeBuffer, branched_rollout


class FeasibilityData:
    """Recorded transitions, labelled once, and imagined ones, renewed by `refresh`.

    Args:
        data: D, on the training device.
        cost: the cost function, observations (..., obs_dim) -> {0, 1} (...,).
        dynamics: the fitted model; None for the ablation without it.
        config: `relabel`, `conservative_backup`, `model_share` and the `rollout_*` settings.
        max_action: bound of the action space.
    """

    def __init__(
        self, data: Transitions, cost: CostLabel, dynamics: Dynamics | None, config: ProcoConfig, max_action: float
    ) -> None:
        self._cost, self._dynamics, self._config, self._max_action = cost, dynamics, config, max_action
        if config.relabel:
            unsafe, next_unsafe = cost(data.observations), cost(data.next_observations)
        else:
            unsafe, next_unsafe = data.previous_costs, data.costs
        self._recorded = FeasibilityBatch(
            data.observations, data.actions, data.next_observations, unsafe, next_unsafe, data.terminals
        )
        # A branch that starts in a violation would teach nothing: the data's own label already does.
        self._starts = torch.nonzero(unsafe == 0).squeeze(1)
        device = data.observations.device
        self.imagined = UnsafeBuffer(config.rollout_buffer, data.observations.shape[1], data.actions.shape[1], device)

    @property
    def unsafe_share(self) -> float:
        """Share of the recorded states reached that are labelled unsafe."""
        return float(self._recorded.next_unsafe.mean())

    def refresh(self, policy: Policy) -> dict[str, float]:
        """Imagine what the present policy would do from R times B recorded states; keep the violations (C.3)."""
        config = self._config
        if self._dynamics is None or config.model_share == 0:
            return {}
        rounds: list[dict[str, float]] = []
        for _ in range(config.rollout_repeats):
            drawn = torch.randint(len(self._starts), (config.rollout_batch,), device=self._starts.device)
            starts = self._recorded.observations[self._starts[drawn]]
            branches, figures = branched_rollout(
                self._dynamics,
                self._cost,
                policy,
                starts,
                horizon=config.rollout_length,
                noise=config.rollout_noise,
                max_action=self._max_action,
            )
            self.imagined.add(branches)
            rounds.append(figures)
        means = {k: float(torch.tensor([r[k] for r in rounds]).nanmean()) for k in rounds[0]}
        return {**means, "rollout/kept": float(self.imagined.size)}

    def batch(self) -> FeasibilityBatch:
        """A batch of `batch_size` recorded transitions and, beside them, imagined ones in the proportion that the two
        sets have in their union, but at most `model_share` per recorded one."""
        config, recorded = self._config, self._recorded
        rows = torch.randint(len(recorded.unsafe), (config.batch_size,), device=recorded.unsafe.device)
        batch = FeasibilityBatch(*(column[rows] for column in recorded))
        if self.imagined.size:
            share = min(config.model_share, self.imagined.size / len(recorded.unsafe))
            extra = self.imagined.sample(max(1, round(config.batch_size * share)))
            batch = FeasibilityBatch(*(torch.cat(pair) for pair in zip(batch, extra, strict=True)))
        if config.conservative_backup == "max" and self._dynamics is not None:
            batch = self._with_every_elite(batch)
        return batch

    @torch.no_grad()
    def _with_every_elite(self, batch: FeasibilityBatch) -> FeasibilityBatch:
        """Eq. 8: beside the next state known, those that each elite expects; any of them unsafe makes it unsafe."""
        assert self._dynamics is not None
        expected, _ = self._dynamics.predict(batch.observations, batch.actions, noise=False)
        unsafe: Tensor = torch.maximum(batch.next_unsafe, self._cost(expected).amax(0))
        following = torch.cat([batch.next_observations[None], expected])
        return batch._replace(next_observations=following, next_unsafe=unsafe)

    def state_dict(self) -> dict[str, Any]:
        return self.imagined.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.imagined.load_state_dict(state)

"""What TraC and PreSa share: a cloned policy, and then a loss on how far segments of the data lie from the clone.

Stage 1   min  E[ |a - mu(s)|² ]                    behaviour cloning of all segments; then mu_ref <- mu
Stage 2   S = alpha sum_t g^t (log pi(a_t|s_t) - log pi_ref(a_t|s_t)),  log pi = -|a - mu(s)|²,  t from the start

Each then has a loss of its own on S and on labels of segments, made once, when stage 2 begins. A segment is unsafe
where its cost exceeds its share of the limit, L / T of it; with PROCO where at any step the cost function is 1 or
V_h(s') > 0. Long segments may all have such a step: then those with the fewest count as safe, `least_safe` of all.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor

from ..core.random import derived_seed
from ..core.state import Parts
from ..data.samplers import Segments, SegmentSampler
from ..data.transitions import Transitions
from ..proco.feasibility import FeasibilityBatch, FeasibilityLearner, ProcoSettings
from ..proco.optim import adam, descend
from .agent import Info, Problem
from .networks import DropoutMean
from .stages import CHUNK, Staged, dangerous_steps, say

LARGEST = 1.0 - 1e-5  # of an action's share of the largest action


class SegmentAgent(Staged):
    """Both stages; a subclass says which segments there are and what the second stage minimises."""

    def __init__(self, config: Any, problem: Problem) -> None:
        super().__init__(config.bc_share, config.update_steps)
        self.config, self.problem = config, problem
        self.batch_size, self.feasibility_batch_size = config.batch_size, config.critic_batch_size
        obs_dim, act_dim, device = problem.obs_dim, problem.act_dim, problem.device
        self.actor = DropoutMean(obs_dim, act_dim, config.a_hidden_sizes, config.dropout).to(device)
        self.reference = deepcopy(self.actor).requires_grad_(False)
        self._reference_likely: Tensor | None = None  # (N,) once it is asked for
        self.optimizer = adam(self.actor.parameters(), config.actor_lr)
        if config.proco:
            self.feasibility = FeasibilityLearner.create(
                obs_dim, act_dim, ProcoSettings.of(config, problem.reads), device
            )

    @property
    def segments(self) -> SegmentSampler | None:
        """The segments that batches are drawn from, once there are data."""
        return self.batches

    @abstractmethod
    def choose(self, data: Transitions, generator: torch.Generator) -> SegmentSampler:
        """The segments of the data; the same for the same data and generator."""

    @abstractmethod
    def loss(self, scores: Tensor, which: Tensor) -> tuple[Tensor, Info]:
        """Stage 2's loss on the scores (B,) of the segments `which` (B,)."""

    def sampler(self, data: Transitions) -> SegmentSampler:
        generator = torch.Generator().manual_seed(derived_seed(self.config.seed, "segments"))
        return self.drawn_from(self.choose(data, generator))

    def judge(self, segments: SegmentSampler) -> Tensor:
        """Which of the segments (M,) are unsafe."""
        data = segments.data
        if self.feasibility is None:
            share = segments.length / self.problem.episode_len
            return segments.sums(data.costs) > self.config.cost_limit * share
        dangerous = segments.sums(dangerous_steps(self.feasibility, data).float())
        most = fewest(dangerous, self.config.least_safe)
        if most > 0:
            say(
                f"{self.config.algo}: fewer than {self.config.least_safe:.0%} of the segments are without a dangerous "
                f"step; those with at most {most:.0f} of {segments.length} count as safe"
            )
        return dangerous > most

    def log_probability(
        self, policy: DropoutMean, observations: Tensor, actions: Tensor, dropout: torch.Generator | None = None
    ) -> Tensor:
        """log pi (...), without its constant, of actions (..., act_dim) in states (..., obs_dim)."""
        actions = (actions / self.problem.max_action).clamp(-LARGEST, LARGEST)
        return -((actions - policy(observations, dropout)) ** 2).sum(-1)

    @torch.no_grad()
    def reference_of(self, which: Tensor) -> Tensor:
        """log pi_ref of the steps of segments (B, L): the reference stays as it is, so the data are asked once."""
        assert self.segments is not None
        if self._reference_likely is None:
            data = self.segments.data
            parts = zip(data.observations.split(CHUNK), data.actions.split(CHUNK), strict=True)
            self._reference_likely = torch.cat([self.log_probability(self.reference, *part) for part in parts])
        return self._reference_likely[self.segments.rows(which)]

    def score(self, likely: Tensor, reference: Tensor) -> Tensor:
        """S (B,) from both log pi (B, L)."""
        steps = torch.arange(likely.shape[1], device=likely.device)
        return self.config.alpha * (self.config.score_discount**steps * (likely - reference)).sum(1)

    def update(self, batch: Segments, feasibility: FeasibilityBatch | None = None) -> Info:
        c, info = self.config, {}
        if self.feasibility is not None:
            assert feasibility is not None, "the twin's critic needs its own batch"
            info.update(self.feasibility.update(feasibility))
        likely = self.log_probability(self.actor, batch.observations, batch.actions, self.problem.noise)
        rate = c.actor_lr
        if self.judged is None:
            loss = -likely.mean()
            info["loss/clone"] = loss.detach()
        else:
            scores = self.score(likely, self.reference_of(batch.which))
            loss, figures = self.loss(scores, batch.which)
            info.update(figures, **{"loss/actor": loss.detach()})
            rate *= c.contrast_lr_factor * min(1.0, (self.updates + 1 - self.first_stage) / c.lr_warmup_steps)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        descend(self.optimizer, loss)
        self.count()
        return info

    def begin(self) -> None:
        """From the clone to the contrast, with a fresh optimizer."""
        self.reference.load_state_dict(self.actor.state_dict())
        self._reference_likely = None
        self.optimizer = adam(self.actor.parameters(), self.config.actor_lr)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self._reference_likely = None

    @torch.no_grad()
    def act(self, observations: Tensor, generator: torch.Generator) -> Tensor:
        return self.problem.max_action * self.actor(observations)

    def parts(self) -> Parts:
        return {
            "actor": self.actor,
            "reference": self.reference,
            "optimizer": self.optimizer,
            **self.staged(),
        }


def fewest(counts: Tensor, share: float) -> float:
    """The smallest number that at least `share` of the counts (M,) do not exceed; 0 where no count exceeds it."""
    rank = math.ceil(share * len(counts))
    found = float(counts.kthvalue(rank).values) if rank else 0.0
    return found if found < float(counts.max()) else 0.0

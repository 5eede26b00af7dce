"""Behaviour cloning (OSRL's): of all trajectories, or of those that a rule on return and cost picks.

Loss: mean (a - pi(s))², pi a tanh network. With kappa the `cost_limit`, a trajectory of return R and cost return C
(both undiscounted) is cloned with mode `all` and `multi-task` always, `safe` where C <= kappa, `risky` where
C >= 2 kappa, `boundary` where 0.5 kappa < C <= 1.5 kappa, `frontier` where R is within a fifth of the returns' range of
a polynomial R(C) through the Pareto front of (-C, R). `multi-task` is told C as one more input, at test kappa.

How the twin differs: the modes see the costs of the cost function, and there is one more, its default. `feasible`
clones in two stages (stages.py), first all transitions, then each by its weight; lost states only with `lost_alpha`:

    w(s, a) = 1 where V_h(s) <= 0 and Q_h(s, a) <= 0;  min(e^{lost_alpha (V_h - Q_h)}, 100) where V_h(s) > 0;  else 0

Faults of the release that `compat: fixed` mends: an unfinished last trajectory counts as C = R = 0 and so passes `safe`
(its own sums), and `frontier` crashes where the front is one point, as in all safe-only data (a constant front).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from osrl.algorithms import BC, BCTrainer
from torch import Tensor

from ..core.errors import UserError, nearest
from ..data.samplers import Marked, MarkedSampler
from ..data.trajectories import Trajectories, pareto_front
from ..data.transitions import Transitions
from ..proco.feasibility import FeasibilityBatch, FeasibilityLearner, ProcoSettings
from ..proco.losses import advantage_weight, feasible_weight, weighted_error
from ..proco.optim import descend
from .agent import Agent, Info, Problem
from .osrl import Recorder
from .stages import Staged, judged_pairs, say

MODES = ("all", "safe", "risky", "boundary", "frontier", "multi-task")
FEASIBLE = "feasible"  # the twin's own mode
MOST_WEIGHT = 100.0


class BCAgent(Agent):
    """OSRL's BC and its trainer, on the transitions of the trajectories that the mode picks."""

    def __init__(self, config: Any, problem: Problem) -> None:
        self.batch_size = config.batch_size
        self._mode, self._limit, self._fixed = mode_of(config), config.cost_limit, config.compat == "fixed"
        self._told = self._mode == "multi-task"
        self.model = BC(
            problem.obs_dim + self._told,
            problem.act_dim,
            problem.max_action,
            config.a_hidden_sizes,
            problem.episode_len,
            problem.device,
        )
        self._recorder = Recorder()
        self.trainer = BCTrainer(
            self.model, None, self._recorder, config.actor_lr, self._mode, config.cost_limit, problem.device
        )

    def sampler(self, data: Transitions) -> MarkedSampler:
        trajectories = Trajectories.of(data)
        costs = sums(trajectories, own=self._fixed)[1]
        picked = trajectories.of_rows(picks(trajectories, self._mode, self._limit, fixed=self._fixed))
        if not bool(picked.any()):
            raise UserError(
                f"--bc_mode {self._mode}: none of {len(trajectories)} trajectories qualifies with --cost_limit "
                f"{self._limit:g} (their costs: {float(costs.min()):g} to {float(costs.max()):g})"
            )
        rows = None if bool(picked.all()) else torch.nonzero(picked).squeeze(1)
        return MarkedSampler(data, self.batch_size, trajectories.of_rows(costs).float(), rows)

    def update(self, batch: Marked, feasibility: FeasibilityBatch | None = None) -> Info:
        observations = batch.rows.observations
        if self._told:
            observations = torch.cat([observations, batch.mark[:, None]], 1)
        self.trainer.train_one_step(observations, batch.rows.actions)
        return dict(self._recorder.info)

    @torch.no_grad()
    def act(self, observations: Tensor, generator: torch.Generator) -> Tensor:
        if self._told:
            observations = torch.cat([observations, observations.new_full((len(observations), 1), self._limit)], 1)
        return self.model.actor(observations)

    def parts(self) -> dict[str, Any]:
        return {"model": self.model, "optimizers": {"actor_optim": self.model.actor_optim}}


class BCTwin(Staged, BCAgent):
    """BC on relabelled costs, or of the transitions that PROCO's critic calls feasible. It learns in every mode."""

    def __init__(self, config: Any, problem: Problem) -> None:
        BCAgent.__init__(self, config, problem)
        Staged.__init__(self, config.critic_share, config.update_steps)
        sizes, lr = (problem.obs_dim, problem.act_dim), config.critic_lr
        self.feasibility = FeasibilityLearner.create(
            *sizes, ProcoSettings.of(config, problem.reads), problem.device, lr
        )
        self._alpha = config.lost_alpha

    def sampler(self, data: Transitions) -> MarkedSampler:
        if self._mode != FEASIBLE:
            return super().sampler(data)
        return self.drawn_from(MarkedSampler(data, self.batch_size, torch.ones_like(data.rewards)))

    def judge(self, batches: MarkedSampler) -> Tensor:
        """What each transition (N,) weighs."""
        assert self.feasibility is not None
        return feasible_weights(*judged_pairs(self.feasibility, batches.data), self._alpha)

    def labelled(self, batches: MarkedSampler, judged: Tensor) -> None:
        rows = torch.nonzero(judged > 0).squeeze(1)
        said = f"bc: {len(rows)} of {len(judged)} transitions are cloned from here on, as the critic says"
        if len(rows):
            batches.rows, batches.marks = rows, judged
        else:
            said += "; with none all are cloned, as before"
        say(said)

    def update(self, batch: Marked, feasibility: FeasibilityBatch | None = None) -> Info:
        assert self.feasibility is not None
        assert feasibility is not None, "the twin's critic needs its own batch"
        info: Info = dict(self.feasibility.update(feasibility))
        if self._mode != FEASIBLE:
            return {**info, **super().update(batch)}
        error = batch.rows.actions - self.model.actor(batch.rows.observations)
        loss = weighted_error(error, batch.mark) / error.shape[1]  # the mean over entries, as OSRL's
        descend(self.model.actor_optim, loss)
        self.count()
        return {**info, "loss/actor_loss": loss.detach(), "bc/weight": batch.mark.mean()}

    def parts(self) -> dict[str, Any]:
        return {**super().parts(), **self.staged()}


def mode_of(config: Any) -> str:
    """`bc_mode`, its `auto` replaced. Raises UserError where it is no mode, or one of the twin's only."""
    mode: str = config.bc_mode
    if mode == "auto":
        return FEASIBLE if config.proco else "all"
    known = (*MODES, FEASIBLE)
    if mode not in known:
        raise UserError(f"--bc_mode: {mode!r} is none of auto, {', '.join(known)}{nearest(mode, known)}")
    if mode == FEASIBLE and not config.proco:
        raise UserError(f"--bc_mode {FEASIBLE}: asks PROCO's critic, which --proco false leaves out")
    return mode


def feasible_weights(q_h: Tensor, v_h: Tensor, alpha: float | None) -> Tensor:
    """What each action's cloning weighs, by Q_h(s, a) and V_h(s), all (N,); `alpha` None leaves lost states out."""
    one = torch.ones_like(v_h)
    lost = torch.zeros_like(v_h) if alpha is None else advantage_weight(v_h - q_h, alpha, MOST_WEIGHT)
    return feasible_weight(one, lost, q_h, v_h)


def sums(trajectories: Trajectories, *, own: bool) -> tuple[Tensor, Tensor]:
    """Return and cost return of each trajectory (each (E,)).

    Without `own` an unfinished last one has 0 and 0, as in OSRL's `process_bc_dataset`.
    """
    returns, costs = trajectories.returns.clone(), trajectories.cost_returns.clone()
    if not own and not bool(trajectories.finished[-1]):
        returns[-1] = costs[-1] = 0.0
    return returns, costs


def picks(trajectories: Trajectories, mode: str, limit: float, *, fixed: bool) -> Tensor:
    """Which trajectories (E,) the mode clones. Raises UserError where OSRL's `frontier` crashes."""
    returns, costs = sums(trajectories, own=fixed)
    if mode == "safe":
        return costs <= limit
    if mode == "risky":
        return costs >= 2 * limit
    if mode == "boundary":
        return (0.5 * limit < costs) & (costs <= 1.5 * limit)
    if mode == "frontier":
        counted = torch.ones_like(trajectories.finished) if fixed else trajectories.finished.clone()
        counted[:-1] = True  # OSRL leaves out the unfinished last one only
        polynomial = frontier(costs[counted].cpu(), returns[counted].cpu(), constant=fixed)
        band = float(returns[counted].max() - returns[counted].min()) / 5
        front = torch.as_tensor(polynomial(costs.cpu().numpy())).to(costs)
        return (front - band <= returns) & (returns <= front + band)
    return torch.ones_like(trajectories.finished)


def frontier(costs: Tensor, returns: Tensor, *, constant: bool) -> np.poly1d:
    """R(C) through the Pareto front: of the first degree in (0, 1, 2) with R² >= 0.9 there, else of degree 2.

    Args:
        constant: whether a front of a single point is taken as constant; OSRL's code crashes there (UserError).
    """
    if not len(costs):
        raise UserError(
            "--bc_mode frontier: the data hold no finished trajectory; --compat fixed takes unfinished ones"
        )
    front = pareto_front(costs, returns)
    x, y = costs[front].numpy(), returns[front].numpy()
    if constant and len(np.unique(x)) == 1:
        return np.poly1d(y[:1])
    for degree in (0, 1, 2):
        try:
            with np.errstate(invalid="ignore", divide="ignore"):
                polynomial = np.poly1d(np.polyfit(x, y, degree))
                rest, total = np.sum((y - polynomial(x)) ** 2), np.sum((y - y.mean()) ** 2)
                explained = 1 - rest / total
        except np.linalg.LinAlgError:
            raise UserError(
                f"--bc_mode frontier: the Pareto front is one point (cost {x[0]:g}), where OSRL's fit fails; "
                "--compat fixed takes a constant front"
            ) from None
        if explained >= 0.9:
            break
    return polynomial


def create(config: Any, problem: Problem) -> BCAgent:
    """A fresh agent of OSRL's BC, with PROCO where `config.proco` says so."""
    return BCTwin(config, problem) if config.proco else BCAgent(config, problem)

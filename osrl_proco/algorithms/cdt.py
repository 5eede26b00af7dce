"""Constrained decision transformer (OSRL's; Liu et al., ICML 2023).

Objective: the action's likelihood (with an entropy term whose weight is learned) given the last K steps of
(return to go, cost to go, state, action), beside a small loss on the class of the step's cost. At test the return and
the cost to go begin at a target and at `cost_limit`, and what each step brings is taken off.

The data are OSRL's: trajectories drawn in proportion to max(0, 70 - cost), augmented by copies that are told to have
returned more (data/augmentation.py). Trajectories are the fragments that a split left, and their steps are counted from
the fragment's first.

How the twin differs: the costs are those of the cost function and, from the second stage on (stages.py), also 1 where
the critic calls the state reached lost,

    c~_t = 1 where C(s_{t+1}) = 1 or V_h(s_{t+1}) > 0,  else 0

in the costs to go, the drawing, the augmentation and the cost head alike. At test the cost to go is 0 and stays 0: the
data hold none below. The critic is no part of the policy.

Faults of the release that `compat: fixed` mends: the augmentation crashes where cost returns are constant, as in all
safe-only data (skipped, with a message), and so does the drawing where all trajectories cost 70 or more (uniform); an
unfinished last trajectory is dropped (kept). The twin, which no release has, never stops at the first two.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import yaml
from osrl.algorithms import CDT, CDTTrainer
from torch import Tensor, nn

from ..core.errors import UserError
from ..core.random import derived_seed, drawing_from
from ..core.resources import CONFIGS
from ..data.augmentation import AugmentationSettings, Copies, NoFront, augment
from ..data.samplers import Exchanged, Windows, WindowSampler
from ..data.trajectories import Trajectories
from ..data.transitions import Transitions
from ..proco.feasibility import FeasibilityBatch, FeasibilityLearner, ProcoSettings
from ..tasks.task import load_task
from .agent import Agent, Info, Problem
from .cdt_policy import CDTPolicy
from .osrl import Recorder, accepted
from .stages import Staged, dangerous_steps, say

QUANTILE = 0.9  # of the data's returns: the target where OSRL names none
MOST_COST = 70.0  # trajectories of this cost are never drawn


class WarmUp:
    """A LambdaLR as a part: its state is the step count; the rates themselves are settings."""

    def __init__(self, scheduler: torch.optim.lr_scheduler.LambdaLR) -> None:
        self._scheduler = scheduler

    def state_dict(self) -> dict[str, int]:
        return {"steps": self._scheduler.last_epoch}

    def load_state_dict(self, state: dict[str, int]) -> None:
        scheduler, steps = self._scheduler, state["steps"]
        scheduler.last_epoch = steps
        rates = [base * rise(steps) for base, rise in zip(scheduler.base_lrs, scheduler.lr_lambdas, strict=True)]
        for group, rate in zip(scheduler.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
        scheduler._last_lr = rates


class CDTAgent(Agent):
    """OSRL's CDT and its trainer, on windows of the data."""

    def __init__(self, config: Any, problem: Problem) -> None:
        self._config, self._problem, self._noise = config, problem, problem.noise
        self.batch_size = config.batch_size
        self._fixed = config.compat == "fixed"
        self._never_stops = self._fixed or config.proco
        self.limit_at_test = not config.proco
        self._limit = 0.0 if config.proco else float(config.cost_limit)
        self._published = published(config.task)
        if config.seq_len < 2:
            raise UserError(f"--seq_len {config.seq_len}: must be at least 2 (with 1, OSRL's loss is not a number)")
        given = {
            **vars(config),
            "state_dim": problem.obs_dim,
            "action_dim": problem.act_dim,
            "max_action": problem.max_action,
            "episode_len": problem.episode_len,
            "target_entropy": -problem.act_dim,
            "device": problem.device,
        }
        self.model = CDT(**accepted(CDT, given)).to(problem.device)
        self._recorder = Recorder()
        self.trainer = CDTTrainer(self.model, None, self._recorder, **accepted(CDTTrainer, given))
        self._target = torch.tensor(float("nan"), dtype=torch.float64)  # on the CPU: read at every episode's start
        self._given_target = _number(config.target_return)

    @property
    def target_return(self) -> float:
        """What the policy is told to return over an episode, unscaled; known once `prepare` has seen the data."""
        return float(self._target)

    def prepare(self, data: Transitions) -> None:
        super().prepare(data)
        target, why = self._given_target, "as given"
        limits = self._published.get("target_returns")
        if target is None and limits:
            # The published target of the largest published limit that is not above ours, else of the smallest.
            limit = max([k for k in limits if k <= self._limit], default=min(limits))
            target, why = float(limits[limit]), f"OSRL's for cost limit {limit}"
        if target is None:
            target = float(torch.quantile(Trajectories.of(data).returns, QUANTILE))
            why = f"the {QUANTILE} quantile of the data's returns; --target_return sets it"
        self._target.fill_(target)
        say(f"cdt: target return {target:.6g} ({why})")

    def sampler(self, data: Transitions) -> WindowSampler:
        config, trajectories = self._config, Trajectories.of(data)
        if int(trajectories.lengths.max()) > self._problem.episode_len:
            raise UserError(
                f"--episode_len {self._problem.episode_len}: a trajectory of the data has "
                f"{int(trajectories.lengths.max())} steps, more than CDT has embeddings for"
            )
        used = torch.arange(len(trajectories), device=trajectories.start.device)
        if not self._fixed and not bool(trajectories.finished[-1]):
            used = used[:-1]  # as OSRL does; --compat fixed keeps it
        if not len(used):
            raise UserError("cdt: the data hold no finished trajectory; --compat fixed takes unfinished ones")
        returns, costs = (v[used].cpu().numpy() for v in (trajectories.returns, trajectories.cost_returns))
        copies = self._copies(costs, returns) if config.augment_percent > 0 else _NONE
        entries = np.concatenate([np.arange(len(used)), copies.source])
        told_costs = np.concatenate([costs, copies.costs])
        told_returns = np.concatenate([returns, copies.returns])

        def on_device(values: np.ndarray) -> Tensor:
            return torch.as_tensor(values).to(used.device)

        weights = self._weights(told_costs) if config.cost_sample else None
        return WindowSampler(
            trajectories,
            self.batch_size,
            config.seq_len,
            source=used[on_device(entries)],
            weights=None if weights is None else on_device(weights),
            return_shift=on_device(told_returns - returns[entries]),
            cost_shift=on_device(told_costs - costs[entries]),
            reward_scale=config.reward_scale,
            cost_scale=config.cost_scale,
        )

    def _copies(self, costs: np.ndarray, returns: np.ndarray) -> Copies:
        """The augmentation of trajectories of these cost returns and returns; the same for the same seed."""
        config, task = self._config, self._published

        def setting(name: str, default: float) -> float:
            given = getattr(config, name)
            return given if given is not None else task.get(name, default)

        settings = AugmentationSettings(
            config.augment_percent,
            int(setting("deg", 1)),
            setting("max_reward", float(returns.max())),
            config.min_reward,
            setting("max_rew_decrease", float(np.ptp(returns)) / 10),
            config.beta,
        )
        rng = np.random.default_rng(derived_seed(config.seed, "augmentation"))
        try:
            return augment(costs, returns, settings, rng)
        except NoFront as reason:
            if not self._never_stops:
                raise UserError(
                    f"cdt: OSRL's augmentation fails on these data ({reason}); --compat fixed skips it, "
                    "--augment_percent 0 leaves it out"
                ) from None
            say(f"cdt: no augmentation ({reason})")
            return _NONE

    def _weights(self, costs: np.ndarray) -> np.ndarray | None:
        """How often each trajectory is drawn, by its cost return; None: all alike."""
        weights = cost_weights(costs, linear=self._config.linear)
        if weights.sum() > 0:
            return weights
        if not self._never_stops:
            raise UserError(
                f"cdt: every trajectory costs {MOST_COST:g} or more, so that OSRL draws none; --compat fixed draws all "
                "alike, and so does --cost_sample false"
            )
        say(f"cdt: every trajectory costs {MOST_COST:g} or more; all are drawn alike")
        return None

    def update(self, batch: Windows, feasibility: FeasibilityBatch | None = None) -> Info:
        with drawing_from(self._noise):
            self.trainer.train_one_step(*batch)
        return {**self._recorder.info, "cdt/target_return": self.target_return}

    @torch.no_grad()
    def predict(self, states: Tensor, actions: Tensor, returns: Tensor, costs: Tensor, time_steps: Tensor) -> Tensor:
        """The action (N, K, act_dim) after each prefix of the histories (N, K, ...), without dropout."""
        costs_at_start = costs[:, 0]
        with _evaluating(self.model):
            answer, _, _ = self.model(states, actions, returns, costs, time_steps, None, costs_at_start)
        mean = answer.mean if self.model.stochastic else answer
        return mean.clamp(-self._problem.max_action, self._problem.max_action)

    def act(self, observations: Tensor, generator: torch.Generator) -> Tensor:
        """The first action of an episode that begins in each state: a history of one step."""
        one = observations.new_ones(len(observations), 1)
        config = self._config
        return self.predict(
            observations[:, None],
            observations.new_zeros(len(observations), 1, self._problem.act_dim),
            one * self.target_return * config.reward_scale,
            one * self._limit * config.cost_scale,
            torch.zeros_like(one, dtype=torch.long),
        )[:, 0]

    def policy(self) -> CDTPolicy:
        config = self._config
        targets = (self.target_return * config.reward_scale, self._limit * config.cost_scale)
        taken_off = (config.reward_scale, 0.0 if config.proco else config.cost_scale)
        return CDTPolicy(self.predict, self._problem, config.seq_len, targets, taken_off)

    def parts(self) -> dict[str, Any]:
        parts: dict[str, Any] = {
            "model": self.model,
            "optimizers": {"optim": self.trainer.optim},
            "warm_up": WarmUp(self.trainer.scheduler),
            "target_return": self._target,
        }
        if self.model.stochastic:
            # Neither a parameter nor a buffer in OSRL's class.
            parts["log_temperature"] = self.model.log_temperature
            parts["optimizers"]["log_temperature"] = self.trainer.log_temperature_optimizer
        return parts


class CDTTwin(Staged, CDTAgent):
    """CDT on the costs of PROCO's cost function and, later, of its critic."""

    def __init__(self, config: Any, problem: Problem) -> None:
        CDTAgent.__init__(self, config, problem)
        Staged.__init__(self, config.critic_share, config.update_steps)
        sizes, lr = (problem.obs_dim, problem.act_dim), config.critic_lr
        self.feasibility = FeasibilityLearner.create(
            *sizes, ProcoSettings.of(config, problem.reads), problem.device, lr
        )
        self.feasibility_batch_size = config.critic_batch_size

    def sampler(self, data: Transitions) -> Exchanged:  # type: ignore[override]
        self._data = data
        return self.drawn_from(Exchanged(super().sampler(data)))

    def judge(self, batches: Exchanged) -> Tensor:
        """Which steps (N,) are dangerous."""
        assert self.feasibility is not None
        return dangerous_steps(self.feasibility, self._data)

    def labelled(self, batches: Exchanged, judged: Tensor) -> None:
        both, own = int(judged.sum()), int((self._data.costs > 0).sum())
        say(f"cdt: {both} of {len(judged)} steps are dangerous, {own} by the cost function, {both - own} by the critic")
        batches.now = super().sampler(replace(self._data, costs=judged.float()))

    def update(self, batch: Windows, feasibility: FeasibilityBatch | None = None) -> Info:
        assert self.feasibility is not None
        assert feasibility is not None, "the twin's critic needs its own batch"
        info: Info = dict(self.feasibility.update(feasibility))
        info.update(super().update(batch))
        self.count()
        return info

    def parts(self) -> dict[str, Any]:
        return {**super().parts(), **self.staged()}


_NONE = Copies(np.zeros(0, dtype=int), np.zeros(0), np.zeros(0))


def published(task: str) -> dict[str, Any]:
    """OSRL's settings for a task (target_returns by cost limit, deg, max_reward, max_rew_decrease), or nothing."""
    table = yaml.safe_load((CONFIGS / "cdt.yaml").read_text(encoding="utf-8"))
    return table.get(load_task(task).id, {})


def cost_weights(costs: np.ndarray, *, linear: bool) -> np.ndarray:
    """Probability (E,) of drawing each trajectory, by its cost return: max(0, 70 - C), or 1 / (C + 10), to a sum of 1.

    All 0 where no trajectory costs less than 70.
    """
    weights = np.maximum(MOST_COST - costs if linear else 1 / (costs + 10), 0.0)
    return weights / weights.sum() if weights.sum() > 0 else weights


def _number(target: str) -> float | None:
    if target == "auto":
        return None
    try:
        return float(target)
    except ValueError:
        raise UserError(f"--target_return: {target!r} is neither a number nor auto") from None


@contextlib.contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Within the block without dropout; afterwards as before."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


def create(config: Any, problem: Problem) -> CDTAgent:
    """A fresh agent of OSRL's CDT, with PROCO where `config.proco` says so."""
    return CDTTwin(config, problem) if config.proco else CDTAgent(config, problem)

"""Constrained decision transformer (OSRL's; Liu et al., ICML 2023).

Objective: the action's likelihood (with an entropy term whose weight is learned) given the last K steps of
(return to go, cost to go, state, action), beside a small loss on the class of the step's cost. At test the return and
the cost to go begin at a target and at `cost_limit`, and what each step brings is taken off.

The data are OSRL's: trajectories drawn in proportion to max(0, 70 - cost), augmented by copies that are told to have
returned more (data/augmentation.py). Trajectories are the fragments that a split left, and their steps are counted from
the fragment's first.

Faults of the release that `compat: fixed` mends: the augmentation crashes where cost returns are constant, as in all
safe-only data (skipped, with a message), and so does the drawing where all trajectories cost 70 or more (uniform); an
unfinished last trajectory is dropped (kept).
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
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
from ..data.samplers import Windows, WindowSampler
from ..data.trajectories import Trajectories
from ..data.transitions import Transitions
from ..proco.feasibility import FeasibilityBatch
from ..tasks.task import load_task
from .agent import Agent, Info, Problem
from .osrl import Recorder, accepted

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
            limit = max([k for k in limits if k <= self._config.cost_limit], default=min(limits))
            target, why = float(limits[limit]), f"OSRL's for cost limit {limit}"
        if target is None:
            target = float(torch.quantile(Trajectories.of(data).returns, QUANTILE))
            why = f"the {QUANTILE} quantile of the data's returns; --target_return sets it"
        self._target.fill_(target)
        print(f"cdt: target return {target:.6g} ({why})", file=sys.stderr)

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
            if not self._fixed:
                raise UserError(
                    f"cdt: OSRL's augmentation fails on these data ({reason}); --compat fixed skips it, "
                    "--augment_percent 0 leaves it out"
                ) from None
            print(f"cdt: no augmentation ({reason})", file=sys.stderr)
            return _NONE

    def _weights(self, costs: np.ndarray) -> np.ndarray | None:
        """How often each trajectory is drawn, by its cost return; None: all alike."""
        weights = cost_weights(costs, linear=self._config.linear)
        if weights.sum() > 0:
            return weights
        if not self._fixed:
            raise UserError(
                f"cdt: every trajectory costs {MOST_COST:g} or more, so that OSRL draws none; --compat fixed draws all "
                "alike, and so does --cost_sample false"
            )
        print(f"cdt: every trajectory costs {MOST_COST:g} or more; all are drawn alike", file=sys.stderr)
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
            one * config.cost_limit * config.cost_scale,
            torch.zeros_like(one, dtype=torch.long),
        )[:, 0]

    def policy(self) -> CDTPolicy:
        return CDTPolicy(self, self._config, self._problem)

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


class CDTPolicy:
    """Several episodes in step: each row keeps its last K steps, and what is left of its target and of its limit.

    A row whose history is shorter than K is padded behind it, where the causal mask keeps it unseen.
    """

    def __init__(self, agent: CDTAgent, config: Any, problem: Problem) -> None:
        self._agent, self._device = agent, problem.device
        self._scales = (config.reward_scale, config.cost_scale)
        self._targets = (agent.target_return * config.reward_scale, config.cost_limit * config.cost_scale)
        self._length, self._most = config.seq_len, problem.episode_len + config.seq_len - 1
        self._sizes = (problem.obs_dim, problem.act_dim)
        self._step = torch.zeros(0, dtype=torch.long, device=self._device)
        self._left = torch.zeros(0, 2, device=self._device)  # (rows, 2): return and cost still to go, scaled
        # (rows, K, obs_dim + act_dim + 2): states, actions, what was left at each step
        self._history = torch.zeros(0, self._length, sum(self._sizes) + 2, device=self._device)

    def reset(self, rows: Sequence[int], seeds: Sequence[int]) -> None:
        new = max(rows) + 1 - len(self._step)
        if new > 0:
            self._step = torch.cat([self._step, self._step.new_zeros(new)])
            self._left = torch.cat([self._left, self._left.new_zeros(new, 2)])
            self._history = torch.cat([self._history, self._history.new_zeros(new, *self._history.shape[1:])])
        at = torch.as_tensor(list(rows), device=self._device)
        self._step[at] = 0
        self._history[at] = 0.0
        self._left[at] = torch.tensor(self._targets, device=self._device)

    def act(self, observations: Tensor) -> Tensor:
        count = len(observations)
        obs_dim, act_dim = self._sizes
        rows = torch.arange(count, device=self._device)
        history, step = self._history[:count], self._step[:count]
        full = (step >= self._length)[:, None, None]
        history = torch.where(full, history.roll(-1, 1), history)
        at = step.clamp_max(self._length - 1)
        nothing = history.new_zeros(count, act_dim)  # the action is what is asked for
        history[rows, at] = torch.cat([observations.to(history), nothing, self._left[:count]], 1)
        first = (step - self._length + 1).clamp_min(0)
        times = (first[:, None] + torch.arange(self._length, device=self._device)).clamp_max(self._most)
        states, actions, left = history.split([obs_dim, act_dim, 2], 2)
        chosen = self._agent.predict(states, actions, left[..., 0], left[..., 1], times)[rows, at]
        history[rows, at, obs_dim : obs_dim + act_dim] = chosen
        self._history[:count] = history
        self._step[:count] += 1
        return chosen

    def observe(self, rewards: Tensor, costs: Tensor) -> None:
        count = len(rewards)
        brought = torch.stack([rewards * self._scales[0], costs * self._scales[1]], 1)
        self._left[:count] -= brought.to(self._left)


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
    """A fresh agent of OSRL's CDT."""
    return CDTAgent(config, problem)

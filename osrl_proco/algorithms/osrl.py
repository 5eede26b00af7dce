"""OSRL's own classes behind our contract: the mixin that replaces the cost critic, and the agent around model and
trainer. The stock class is untouched, and with PROCO off it is bit for bit what it was."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from ..core.random import drawing_from
from ..core.state import Attributes
from ..data.transitions import Transitions
from ..proco.feasibility import FeasibilityBatch, FeasibilityCritic, FeasibilityLearner, ProcoSettings
from ..proco.reads import Reads
from .agent import Agent, Info, Problem

OPTIMIZERS = ("actor_optim", "critic_optim", "cost_critic_optim", "vae_optim")


class OsrlCostCritic(FeasibilityCritic):
    """The feasibility critic as OSRL calls a cost critic: `predict`, with the threshold at 0.

    Args:
        twin: whether it answers as OSRL's EnsembleDoubleQCritic (four values) or EnsembleQCritic (two).
        as_excess: whether the answer is Q, or by how much Q exceeds what can still be reached.
    """

    def __init__(
        self,
        obs_dim: int,
        act_dim: int,
        hidden: Sequence[int],
        *,
        twin: bool,
        as_excess: bool,
        of_two: str,
        reads: Reads | None = None,
    ) -> None:
        super().__init__(obs_dim, act_dim, hidden, of_two=of_two, reads=reads)
        self.twin, self.as_excess = twin, as_excess

    def predict(self, observations: Tensor, actions: Tensor) -> tuple[Any, ...]:
        """OSRL's cost-critic call; the constraint holds where the answer is at most 0."""
        answer = self.excess(observations, actions) if self.as_excess else self.q(observations, actions)
        if self.twin:
            return answer, answer, [answer], [answer]
        return answer, [answer]


class ProcoMixin:
    """`class ProcoBCQL(ProcoMixin, BCQL)`: the stock class, its cost critic replaced (PROCO eqs. 12 and 13).

    The stock class must keep its cost critic in `cost_critic`, a target copy in `cost_critic_old` that
    `sync_weight` averages towards it, an optimizer `cost_critic_optim`, a method `cost_critic_loss`, and
    thresholds in any of `qc_thres`, `q_thres`, `controller.thres`: OSRL's own conventions. Reward critic and
    policy go on learning from the batches they are given; only the feasibility critic draws from
    `feasibility_batch`, a callable that returns a batch of recorded and imagined transitions.

    With `proco=None` nothing is replaced: bit for bit the stock algorithm.
    """

    # Whether the stock policy loss wants the state-wise excess (Lagrangian losses) or the value itself.
    constraint_on_excess = True

    feasibility_batch: Callable[[], FeasibilityBatch]
    cost_critic: nn.Module

    def __init__(self, *args: Any, proco: ProcoSettings | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.proco = proco
        self.learner: FeasibilityLearner | None = None
        if proco is None:
            return
        self.cost_critic = OsrlCostCritic(
            self.state_dim,  # type: ignore[attr-defined]
            self.action_dim,  # type: ignore[attr-defined]
            proco.hidden,
            twin=hasattr(self.cost_critic, "q1_nets"),
            as_excess=self.constraint_on_excess,
            of_two=proco.of_two,
            reads=proco.reads,
        ).to(self.device)  # type: ignore[attr-defined]
        self.cost_critic_old = deepcopy(self.cost_critic).requires_grad_(False).eval()
        for name in ("qc_thres", "q_thres"):
            if hasattr(self, name):
                setattr(self, name, 0.0)
        if hasattr(self, "controller"):
            self.controller.thres = 0.0

    def feasibility(self) -> FeasibilityLearner:
        """The learner of the critic; `setup_optimizers` must have run (OSRL's trainer does it)."""
        if self.learner is None:
            assert self.proco is not None
            critic, target, optimizer = (getattr(self, f"cost_critic{end}") for end in ("", "_old", "_optim"))
            # OSRL's sync_weight averages the target too, with OSRL's tau: here goes what is left to the wanted rate.
            rest = max(0.0, 1.0 - (1.0 - self.proco.polyak) / (1.0 - self.tau))  # type: ignore[attr-defined]
            self.learner = FeasibilityLearner(
                critic, replace(self.proco, polyak=rest), target=target, optimizer=optimizer
            )
        return self.learner

    def imagine(self, observations: Tensor, generator: torch.Generator) -> Tensor:
        """Actions (N, act_dim) that the rollouts follow: the policy's."""
        return self.policy(observations)  # type: ignore[attr-defined]

    def cost_critic_loss(self, *batch: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """One step of the feasibility critic on `feasibility_batch()`; the stock step when PROCO is off."""
        if self.proco is None:
            return super().cost_critic_loss(*batch)  # type: ignore[misc]
        info = self.feasibility().update(self.feasibility_batch())
        return info["loss/feasibility_q"] + info["loss/feasibility_v"], info


class MendedCostCritic:
    """`--compat fixed` for BCQL and BEARL: mixed in before the twin's class, without effect on PROCO's critic.

    The release's cost critic bootstraps past terminal states, where nothing can follow, and its actor believes the
    smaller of two cost estimates.
    """

    def cost_critic_loss(self, *batch: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The release's step with gamma 0 at the end of the task; `done` is the last of the batch."""
        gamma = self.gamma  # type: ignore[has-type]
        self.gamma = gamma * (1.0 - batch[-1])
        try:
            return super().cost_critic_loss(*batch)  # type: ignore[misc]
        finally:
            self.gamma = gamma

    def actor_loss(self, observations: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The release's step with the larger of both cost estimates."""
        critic: Any = self.cost_critic  # type: ignore[attr-defined]
        predict = critic.predict

        def careful(*of: Tensor) -> tuple[Any, ...]:
            first, second, *lists = predict(*of)
            larger = torch.maximum(first, second)
            return larger, larger, *lists

        critic.predict = careful
        try:
            return super().actor_loss(observations)  # type: ignore[misc]
        finally:
            del critic.predict


class Recorder:
    """Stands where OSRL's trainers expect a logger; keeps the last update's figures on the device."""

    def __init__(self) -> None:
        self.info: Info = {}

    def store(self, tab: str = "", **figures: Any) -> None:
        self.info.update({f"{tab}/{k}" if tab else k: v for k, v in figures.items()})


class OsrlAgent(Agent):
    """One OSRL model with its trainer.

    Args:
        model_class: mixes ProcoMixin into an OSRL class and has `policy(observations)`.
        trainer_class: OSRL's trainer of that class.
        config: carries the flags that OSRL's constructors name.
        optimizers: names of the model's optimizers.
        changing: what else of the model training changes, beyond its modules: multipliers, counters, controllers.
    """

    def __init__(
        self,
        model_class: type,
        trainer_class: type,
        config: Any,
        problem: Problem,
        *,
        optimizers: Sequence[str] = OPTIMIZERS,
        changing: Sequence[str] = (),
    ) -> None:
        settings = None
        if config.proco:
            settings = ProcoSettings.of(config, problem.reads)
        given = {
            **vars(config),
            "state_dim": problem.obs_dim,
            "action_dim": problem.act_dim,
            "max_action": problem.max_action,
            "episode_len": problem.episode_len,
            "device": problem.device,
        }
        order = model_class.__mro__
        stock = order[order.index(ProcoMixin) + 1]
        self.batch_size = config.batch_size
        self._noise, self._scales = problem.noise, (config.reward_scale, config.cost_scale)
        self.model: Any = model_class(**accepted(stock, given), proco=settings)
        self._recorder = Recorder()
        rates = {k: v for k, v in accepted(trainer_class, given).items() if k not in ("reward_scale", "cost_scale")}
        self.trainer = trainer_class(self.model, None, self._recorder, **rates)
        self._optimizers, self._changing = optimizers, changing
        undeclared = {k for k, v in vars(self.model).items() if isinstance(v, torch.optim.Optimizer)} - {*optimizers}
        if undeclared:
            raise TypeError(f"{model_class.__name__}: name its optimizers {sorted(undeclared)} in optimizers=")
        if settings is not None:
            self.feasibility = self.model.feasibility()

    def update(self, batch: Transitions, feasibility: FeasibilityBatch | None = None) -> Info:
        if feasibility is not None:
            self.model.feasibility_batch = lambda: feasibility
        with drawing_from(self._noise):
            self.trainer.train_one_step(
                batch.observations,
                batch.next_observations,
                batch.actions,
                batch.rewards * self._scales[0],
                batch.costs * self._scales[1],
                # OSRL also stops bootstrapping at time limits, where the task does not end: --stop_at_timeouts.
                batch.terminals,
            )
        return dict(self._recorder.info)

    @torch.no_grad()
    def act(self, observations: Tensor, generator: torch.Generator) -> Tensor:
        return self.model.policy(observations)

    @torch.no_grad()
    def imagine(self, observations: Tensor, generator: torch.Generator) -> Tensor:
        return self.model.imagine(observations, generator)

    def parts(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "optimizers": {name: getattr(self.model, name) for name in self._optimizers},
            "changing": Attributes(self.model, self._changing),
        }


def accepted(stock: type, given: dict[str, Any]) -> dict[str, Any]:
    """Those of the given values that the stock class's constructor names."""
    return {k: v for k, v in given.items() if k in inspect.signature(stock.__init__).parameters}  # type: ignore[misc]

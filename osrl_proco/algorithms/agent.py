"""What the training loop sees of an algorithm: it updates and acts, and knows no files."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..data.transitions import Transitions


class _Recorder:
    """Stands where OSRL's trainers expect a logger; keeps the last update's figures on the device."""

    def __init__(self) -> None:
        self.info: dict[str, Any] = {}

    def store(self, **figures: Any) -> None:
        self.info.update(figures)


class Agent:
    """One OSRL model with its trainer.

    Args:
        model: an OSRL model whose class mixes in ProcoMixin and has `policy(observations, deterministic)`.
        trainer_class: OSRL's trainer of that model.
        reward_scale, cost_scale: factors on the batch's rewards and costs.
        trainer_arguments: learning rates and the like.
    """

    def __init__(
        self, model: Any, trainer_class: type, reward_scale: float, cost_scale: float, **trainer_arguments: Any
    ) -> None:
        self.model = model
        self._recorder = _Recorder()
        self._reward_scale, self._cost_scale = reward_scale, cost_scale
        self.trainer = trainer_class(model, None, self._recorder, **trainer_arguments)

    def update(self, batch: Transitions) -> dict[str, Tensor | float]:
        """One gradient step of every part of the algorithm; returns what to log, without waiting for the device."""
        self.trainer.train_one_step(
            batch.observations,
            batch.next_observations,
            batch.actions,
            batch.rewards * self._reward_scale,
            batch.costs * self._cost_scale,
            # OSRL also stops bootstrapping at time limits; the task does not end there, so we do not.
            batch.terminals,
        )
        return dict(self._recorder.info)

    @torch.no_grad()
    def act(self, observations: Tensor, deterministic: bool = True) -> Tensor:
        """Actions (N, act_dim) for observations (N, obs_dim)."""
        return self.model.policy(observations, deterministic)

    def state_dict(self) -> dict[str, Any]:
        """Networks, optimizers, multipliers, controllers and counters: all that training changes."""
        optimizers, plain, controllers = self._parts()
        return {
            "model": self.model.state_dict(),
            "optimizers": {k: o.state_dict() for k, o in optimizers.items()},
            "plain": {k: v.detach().clone() if isinstance(v, Tensor) else v for k, v in plain.items()},
            "controllers": {k: dict(vars(c)) for k, c in controllers.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        optimizers, plain, controllers = self._parts()
        for name, optimizer in optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])
        for name, value in plain.items():
            if isinstance(value, Tensor):
                value.data.copy_(state["plain"][name])  # in place: an optimizer may hold it
            else:
                setattr(self.model, name, state["plain"][name])
        for name, controller in controllers.items():
            vars(controller).update(state["controllers"][name])

    def _parts(self) -> tuple[dict[str, torch.optim.Optimizer], dict[str, Any], dict[str, Any]]:
        """OSRL keeps multipliers (`log_alpha`), counters and PID controllers as plain attributes, which
        `state_dict` of the module does not see."""
        own = {k: v for k, v in vars(self.model).items() if not k.startswith("_") and k != "training"}
        optimizers = {k: v for k, v in own.items() if isinstance(v, torch.optim.Optimizer)}
        plain = {k: v for k, v in own.items() if isinstance(v, (int, float, Tensor)) and not isinstance(v, bool)}
        controllers = {k: v for k, v in own.items() if hasattr(v, "control")}
        return optimizers, plain, controllers

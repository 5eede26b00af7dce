"""The contracts between an algorithm and everything else: `Problem`, `Agent`, `Policy`.

An algorithm is one file: a docstring with its objective and source, `Config` (built-in ones: configs.py), the losses,
and `create(config, problem) -> Agent`. It knows no files, no simulator and no cadence.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ..core.products import speed_up
from ..core.random import RowNoise
from ..core.state import Parts, restore, state_of
from ..data.samplers import Sampler, TransitionSampler
from ..data.transitions import Transitions
from ..proco.feasibility import FeasibilityBatch, FeasibilityLearner
from ..proco.reads import Reads

Info = dict[str, Any]  # what to log: tensors on the device, or numbers


@dataclass(frozen=True)
class Problem:
    """What an algorithm is told of the task.

    max_action: bound of every action entry (actions lie in [-max_action, max_action]).
    episode_len: steps of an episode.
    reference_returns: DSRL's lowest and highest return, where the task has them.
    device: of data and networks.
    noise: what an update draws from (its own stream, on `device`); first weights come from PyTorch's global one.
    reads: what the feasibility critic of a twin reads beside the observation.
    """

    obs_dim: int
    act_dim: int
    max_action: float
    episode_len: int
    device: str
    noise: torch.Generator
    reference_returns: tuple[float, float] | None = None
    reads: Reads | None = None


class Policy(Protocol):
    """What acts in episodes, several of them in step. Rows are numbered from 0."""

    def reset(self, rows: Sequence[int], seeds: Sequence[int]) -> None:
        """Row `rows[i]` begins an episode; what is random in it comes from `seeds[i]` alone."""

    def act(self, observations: Tensor) -> Tensor:
        """Actions (N, act_dim) within the bounds for observations (N, obs_dim) of rows 0 to N - 1."""

    def observe(self, rewards: Tensor, costs: Tensor) -> None:
        """What the step brought (each (N,)), for policies that keep a remaining limit or a history."""


class Stateless:
    """A policy that looks at nothing but the observation."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        self._function = function

    def reset(self, rows: Sequence[int], seeds: Sequence[int]) -> None:
        pass

    @torch.no_grad()
    def act(self, observations: Tensor) -> Tensor:
        return self._function(observations)

    def observe(self, rewards: Tensor, costs: Tensor) -> None:
        pass


class Seeded:
    """A policy that draws: `function(observations, noise)` with normal noise of `shape` for each row, from the seed of
    the row's episode alone."""

    def __init__(
        self, function: Callable[[Tensor, Tensor], Tensor], shape: Sequence[int], device: torch.device | str = "cpu"
    ) -> None:
        self._function, self._shape, self._noise = function, shape, RowNoise(device)

    def reset(self, rows: Sequence[int], seeds: Sequence[int]) -> None:
        self._noise.reset(rows, seeds)

    @torch.no_grad()
    def act(self, observations: Tensor) -> Tensor:
        return self._function(observations, self._noise.normal(len(observations), *self._shape))

    def observe(self, rewards: Tensor, costs: Tensor) -> None:
        pass


class Agent(ABC):
    """An algorithm with its networks: it updates and acts.

    `feasibility` is the learner of PROCO's critic, None for a stock algorithm. `batch_size` is what the default
    sampler draws; `feasibility_batch_size` how many recorded transitions the learner's batch holds, where that is
    another number.
    """

    feasibility: FeasibilityLearner | None = None
    batch_size: int
    # Whether `update` is the same kernels every time, so that a CUDA graph can stand for it: no stages, no draws but
    # from `Problem.noise`, and what it counts on the device once `count_on_device` was called.
    capturable = False
    limit_at_test = False  # whether the policy acts by `config.cost_limit`, so that every limit needs its own episodes
    feasibility_batch_size: int | None = None

    def prepare(self, data: Transitions) -> None:
        """Look at the training data once, before a fresh run; what is learned here is part of the state."""
        if self.feasibility is not None:
            self.feasibility.standardise(data.observations)

    def sampler(self, data: Transitions) -> Sampler:
        """What draws this algorithm's batches from the training data."""
        return TransitionSampler(data, self.batch_size)

    @abstractmethod
    def update(self, batch: Any, feasibility: FeasibilityBatch | None = None) -> Info:
        """One gradient step of every part, without waiting for the device; what to log.

        Args:
            batch: what the sampler gave.
            feasibility: recorded and imagined transitions, for the feasibility learner only; None for stock.
        """

    @abstractmethod
    def act(self, observations: Tensor, generator: torch.Generator) -> Tensor:
        """Actions (N, act_dim) for states (N, obs_dim) without a history."""

    def imagine(self, observations: Tensor, generator: torch.Generator) -> Tensor:
        """What the rollouts follow: `act`, but where that tries many actions for each state something cheaper."""
        return self.act(observations, generator)

    def policy(self) -> Policy:
        """What acts at evaluation; by default `act`."""
        generator = torch.Generator().manual_seed(0)
        return Stateless(lambda observations: self.act(observations, generator))

    @abstractmethod
    def parts(self) -> Parts:
        """All that training changes, by name: modules, optimizers, tensors, anything with `state_dict`."""

    def state_dict(self) -> dict[str, Any]:
        return state_of(self.parts())

    def load_state_dict(self, state: dict[str, Any]) -> None:
        restore(self.parts(), state)

    def count_on_device(self) -> None:  # noqa: B027 - most count nothing
        """Keep on the device what `update` counts, and learning rates that follow from it, for a captured update."""

    def speed_up(self) -> None:
        """Let every network take the matrix products that are fastest here (core/products.py)."""
        speed_up(_modules(self.parts()))

    def train(self, mode: bool = True) -> None:
        """Training mode (dropout and the like) of every network, or evaluation mode."""
        for module in _modules(self.parts()):
            module.train(mode)


def _modules(parts: Parts) -> list[nn.Module]:
    found: list[nn.Module] = []
    for part in parts.values():
        if isinstance(part, nn.Module):
            found.append(part)
        elif isinstance(part, dict):
            found += _modules(part)
    return found

"""What the embedded tasks share: Gymnasium's interface, DSRL's interface, and a dataset made from a seed.

A subclass gives the physics for a batch of states. The state *is* the observation, so that what the
feasibility critic says of an observation can be held against `is_feasible` of the same array.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from ..core.errors import UserError

Array = NDArray[np.float32]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Plane:
    """A plane through the state space to draw on: x (W,), y (H,), and the states (H, W, obs_dim) it consists of."""

    x: Array
    y: Array
    states: Array
    x_label: str
    y_label: str
    project: Callable[[Array], Array]  # states (N, obs_dim) near the plane -> their x and y (M, 2)


def require_positive(task: str, **values: float) -> None:
    """Raise UserError naming the first of a task's parameters that is not a positive finite number."""
    for name, value in values.items():
        if not (np.isfinite(value) and value > 0):
            raise UserError(f"{task}: {name}={value:g} must be a positive number")


class EmbeddedTask(gym.Env, ABC):
    """A task whose feasible set is known.

    Args:
        episodes: episodes in the generated dataset.
        dataset_seed: seed of the generated dataset.
    """

    metadata = {"render_modes": []}  # noqa: RUF012 (Gymnasium's own convention)
    episode_len: int
    # Return of the best safe and of an idle episode, and the highest cost: the reference points of the scores.
    max_episode_reward: float
    min_episode_reward: float
    max_episode_cost: float
    min_episode_cost = 0.0

    def __init__(self, episodes: int, dataset_seed: int) -> None:
        self.episodes = episodes
        self.dataset_seed = dataset_seed
        self.target_cost: float | None = None
        self._state: Array | None = None

    # ---- the physics, for a batch of states -------------------------------------------------------------------

    @abstractmethod
    def is_feasible(self, states: Array) -> Bools:
        """Whether some sequence of actions keeps each state (N, obs_dim) safe for ever: bool (N,)."""

    @abstractmethod
    def is_unsafe(self, states: Array) -> Bools:
        """Whether each state (N, obs_dim) breaks the safety rule now: bool (N,)."""

    @abstractmethod
    def advance(self, states: Array, actions: Array) -> tuple[Array, Array]:
        """One step for states (N, obs_dim) and actions (N, act_dim) in [-1, 1]: next states and rewards (N,)."""

    @abstractmethod
    def initial_states(self, rng: np.random.Generator, count: int) -> Array:
        """Feasible start states (count, obs_dim)."""

    @abstractmethod
    def characters(self, rng: np.random.Generator, count: int) -> dict[str, Any]:
        """What makes `count` recorded drivers differ from each other; constant over an episode."""

    @abstractmethod
    def behave(self, states: Array, characters: dict[str, Any], rng: np.random.Generator) -> Array:
        """The recorded drivers' actions (N, act_dim) in `states`."""

    @abstractmethod
    def plane(self) -> Plane:
        """The plane on which this task's feasible set is drawn."""

    # ---- Gymnasium ---------------------------------------------------------------------------------------------

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Array, dict[str, Any]]:
        super().reset(seed=seed)
        self._state = self.initial_states(self.np_random, 1)
        return self._state[0].copy(), {"cost": 0.0}

    def step(self, action: Any) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        assert self._state is not None, "call reset() before step()"
        actions = np.clip(np.asarray(action, dtype=np.float32).reshape(1, -1), -1.0, 1.0)
        self._state, rewards = self.advance(self._state, actions)
        cost = float(self.is_unsafe(self._state)[0])
        return self._state[0].copy(), float(rewards[0]), False, False, {"cost": cost}

    # ---- DSRL --------------------------------------------------------------------------------------------------

    def set_target_cost(self, target_cost: float) -> None:
        """The episode cost that counts as a normalised cost of 1 (DSRL's name and meaning)."""
        self.target_cost = target_cost

    def get_normalized_score(self, reward: float, cost: float) -> tuple[float, float]:
        """Episode return and cost in DSRL's scale: 0..1 between the reference returns; cost over target cost."""
        if self.target_cost is None:
            raise ValueError("call set_target_cost() before get_normalized_score()")
        span = self.max_episode_reward - self.min_episode_reward
        epsilon = 1.0 if self.target_cost == 0 else 0.0
        return (reward - self.min_episode_reward) / span, (cost + epsilon) / (self.target_cost + epsilon)

    def get_dataset(self, h5path: str | None = None) -> dict[str, NDArray[Any]]:
        """The recorded drivers' episodes, reckless ones among them, as DSRL's dict of arrays.

        Generated from `dataset_seed` in well under a second; with `h5path`, read from that HDF5 file.
        """
        if h5path is not None:
            from ..data.hdf5 import read_hdf5

            return dict(read_hdf5(Path(h5path)))
        rng = np.random.default_rng(self.dataset_seed)
        count, length = self.episodes, self.episode_len
        who = self.characters(rng, count)
        states = self.initial_states(rng, count)
        columns: dict[str, list[NDArray[Any]]] = {
            k: [] for k in ("observations", "actions", "next_observations", "rewards", "costs")
        }
        for _ in range(length):
            actions = np.clip(self.behave(states, who, rng), -1.0, 1.0).astype(np.float32)
            successors, rewards = self.advance(states, actions)
            row = (states, actions, successors, rewards, self.is_unsafe(successors).astype(np.float32))
            for key, value in zip(columns, row, strict=True):
                columns[key].append(value)
            states = successors
        # (length, count, ...) -> episode after episode
        data = {k: np.stack(v, axis=1).reshape(count * length, *v[0].shape[1:]) for k, v in columns.items()}
        timeouts = np.zeros((count, length), dtype=np.float32)
        timeouts[:, -1] = 1.0
        return {**data, "terminals": np.zeros(count * length, dtype=np.float32), "timeouts": timeouts.reshape(-1)}

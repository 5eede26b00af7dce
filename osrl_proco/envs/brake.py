"""OfflineBrake-v0: a cart, a wall, and a brake that is not strong enough for late braking."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces

from .base import Array, Bools, EmbeddedTask, Plane, require_positive


class BrakeEnv(EmbeddedTask):
    """A cart on a line: the further it goes the better, but a wall ends the road.

    Observation: gap to the wall (m, negative beyond it), velocity (m/s). Action in [-1, 1]: acceleration over
    `a_max`. Reward: metres covered in the step. Cost: 1 for a step that ends at or beyond the wall.

    Args:
        wall: position of the wall (m); the cart starts within the first 40 % of the way to it.
        a_max: largest acceleration and deceleration (m/s²).
        dt: length of a step (s).
        v_max: largest speed (m/s).
        episodes, dataset_seed: size and seed of the generated dataset.

    Raises:
        UserError: a parameter that is not positive.
    """

    episode_len = 100

    def __init__(
        self,
        wall: float = 10.0,
        a_max: float = 2.0,
        dt: float = 0.1,
        v_max: float = 5.0,
        episodes: int = 300,
        dataset_seed: int = 0,
    ) -> None:
        super().__init__(episodes, dataset_seed)
        self.wall, self.a_max, self.dt, self.v_max = float(wall), float(a_max), float(dt), float(v_max)
        require_positive("OfflineBrake-v0", wall=self.wall, a_max=self.a_max, dt=self.dt, v_max=self.v_max)
        far = np.array([np.inf, self.v_max], dtype=np.float32)
        self.observation_space = spaces.Box(-far, far, dtype=np.float32)
        self.action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)
        self.max_episode_reward, self.min_episode_reward = self.wall, 0.0
        self.max_episode_cost = float(self.episode_len)

    def is_unsafe(self, states: Array) -> Bools:
        return states[..., 0] <= 0.0

    def is_feasible(self, states: Array) -> Bools:
        """Closed form: can it still stop? Full braking gives the largest gap at every later step, so a state is
        feasible exactly when the smallest gap under full braking is positive. After n steps that gap is
        ``gap - n dt v + a_max (n dt)² / 2``, a parabola in n, smallest at the whole n next to ``v / (a_max dt)``.
        """
        gap, velocity = states[..., 0].astype(np.float64), states[..., 1].astype(np.float64)
        time = self.dt * np.maximum(np.round(velocity / (self.a_max * self.dt)), 0.0)
        return gap - time * velocity + 0.5 * self.a_max * time**2 > 0.0

    def advance(self, states: Array, actions: Array) -> tuple[Array, Array]:
        gap, velocity = states[:, 0], states[:, 1]
        after = np.clip(velocity + self.a_max * self.dt * actions[:, 0], -self.v_max, self.v_max)
        covered = 0.5 * self.dt * (velocity + after)
        return np.stack([gap - covered, after], axis=1).astype(np.float32), covered.astype(np.float32)

    def plane(self) -> Plane:
        gap = np.linspace(0.001, self.wall, 241, dtype=np.float32)
        velocity = np.linspace(-0.4 * self.v_max, self.v_max, 241, dtype=np.float32)
        states = np.stack(np.meshgrid(gap, velocity), axis=-1)
        return Plane(gap, velocity, states, "gap to the wall (m)", "velocity (m/s)", lambda s: s)

    def initial_states(self, rng: np.random.Generator, count: int) -> Array:
        start = rng.uniform(0.0, 0.4 * self.wall, count)
        # Never faster than half the braking distance allows: every start is feasible with room to spare.
        fastest = np.minimum(self.v_max, np.sqrt(self.a_max * (self.wall - start)))
        velocity = rng.uniform(0.0, 0.7, count) * fastest
        return np.stack([self.wall - start, velocity], axis=1).astype(np.float32)

    def characters(self, rng: np.random.Generator, count: int) -> dict[str, Any]:
        return {
            "cruise": rng.uniform(0.2, 1.0, count) * self.v_max,
            "standoff": rng.uniform(0.01, 0.15, count) * self.wall,
            # Deceleration the driver counts on, over the real one: above 1 it brakes too late.
            "trust": rng.uniform(0.4, 2.4, count),
            "noise": rng.uniform(0.05, 0.5, count),
        }

    def behave(self, states: Array, characters: dict[str, Any], rng: np.random.Generator) -> Array:
        gap, velocity = states[:, 0], states[:, 1]
        room = gap - characters["standoff"]
        # The speed from which the driver believes it can still stop at its standoff; backwards when inside it.
        stopping = np.sign(room) * np.sqrt(2 * characters["trust"] * self.a_max * np.abs(room))
        wanted = np.minimum(characters["cruise"], stopping)
        action = (wanted - velocity) / (self.a_max * self.dt)
        action = np.clip(action, -1.0, 0.8) + characters["noise"] * rng.standard_normal(len(gap))
        return action[:, None].astype(np.float32)

"""OfflinePointRobot-v0: a planar double integrator among round hazards, with a goal."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray

from osrl_proco.core.errors import UserError

from .base import Array, Bools, EmbeddedTask, Plane, require_positive
from .reachability import Axis, cached, solve, transition_matrices

ID = "OfflinePointRobot-v0"
Hazard = tuple[float, float, float]


def _numbers(name: str, value: Any, shape: tuple[int, ...], form: str) -> NDArray:
    """`value` as an array of `shape` (-1: one or more), or a UserError that names the parameter and its form."""
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        array = np.empty(0)
    fits = array.ndim == len(shape) and all(
        n == want or want < 0 < n for n, want in zip(array.shape, shape, strict=True)
    )
    if not fits or not np.isfinite(array).all():
        raise UserError(f"{ID}: {name}={value!r} must be {form}, finite numbers")
    return array


class PointRobotEnv(EmbeddedTask):
    """A point with inertia: the straight way to the goal leads through the hazards.

    Observation: position x, y (m), velocity x, y (m/s), gap to each hazard's edge (m, negative inside). Action in
    [-1, 1]²: acceleration over `a_max`, each axis for itself. Reward: metres nearer to the goal in the step. Cost: 1
    for a step that ends inside a hazard.

    Args:
        hazards: (x, y, radius) of each (m), at least one.
        goal: x, y (m).
        a_max, v_max, dt: largest acceleration and speed of an axis (m/s², m/s), length of a step (s).
        episodes, dataset_seed: size and seed of the generated dataset.

    Raises:
        UserError: hazards or goal of another form, a parameter that is not positive; in `reset` and `get_dataset`,
            hazards that leave no room to start.
    """

    episode_len = 52  # half as long again as the straight way takes: a slow detour arrives late, which costs return

    def __init__(
        self,
        hazards: tuple[Hazard, ...] = ((0.0, 0.0, 0.45), (0.35, 0.85, 0.3), (0.35, -0.85, 0.3)),
        goal: tuple[float, float] = (1.5, 0.0),
        a_max: float = 1.0,
        v_max: float = 1.0,
        dt: float = 0.1,
        episodes: int = 500,
        dataset_seed: int = 0,
    ) -> None:
        super().__init__(episodes, dataset_seed)
        self.hazards = _numbers("hazards", hazards, (-1, 3), "one or more (x, y, radius)")
        self.goal = _numbers("goal", goal, (2,), "(x, y)")
        self.a_max, self.v_max, self.dt = float(a_max), float(v_max), float(dt)
        require_positive(ID, radius=self.hazards[:, 2].min(), a_max=self.a_max, v_max=self.v_max, dt=self.dt)
        high = np.full(4 + len(self.hazards), np.inf, dtype=np.float32)
        high[2:4] = self.v_max
        self.observation_space = spaces.Box(-high, high, dtype=np.float32)
        self.action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
        # From the middle of the starting area to the goal.
        self.max_episode_reward, self.min_episode_reward = float(np.hypot(self.goal[0] + 1.3, self.goal[1])), 0.0
        self.max_episode_cost = float(self.episode_len)

    def _gaps(self, positions: NDArray) -> NDArray:
        """Gap of each position (..., 2) to each hazard (..., hazards)."""
        return np.linalg.norm(positions[..., None, :] - self.hazards[:, :2], axis=-1) - self.hazards[:, 2]

    def _states(self, positions: NDArray, velocities: NDArray) -> Array:
        return np.concatenate([positions, velocities, self._gaps(positions)], axis=-1).astype(np.float32)

    def is_unsafe(self, states: Array) -> Bools:
        return np.asarray((states[..., 4:] <= 0.0).any(-1))

    def _step_axis(self, position: NDArray, velocity: NDArray, action: Any) -> tuple[NDArray, NDArray]:
        after = np.clip(velocity + self.a_max * self.dt * action, -self.v_max, self.v_max)
        return position + 0.5 * self.dt * (velocity + after), after

    def advance(self, states: Array, actions: Array) -> tuple[Array, Array]:
        before = states[:, :2].astype(np.float64)
        position, velocity = self._step_axis(before, states[:, 2:4].astype(np.float64), actions)
        nearer = np.linalg.norm(before - self.goal, axis=1) - np.linalg.norm(position - self.goal, axis=1)
        return self._states(position, velocity), nearer.astype(np.float32)

    # ---- the truth ---------------------------------------------------------------------------------------------

    @property
    def _braking(self) -> float:
        """Distance (m) within which an axis stops from its top speed."""
        return self.v_max**2 / (2 * self.a_max) + self.v_max * self.dt

    @cached_property
    def _axes(self) -> tuple[Axis, Axis]:
        """Grids of x and y, as far as the braking distance around all hazards, so that their edge stands for every
        position beyond it: from there and from the edge alike, braking alone is safe."""
        low = (self.hazards[:, :2] - self.hazards[:, 2:]).min(0) - self._braking
        high = (self.hazards[:, :2] + self.hazards[:, 2:]).max(0) + self._braking
        cell = (high - low).max() / 90
        velocities = np.linspace(-self.v_max, self.v_max, 25)
        counts = np.ceil((high - low) / cell).astype(int) + 3  # a cell to spare on each side
        x, y = (Axis(start + cell * np.arange(-1, n - 1), velocities) for start, n in zip(low, counts, strict=True))
        return x, y

    @cached_property
    def _value(self) -> NDArray:
        """V on the grid (axis x, axis y). All hazards at once, in four dimensions: evading one can lead into another,
        so the union of each hazard's own lost states would miss some."""

        def compute() -> NDArray:
            x, y = self._axes
            points = np.stack(np.meshgrid(x.mesh()[0], y.mesh()[0], indexing="ij"), axis=-1)
            h = torch.as_tensor(-self._gaps(points).min(-1), dtype=torch.float32)
            along_x, along_y = (transition_matrices(axis, self._step_axis) for axis in (x, y))
            return solve(h, along_x, along_y).numpy().astype(np.float16)

        sizes = [axis.size for axis in self._axes]
        return cached(repr((self.hazards.tolist(), self.a_max, self.v_max, self.dt, sizes)), compute)

    def value(self, states: Array) -> NDArray:
        """The Hamilton-Jacobi value (N,) of states (N, obs_dim): how deep (m) the best way on enters a hazard.
        Beyond the braking distance around all hazards only its sign counts."""
        flat = np.asarray(states, dtype=np.float64).reshape(-1, np.shape(states)[-1])
        (px, wx), (py, wy) = (axis.interpolation(flat[:, i], flat[:, 2 + i]) for i, axis in enumerate(self._axes))
        corners = self._value[px[:, :, None], py[:, None, :]].astype(np.float64)
        return (corners * wx[:, :, None] * wy[:, None, :]).sum((1, 2)).reshape(np.shape(states)[:-1])

    def is_feasible(self, states: Array) -> Bools:
        """From the numerical solution, exact to about a grid cell (1/90 of the hazards' surroundings, 4 cm at the
        defaults; 1/12 of v_max). The first call of a parameter set takes some seconds; the solution is kept in the
        user's cache folder."""
        return (self.value(states) < 0.0) & ~self.is_unsafe(states)

    def plane(self) -> Plane:
        """The plane of positions at 0.7 of the top speed towards the goal's side."""
        x = np.linspace(-1.5, 1.5, 161, dtype=np.float32)
        positions = np.stack(np.meshgrid(x, x), axis=-1)
        speed = 0.7 * self.v_max
        velocities = np.broadcast_to(np.array([speed, 0.0]), positions.shape)

        def near(states: Array) -> Array:
            alike = np.abs(states[:, 2:4] - np.array([speed, 0.0])).max(1) < 0.2 * self.v_max
            return states[alike, :2]

        label = f"(m), at a velocity of ({speed:g}, 0) m/s"
        return Plane(x, x, self._states(positions, velocities), f"x {label}", "y (m)", near)

    # ---- the recorded drivers ----------------------------------------------------------------------------------

    def initial_states(self, rng: np.random.Generator, count: int) -> Array:
        """Slow starts left of the origin, each far enough from every hazard to stop: feasible without asking `V`."""
        states = self._draw_starts(rng, count)
        for _ in range(100):
            speed = np.linalg.norm(states[:, 2:4], axis=1)
            # Braking along the velocity is at least as strong as a_max on the faster axis.
            stopping = speed * np.abs(states[:, 2:4]).max(1) / (2 * self.a_max) + speed * self.dt
            close = states[:, 4:].min(1) <= stopping
            if not close.any():
                return states
            states[close] = self._draw_starts(rng, int(close.sum()))
        raise UserError(f"{ID}: hazards leave no room to start in x -1.5..-1.1, y -0.9..0.9; move or shrink them")

    def _draw_starts(self, rng: np.random.Generator, count: int) -> Array:
        positions = np.stack([rng.uniform(-1.5, -1.1, count), rng.uniform(-0.9, 0.9, count)], axis=1)
        velocities = rng.uniform(-0.2, 0.4, (count, 2)) * self.v_max
        return self._states(positions, velocities)

    def characters(self, rng: np.random.Generator, count: int) -> dict[str, Any]:
        return {
            "cruise": rng.uniform(0.4, 1.0, count) * self.v_max,
            # Gap at which the driver starts to steer round a hazard; the braking distance is v²/2a.
            "reach": rng.uniform(0.05, 0.7, count),
            "noise": rng.uniform(0.05, 0.5, count),
        }

    def behave(self, states: Array, characters: dict[str, Any], rng: np.random.Generator) -> Array:
        position, velocity = states[:, :2], states[:, 2:4]
        to_goal = self.goal - position
        distance = np.linalg.norm(to_goal, axis=1, keepdims=True)
        direction = to_goal / np.maximum(distance, 1e-6)
        wanted = direction.copy()
        for i, (x, y, _) in enumerate(self.hazards):
            away = position - np.array([x, y])
            away /= np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1e-6)
            side = np.stack([-away[:, 1], away[:, 0]], axis=1)
            side *= np.where((side * direction).sum(1, keepdims=True) >= 0, 1.0, -1.0)
            near = np.clip(1.0 - states[:, 4 + i] / characters["reach"], 0.0, 2.0)[:, None]
            wanted += near * (2.0 * away + 1.5 * side)
        wanted /= np.maximum(np.linalg.norm(wanted, axis=1, keepdims=True), 1.0)
        speed = characters["cruise"][:, None] * np.minimum(distance / 0.3, 1.0)
        action = (wanted * speed - velocity) / (self.a_max * self.dt)
        return np.clip(action, -1.0, 1.0) + characters["noise"][:, None] * rng.standard_normal(velocity.shape)

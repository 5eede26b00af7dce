"""A task's dataset: from an HDF5 file, or from DSRL's own environment, which downloads or generates it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from ..core.errors import UserError
from ..tasks.task import Task
from .download import download
from .hdf5 import read_hdf5
from .transitions import Transitions
from .validate import bounded_actions, validate


def load_dataset(env: gym.Env, task_id: str, file: str | Path | None = None) -> Transitions:
    """The dataset of a task, on the CPU: `file` where given, if not the task's own (generated, or DSRL's).

    Actions that leave the action space are clipped, as the simulator did, and a line on stderr says how many.

    Raises UserError, in one line that names file, key and fix, for a missing or damaged file, a missing key, wrong
    sizes, values that are not finite or out of range, and a file that says it is of another task.
    """
    if file is not None:
        arrays, name = read_hdf5(Path(file), task_id), str(file)
    else:
        arrays, name = _own(env, task_id)
    arrays = validate(arrays, name, task_id, env.observation_space, env.action_space)
    arrays["actions"], outside = bounded_actions(arrays["actions"], env.action_space, name)
    _tell_clipped(name, outside)
    return Transitions.from_arrays(arrays)


def load_file(file: str | Path, task: Task) -> Transitions:
    """A dataset file held against the task file alone: its observation layout and its largest action.

    Raises UserError as `load_dataset` does.
    """
    return from_arrays(read_hdf5(Path(file), task.id), task, str(file))


def from_arrays(arrays: Mapping[str, Any], task: Task, name: str = "arrays") -> Transitions:
    """Transitions from arrays in DSRL's form, episode after episode, without any simulator.

    Args:
        arrays: `observations` and `next_observations` (N, obs_dim), `actions` (N, act_dim), `rewards`, `costs`,
            `terminals`, `timeouts` (N,). `costs[t]` is 1 where the step arrived in an unsafe state.
        name: what error messages call them.

    Raises UserError, in one line that begins with `name`, for the first thing that does not fit.
    """
    observation_space, action_space = spaces_of(task, arrays)
    checked = validate(arrays, name, task.id, observation_space, action_space)
    checked["actions"], outside = bounded_actions(checked["actions"], action_space, name)
    _tell_clipped(name, outside)
    return Transitions.from_arrays(checked)


def spaces_of(task: Task, arrays: Mapping[str, Any]) -> tuple[spaces.Box, spaces.Box]:
    """Observation and action space as far as the task file says; the actions' width is that of the data."""
    width = np.shape(arrays["actions"])[1:2] or (1,) if "actions" in arrays else (1,)
    return spaces.Box(-np.inf, np.inf, (task.obs_dim,)), spaces.Box(-task.max_action, task.max_action, width)


def _tell_clipped(name: str, share: float) -> None:
    if share:
        print(f"{name}: {share:.2%} of the actions left the action space and were clipped to it", file=sys.stderr)


def unsafe_file(file: str | Path) -> Path:
    """Where `data split` puts the violations that it kept aside from the safe-only `file`."""
    return Path(file).with_suffix(".unsafe.hdf5")


def _own(env: gym.Env, task_id: str) -> tuple[dict[str, np.ndarray], str]:
    """What the environment has for a dataset, and its name: a file of DSRL's (downloaded if need be), or generated."""
    base: Any = env.unwrapped
    if getattr(base, "dataset_url", None):
        path = download(task_id)
        try:
            return read_hdf5(path, task_id), str(path)
        except UserError as error:
            raise UserError(f"{error}; remove it, to fetch it again, or --dataset FILE") from None
    if not hasattr(base, "get_dataset"):
        raise UserError(f"dataset of {task_id}: the environment has none; pass --dataset FILE")
    return base.get_dataset(), f"dataset of {task_id}"

"""A task's dataset: from an HDF5 file, or from DSRL's own environment, which downloads or generates it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from ..errors import UserError
from ..tasks import Task
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
    if outside:
        print(f"{name}: {outside:.2%} of the actions left the action space and were clipped to it", file=sys.stderr)
    return Transitions.from_arrays(arrays)


def load_file(task: Task, file: str | Path) -> Transitions:
    """A dataset file held against the task's observation layout alone: no simulator, so actions stay as they are.

    Raises UserError as `load_dataset` does.
    """
    arrays = read_hdf5(Path(file), task.id)
    observation = spaces.Box(-np.inf, np.inf, (task.obs_dim,))
    action = spaces.Box(-np.inf, np.inf, np.shape(arrays["actions"])[1:])
    return Transitions.from_arrays(validate(arrays, str(file), task.id, observation, action))


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

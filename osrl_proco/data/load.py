"""A task's dataset: from an HDF5 file, or from DSRL's own environment, which downloads or generates it."""

from __future__ import annotations

import http.client
import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from ..errors import UserError, first_line
from .hdf5 import read_hdf5
from .transitions import Transitions
from .validate import bounded_actions, validate


def load_dataset(env: gym.Env, task_id: str, file: str | Path | None = None) -> Transitions:
    """The dataset of a task, on the CPU: `file` where given, the environment's own (generated or downloaded) if not.

    Actions that leave the action space are clipped, as the simulator did, and a line on stderr says how many.

    Raises UserError, in one line that names file, key and fix, for a missing or damaged file, a missing key, wrong
    sizes, values that are not finite or out of range, and a file that says it is of another task.
    """
    if file is not None:
        arrays, name = read_hdf5(Path(file), task_id), str(file)
    else:
        arrays, name = _own(env, task_id), f"dataset of {task_id}"
    arrays = validate(arrays, name, task_id, env.observation_space, env.action_space)
    arrays["actions"], outside = bounded_actions(arrays["actions"], env.action_space, name)
    if outside:
        print(f"{name}: {outside:.2%} of the actions left the action space and were clipped to it", file=sys.stderr)
    return Transitions.from_arrays(arrays)


def _own(env: gym.Env, task_id: str) -> dict[str, np.ndarray]:
    """What the environment's `get_dataset` gives; the file it came from is named where that cannot be read."""
    base: Any = env.unwrapped
    if not hasattr(base, "get_dataset"):
        raise UserError(f"dataset of {task_id}: the environment has none; pass --dataset FILE")
    try:
        return base.get_dataset()
    except (OSError, http.client.HTTPException, AssertionError, ValueError, KeyError) as error:
        cached = Path(base.dataset_filepath) if getattr(base, "dataset_url", None) else None
        if cached is not None and cached.is_file():
            raise UserError(f"{cached}: {first_line(error)}; remove it, to fetch it again, or --dataset FILE") from None
        raise UserError(
            f"dataset of {task_id}: could not be downloaded ({first_line(error)}); pass --dataset FILE"
        ) from None

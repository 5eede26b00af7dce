"""A task's dataset: from a file, or from DSRL's own environment, which downloads or generates it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from ..core.errors import UserError
from ..tasks.task import Task
from .download import download
from .findings import require_names, settle
from .hdf5 import read_hdf5
from .layouts import choose, derive, require_keys
from .transitions import Transitions
from .validate import validate


def load_dataset(env: gym.Env, task_id: str, file: str | Path | None = None, accept: Sequence[str] = ()) -> Transitions:
    """The dataset of a task, on the CPU: `file` where given, if not the task's own (generated, or DSRL's).

    Actions that leave the action space are clipped, as the simulator did; that and whatever else is odd is said on
    stderr, a line each.

    Args:
        file: HDF5 or .npz, in DSRL's form or one that `layouts` knows.
        accept: names of `findings.KINDS` that are wrong and shall be trained on all the same.

    Raises UserError, in one line that names file, key and fix, for a missing or damaged file, a missing key, wrong
    sizes, values that are not finite, a file that says it is of another task, and what `findings.KINDS` calls wrong.
    """
    require_names(accept)
    if file is not None:
        arrays, name = read_hdf5(Path(file), task_id), str(file)
    else:
        arrays, name = _own(env, task_id)
    checked = validate(arrays, name, task_id, env.observation_space, env.action_space, accept)
    return Transitions.from_arrays(checked)


def load_file(file: str | Path, task: Task, accept: Sequence[str] = ()) -> Transitions:
    """A dataset file held against the task file alone: its observation layout and its action bounds.

    Raises UserError as `load_dataset` does.
    """
    require_names(accept)
    return _checked(read_hdf5(Path(file), task.id), task, str(file), accept)


def from_arrays(arrays: Mapping[str, Any], task: Task, name: str = "arrays", accept: Sequence[str] = ()) -> Transitions:
    """Transitions from arrays in DSRL's form, episode after episode, without any simulator.

    Args:
        arrays: `observations` and `next_observations` (N, obs_dim), `actions` (N, act_dim), `rewards`, `costs`,
            `terminals`, `timeouts` (N,). `costs[t]` is 1 where the step arrived in an unsafe state. Names that
            `layouts` knows are taken, too.
        name: what error messages call them.
        accept: as `load_dataset`.

    Raises UserError, in one line that begins with `name`, for the first thing that does not fit.
    """
    require_names(accept)
    if not isinstance(arrays, Mapping):
        raise UserError(f"{name}: expected a mapping of names to arrays, not {type(arrays).__name__}")
    found = {key: arrays[stored] for key, stored in choose(arrays).items()}
    if "next_observations" not in found or "done" in found:
        found, said = derive({k: np.asarray(v) for k, v in found.items()}, name)
        settle(said)
    require_keys(found, name, list(arrays))
    return _checked(found, task, name, accept)


def _checked(arrays: Mapping[str, Any], task: Task, name: str, accept: Sequence[str]) -> Transitions:
    observation_space, action_space = spaces_of(task, arrays)
    return Transitions.from_arrays(validate(arrays, name, task.id, observation_space, action_space, accept))


def spaces_of(task: Task, arrays: Mapping[str, Any]) -> tuple[spaces.Box, spaces.Box]:
    """Observation and action space as far as the task file says.

    The actions' width is that of the data where the file gives one bound for all entries. Raises UserError where it
    gives another number of bounds than the data have entries.
    """
    width = (np.shape(arrays["actions"])[1:2] or (1,))[0] if "actions" in arrays else 1
    bounds = []
    for field, values in (("min_action", task.action_low), ("max_action", task.action_high)):
        if len(values) not in (1, width):
            raise UserError(f"task {task.id}: field {field!r} has {len(values)} values, the actions have {width}")
        bounds.append(np.broadcast_to(np.asarray(values, dtype=np.float32), (width,)).copy())
    return spaces.Box(-np.inf, np.inf, (task.obs_dim,)), spaces.Box(bounds[0], bounds[1], dtype=np.float32)


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

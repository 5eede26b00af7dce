"""What a dataset must be before anything trains on it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from gymnasium import spaces

from ..core.errors import UserError
from ..tasks.task import load_task, task_ids
from .transitions import KEYS, PREVIOUS

FLAGS = ("costs", "terminals", "timeouts", PREVIOUS)  # 0 or 1
FAR = 100.0  # half widths of the action space: beyond, an action is no exploration noise but damage or another unit


def validate(
    arrays: Mapping[str, Any], name: str, task_id: str, observation_space: spaces.Space, action_space: spaces.Space
) -> dict[str, np.ndarray]:
    """The arrays, checked against DSRL's format and the task's spaces, flags and rewards as (N,).

    Raises UserError, in one line that begins with `name`, for the first thing that does not fit.
    """
    checked: dict[str, np.ndarray] = {}
    for problem in _problems(arrays, name, task_id, observation_space, action_space, checked):
        raise UserError(problem)
    return checked


def findings(
    arrays: Mapping[str, Any], name: str, task_id: str, observation_space: spaces.Space, action_space: spaces.Space
) -> tuple[list[str], list[str]]:
    """All that is wrong with the arrays, one line each, and all that is odd (looked for where nothing is wrong)."""
    checked: dict[str, np.ndarray] = {}
    wrong = list(_problems(arrays, name, task_id, observation_space, action_space, checked))
    return wrong, [] if wrong else list(_oddities(checked, name, action_space))


def _problems(
    arrays: Mapping[str, Any],
    name: str,
    task_id: str,
    observation_space: spaces.Space,
    action_space: spaces.Space,
    checked: dict[str, np.ndarray],
) -> Iterator[str]:
    """What is wrong, in one line each; `checked` fills with the arrays that are fine."""
    for key in KEYS:
        if key not in arrays:
            yield f"{name}: key {key!r} is missing (needed: {', '.join(KEYS)})"
    assert observation_space.shape is not None
    assert action_space.shape is not None
    shapes = {"observations": observation_space.shape, "next_observations": observation_space.shape}
    shapes["actions"] = action_space.shape
    count = None
    for key in [k for k in dict.fromkeys((*KEYS, *FLAGS)) if k in arrays]:
        try:
            array = _column(np.asarray(arrays[key]), shapes.get(key, ()), f"{name}: key {key!r}", task_id)
            count = len(array) if count is None else count
            if len(array) != count:
                raise UserError(f"{name}: key {key!r} has {len(array)} rows, {KEYS[0]!r} has {count}")
            if count == 0:
                raise UserError(f"{name}: holds no transition; record some, or choose another file")
            _finite(array, f"{name}: key {key!r}")
            if key in FLAGS and not np.isin(array, (0, 1)).all():
                odd = np.flatnonzero(~np.isin(array, (0, 1)))[0]
                raise UserError(f"{name}: key {key!r} must hold 0 or 1; row {odd} holds {array[odd]}")
        except UserError as problem:
            yield str(problem)
        else:
            checked[key] = array
    if {"terminals", "timeouts"} <= checked.keys() and not (checked["terminals"].any() or checked["timeouts"].any()):
        yield f"{name}: no episode ends: 'terminals' and 'timeouts' are 0 everywhere; mark each last step"


def _oddities(arrays: Mapping[str, np.ndarray], name: str, action_space: spaces.Space) -> Iterator[str]:
    """What a dataset may have, but seldom means to."""
    going_on = (arrays["terminals"] + arrays["timeouts"] == 0)[:-1]
    before, after = arrays["next_observations"][:-1][going_on], arrays["observations"][1:][going_on]
    broken = np.flatnonzero((np.abs(before - after) > 1e-5 + 1e-4 * np.abs(after)).any(1))
    if len(broken):
        row = np.flatnonzero(going_on)[broken[0]]
        yield (
            f"{name}: 'next_observations' is not what the next row observes in {len(broken)} rows, the first is row "
            f"{row}; mark the last step of each episode in 'terminals' or 'timeouts'"
        )
    if np.ptp(arrays["rewards"]) == 0:
        yield f"{name}: key 'rewards' is {arrays['rewards'][0]:g} everywhere; nothing can be learned from it"
    if arrays["costs"].all():
        yield f"{name}: key 'costs' is 1 everywhere; nothing is safe, so the safe-only part will be empty"
    for key in ("observations", "actions"):
        constant = np.flatnonzero(np.ptp(arrays[key].reshape(len(arrays[key]), -1), axis=0) == 0)
        if len(constant):
            yield f"{name}: key {key!r} never changes in entries {', '.join(map(str, constant[:8]))}; is it recorded?"
    if isinstance(action_space, spaces.Box) and np.isfinite(action_space.high).all():
        outside = ((arrays["actions"] < action_space.low) | (arrays["actions"] > action_space.high)).any(1)
        if outside.any():
            yield (
                f"{name}: key 'actions' leaves {action_space.low.min():g} to {action_space.high.max():g} in "
                f"{int(outside.sum())} rows, the first is row {np.flatnonzero(outside)[0]}; it will be clipped"
            )


def _column(array: np.ndarray, row: tuple[int, ...], what: str, task_id: str) -> np.ndarray:
    """The array with rows of shape `row`; (N, 1) passes for (N,), as in DSRL's own reader."""
    if array.dtype.kind not in "fiub":
        raise UserError(f"{what} holds {array.dtype}, not numbers; store it as float32")
    if array.ndim == 0:
        raise UserError(f"{what} is a single value; it must have one row per transition")
    if row == () and array.shape[1:] == (1,):
        return array[:, 0]
    if array.shape[1:] != row:
        raise UserError(f"{what} has rows of shape {array.shape[1:]}; {task_id} has {row}{_others(what, array)}")
    return array


def _others(what: str, array: np.ndarray) -> str:
    """The tasks that have observations of this size."""
    if not what.endswith("observations'") or array.ndim != 2:
        return ""
    fitting = [i for i in task_ids() if load_task(i).obs_dim == array.shape[1]]
    return f"; that is the size of {', '.join(fitting)}" if fitting else ""


def _finite(array: np.ndarray, what: str) -> None:
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is refused as such
        finite = np.isfinite(array.astype(np.float32, copy=False)).reshape(len(array), -1).all(1)
    if not finite.all():
        rows = np.flatnonzero(~finite)
        raise UserError(
            f"{what} has NaN or infinity in {len(rows)} rows, the first is row {rows[0]}; drop or mend them"
        )


def bounded_actions(actions: np.ndarray, space: spaces.Space, name: str) -> tuple[np.ndarray, float]:
    """The actions (N, act_dim) within the action space, and the share of rows that were not.

    DSRL recorded what its policies put out, and its simulators clip that: several of its own datasets leave [-1, 1]
    (https://github.com/liuzuxin/DSRL/issues/5). What acted is the clipped action. Raises UserError for actions so far
    out that they cannot be meant.
    """
    if not isinstance(space, spaces.Box) or not np.isfinite(space.high).all():
        return actions, 0.0
    centre, half = (space.high + space.low) / 2, (space.high - space.low) / 2
    far = np.flatnonzero((np.abs(actions - centre) > FAR * half).any(1))
    if len(far):
        raise UserError(
            f"{name}: key 'actions' is far outside the action space in {len(far)} rows, the first is row {far[0]}; "
            f"bring it to the task's unit ({space.low.min():g} to {space.high.max():g})"
        )
    clipped = np.clip(actions, space.low, space.high)
    return clipped, float((np.abs(clipped - actions) > 1e-4 * half).any(1).mean())

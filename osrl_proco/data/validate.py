"""What a dataset must be before anything trains on it: the one validator of all entry points."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium import spaces

from ..core.errors import UserError
from ..tasks.task import load_task, task_ids
from .check_actions import clip
from .checks import check
from .columns import as_rows, blocks
from .findings import STRUCTURE, WRONG, Finding, require_names, settle
from .transitions import KEYS, PREVIOUS

FLAGS = ("costs", "terminals", "timeouts", PREVIOUS)  # 0 or 1


def validate(
    arrays: Mapping[str, Any],
    name: str,
    task_id: str,
    observation_space: spaces.Space,
    action_space: spaces.Space,
    accept: Sequence[str] = (),
) -> dict[str, np.ndarray]:
    """The arrays, checked against DSRL's format, the task's spaces and `findings.KINDS`; flags and rewards as (N,).

    Actions that leave the action space are clipped, as the simulator did. What is odd is said on stderr, a line each.

    Args:
        accept: names of wrong findings that are only said, too.

    Raises UserError, in one line that begins with `name`, for the first thing that is wrong.
    """
    accepted = require_names(accept)
    checked: dict[str, np.ndarray] = {}
    settle(_findings(arrays, name, task_id, observation_space, action_space, checked), accepted)
    checked["actions"] = clip(checked["actions"], action_space)
    return checked


def findings(
    arrays: Mapping[str, Any], name: str, task_id: str, observation_space: spaces.Space, action_space: spaces.Space
) -> list[Finding]:
    """All that is wrong and all that is odd with the arrays (looked for where their structure is right)."""
    return list(_findings(arrays, name, task_id, observation_space, action_space, {}))


def _findings(
    arrays: Mapping[str, Any],
    name: str,
    task_id: str,
    observation_space: spaces.Space,
    action_space: spaces.Space,
    checked: dict[str, np.ndarray],
) -> Iterator[Finding]:
    """`checked` fills with the arrays that are fine."""
    sound = True
    for problem in _problems(arrays, name, task_id, observation_space, action_space, checked):
        sound = False
        yield Finding(STRUCTURE, WRONG, problem)
    if "costs" in checked:
        yield from _labels(checked, name)
    if not sound:
        return
    with np.errstate(all="ignore"):
        yield from check(checked, name, action_space)


def _problems(
    arrays: Mapping[str, Any],
    name: str,
    task_id: str,
    observation_space: spaces.Space,
    action_space: spaces.Space,
    checked: dict[str, np.ndarray],
) -> Iterator[str]:
    """What nothing can be trained on, in one line each."""
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
            what = f"{name}: key {key!r}"
            array = _column(_array(arrays[key], what), shapes.get(key, ()), what, task_id)
            count = len(array) if count is None else count
            if len(array) != count:
                raise UserError(f"{name}: key {key!r} has {len(array)} rows, {KEYS[0]!r} has {count}")
            if count == 0:
                raise UserError(f"{name}: holds no transition; record some, or choose another file")
            _finite(array, what)
            if key in FLAGS and key != "costs":
                _zero_or_one(array, what)
        except UserError as problem:
            yield str(problem)
        else:
            checked[key] = array
    if {"terminals", "timeouts"} <= checked.keys() and not (checked["terminals"].any() or checked["timeouts"].any()):
        yield f"{name}: no episode ends: 'terminals' and 'timeouts' are 0 everywhere; mark each last step"


def _array(values: Any, what: str) -> np.ndarray:
    try:
        return np.asarray(values)
    except (ValueError, TypeError, RuntimeError):  # rows of unequal length, a tensor on a GPU
        raise UserError(f"{what} is no array of numbers; give one row per transition") from None


def _column(array: np.ndarray, row: tuple[int, ...], what: str, task_id: str) -> np.ndarray:
    """The array with rows of shape `row`; (N, 1) passes for (N,), as in DSRL's own reader. Booleans become numbers."""
    if array.dtype.kind not in "fiub":
        raise UserError(f"{what} holds {array.dtype}, not numbers; store it as float32")
    if array.ndim == 0:
        raise UserError(f"{what} is a single value; it must have one row per transition")
    if row == () and array.shape[1:] == (1,):
        array = array[:, 0]
    if array.shape[1:] != row:
        several = "'costs'" in what and array.ndim == 2
        fix = "; several costs: make one of them, (costs > 0).any(1)" if several else _others(what, array)
        raise UserError(f"{what} has rows of shape {array.shape[1:]}; {task_id} has {row}{fix}")
    if array.dtype.kind == "b":
        return array.astype(np.uint8)
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def _others(what: str, array: np.ndarray) -> str:
    """The tasks that have observations of this size."""
    if not what.endswith("observations'") or array.ndim != 2:
        return ""
    fitting = [i for i in task_ids() if load_task(i).obs_dim == array.shape[1]]
    return f"; that is the size of {', '.join(fitting)}" if fitting else ""


def _finite(array: np.ndarray, what: str) -> None:
    """Raise UserError for NaN, infinity, and what float32 makes infinity of."""
    if array.dtype.kind != "f":
        return
    count, first = 0, -1
    for block in blocks(array):
        with np.errstate(over="ignore"):
            bad = ~np.isfinite(as_rows(array[block]).astype(np.float32, copy=False)).all(1)
        if bad.any():
            first = block.start + int(np.argmax(bad)) if first < 0 else first
            count += int(bad.sum())
    if count:
        raise UserError(f"{what} has NaN or infinity in {count} rows, the first is row {first}; drop or mend them")


def _zero_or_one(array: np.ndarray, what: str) -> None:
    odd = np.flatnonzero((array != 0) & (array != 1))
    if len(odd):
        raise UserError(f"{what} must hold 0 or 1; row {odd[0]} holds {array[odd[0]]}; mark each last step with 1")


def _labels(checked: dict[str, np.ndarray], name: str) -> Iterator[Finding]:
    """Costs that are no labels; the checks after this one see them as such."""
    costs = checked["costs"]
    odd = np.flatnonzero((costs != 0) & (costs != 1))
    if len(odd):
        yield Finding(
            "costs-not-binary",
            WRONG,
            f"{name}: key 'costs' must hold 0 or 1; row {odd[0]} holds {costs[odd[0]]}; 1 where your rule is broken",
        )
        checked["costs"] = _binary(costs)


def _binary(costs: np.ndarray) -> np.ndarray:
    return (costs > 0).astype(np.float32)

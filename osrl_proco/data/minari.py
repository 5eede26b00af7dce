"""To and from Minari, the Farama Foundation's format of offline datasets (pip install minari)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium import spaces

from ..core.errors import UserError, first_line
from ..tasks.task import Task
from .findings import require_names
from .load import from_arrays, spaces_of
from .transitions import Transitions


def from_minari(dataset: Any, task: Task, cost: str = "cost", accept: Sequence[str] = ()) -> Transitions:
    """Transitions of a Minari dataset.

    Args:
        dataset: a `minari.MinariDataset`, or the id of one on this machine.
        cost: key of the episodes' `infos` that holds the cost of each step (1 where it arrived in an unsafe state).
        accept: as `load_dataset`.

    Raises UserError for an unknown id, nested observations or actions, an episode without a step or whose columns
    differ in length, a missing or misshapen cost, and what `from_arrays` does.
    """
    require_names(accept)
    name = dataset if isinstance(dataset, str) else str(getattr(dataset, "id", "dataset"))
    columns: dict[str, list[np.ndarray]] = {}
    for episode in _episodes(dataset, name):
        for key, array in _rows(episode, cost, f"{name}: episode {episode.id}").items():
            columns.setdefault(key, []).append(array)
    if not columns:
        raise UserError(f"{name}: holds no episode")
    widths = {k: {a.shape[1:] for a in v} for k, v in columns.items()}
    for key, shapes in widths.items():
        if len(shapes) > 1:
            raise UserError(f"{name}: key {key!r} has rows of shapes {', '.join(map(str, sorted(shapes)))}")
    return from_arrays({k: np.concatenate(v) for k, v in columns.items()}, task, name, accept)


def _episodes(dataset: Any, name: str) -> Iterator[Any]:
    """The episodes, whatever Minari raises on a damaged dataset as one line."""
    source = _load(dataset) if isinstance(dataset, str) else dataset
    try:
        yield from source.iterate_episodes()
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{name}: Minari cannot read it ({first_line(error)}); make it again") from None


def _rows(episode: Any, cost: str, what: str) -> dict[str, np.ndarray]:
    """DSRL's arrays of one episode. Raises UserError where a column does not fit its number of steps."""
    rewards = _numbers(episode.rewards, f"{what}: rewards").reshape(-1)
    steps = len(rewards)
    if steps == 0:
        raise UserError(f"{what}: has no step; leave it out (dataset.filter_episodes(lambda e: len(e.rewards) > 0))")
    observations = _flat(episode.observations, f"{what}: observations", "FlattenObservation")
    actions = _flat(episode.actions, f"{what}: actions", "FlattenAction, or record what a flat action is")
    ended = _numbers(episode.terminations, f"{what}: terminations").reshape(-1) > 0
    out_of_time = _numbers(episode.truncations, f"{what}: truncations").reshape(-1) > 0
    for column, found, wanted in (
        ("observations", len(observations), steps + 1),
        ("actions", len(actions), steps),
        ("terminations", len(ended), steps),
        ("truncations", len(out_of_time), steps),
    ):
        if found != wanted:
            raise UserError(f"{what}: {column} has {found} rows for {steps} rewards; it must have {wanted}")
    out_of_time[-1] = not ended[-1]  # an episode that was merely left off ends here, too
    return {
        "observations": observations[:steps],
        "actions": actions.reshape(steps, -1),
        "next_observations": observations[1:],
        "rewards": rewards,
        "costs": _cost(episode.infos, cost, steps, what),
        "terminals": ended.astype(np.float32),
        "timeouts": out_of_time.astype(np.float32),
    }


def _flat(values: Any, what: str, wrapper: str) -> np.ndarray:
    if isinstance(values, (Mapping, tuple)):
        raise UserError(f"{what} are nested; flatten them (gymnasium.wrappers.{wrapper})")
    return _numbers(values, what)


def _numbers(values: Any, what: str) -> np.ndarray:
    """An array of numbers, with a first axis. Raises UserError for words, dictionaries and rows of unequal length."""
    try:
        array = np.asarray(values)
    except (ValueError, TypeError):
        array = np.empty(0, dtype=object)
    if array.dtype.kind not in "fiub" or array.ndim == 0:
        kind = "mappings" if isinstance(values, Mapping) else f"{array.dtype}"
        raise UserError(f"{what} are {kind}, not numbers; store one number per step and entry")
    return array


def to_minari(data: Transitions, dataset_id: str, task: Task, **about: Any) -> Any:
    """Write transitions as a new Minari dataset on this machine; costs go to the infos' key `cost`.

    Rows that a split took out leave cuts; each run between them becomes an episode that was truncated.

    Args:
        dataset_id: for example `pointgoal1/scripted-v0`.
        about: what Minari keeps of a dataset (author, description, code_permalink, ...).

    Returns the `minari.MinariDataset`. Raises UserError where Minari refuses (an id that exists or is malformed).
    """
    minari = _minari()
    from minari.data_collector.episode_buffer import EpisodeBuffer

    arrays, last = data.arrays(), data.last.cpu().numpy() > 0
    starts = np.concatenate([[0], np.flatnonzero(last)[:-1] + 1])
    buffers = []
    for number, (start, stop) in enumerate(zip(starts, np.flatnonzero(last) + 1, strict=True)):
        rows = {k: v[start:stop] for k, v in arrays.items()}
        truncations = np.zeros(stop - start, dtype=bool)
        truncations[-1] = not rows["terminals"][-1]
        buffers.append(
            EpisodeBuffer(
                id=number,
                observations=[*rows["observations"], rows["next_observations"][-1]],
                actions=list(rows["actions"]),
                rewards=rows["rewards"].tolist(),
                terminations=[bool(t) for t in rows["terminals"]],
                truncations=truncations.tolist(),
                # Minari's infos begin with the reset's, which has no cost.
                infos={"cost": [0.0, *rows["costs"].tolist()]},
            )
        )
    action_space = spaces_of(task, arrays)[1]
    try:
        return minari.create_dataset_from_buffers(
            dataset_id=dataset_id,
            buffer=buffers,
            observation_space=spaces.Box(-np.inf, np.inf, (task.obs_dim,), np.float32),
            action_space=action_space,
            **about,
        )
    except (ValueError, AssertionError, OSError) as error:
        raise UserError(f"{dataset_id}: Minari refuses it ({first_line(error)})") from None


def _minari() -> Any:
    try:
        import minari
    except ImportError:
        raise UserError("the package minari is missing: pip install 'osrl-proco[minari]'") from None
    return minari


def _load(dataset_id: str) -> Any:
    try:
        return _minari().load_dataset(dataset_id)
    except UserError:
        raise
    except Exception as error:  # a folder that is missing, or one that is damaged in any way
        raise UserError(f"{dataset_id}: no such Minari dataset here ({first_line(error)})") from None


def _cost(infos: Any, key: str, steps: int, name: str) -> np.ndarray:
    """The cost of each step (steps,); Minari's infos may begin with the reset's."""
    if not isinstance(infos, Mapping) or key not in infos:
        known = ", ".join(map(str, infos)) if isinstance(infos, Mapping) and infos else "none"
        raise UserError(f"{name}: infos have no key {key!r} (there are: {known}); pass cost=KEY")
    values = _numbers(infos[key], f"{name}: infos[{key!r}]")
    if values.shape not in ((steps,), (steps, 1), (steps + 1,), (steps + 1, 1)):
        raise UserError(
            f"{name}: infos[{key!r}] has shape {values.shape} for {steps} steps; one cost per step is needed"
        )
    return values.reshape(-1)[-steps:]

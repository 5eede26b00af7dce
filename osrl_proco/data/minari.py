"""To and from Minari, the Farama Foundation's format of offline datasets (pip install minari)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium import spaces

from ..core.errors import UserError, first_line
from ..tasks.task import Task
from .load import from_arrays
from .transitions import Transitions


def from_minari(dataset: Any, task: Task, cost: str = "cost") -> Transitions:
    """Transitions of a Minari dataset.

    Args:
        dataset: a `minari.MinariDataset`, or the id of one on this machine.
        cost: key of the episodes' `infos` that holds the cost of each step (1 where it arrived in an unsafe state).

    Raises UserError for an unknown id, nested observations, a missing or misshapen cost, and what `from_arrays` does.
    """
    name = dataset if isinstance(dataset, str) else str(getattr(dataset, "id", "dataset"))
    episodes = _load(dataset) if isinstance(dataset, str) else dataset
    columns: dict[str, list[np.ndarray]] = {}
    for episode in episodes.iterate_episodes():
        observations, actions = np.asarray(episode.observations), np.asarray(episode.actions)
        if observations.dtype == object or isinstance(episode.observations, (Mapping, tuple)):
            raise UserError(
                f"{name}: its observations are nested; flatten them (gymnasium.wrappers.FlattenObservation)"
            )
        steps = len(actions)
        ended = np.asarray(episode.terminations, dtype=np.float32)
        out_of_time = np.asarray(episode.truncations, dtype=np.float32)
        if steps:
            out_of_time[-1] = 1.0 - ended[-1]  # an episode that was merely left off ends here, too
        rows = {
            "observations": observations[:steps],
            "actions": actions.reshape(steps, -1),
            "next_observations": observations[1:],
            "rewards": np.asarray(episode.rewards),
            "costs": _cost(episode.infos, cost, steps, f"{name}: episode {episode.id}"),
            "terminals": ended,
            "timeouts": out_of_time,
        }
        for key, array in rows.items():
            columns.setdefault(key, []).append(array)
    if not columns:
        raise UserError(f"{name}: holds no episode")
    return from_arrays({k: np.concatenate(v) for k, v in columns.items()}, task, name)


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
    limit, width = task.max_action, data.actions.shape[1]
    try:
        return minari.create_dataset_from_buffers(
            dataset_id=dataset_id,
            buffer=buffers,
            observation_space=spaces.Box(-np.inf, np.inf, (task.obs_dim,), np.float32),
            action_space=spaces.Box(-limit, limit, (width,), np.float32),
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
    except (FileNotFoundError, ValueError) as error:
        raise UserError(f"{dataset_id}: no such Minari dataset here ({first_line(error)})") from None


def _cost(infos: Any, key: str, steps: int, name: str) -> np.ndarray:
    """The cost of each step (steps,); Minari's infos may begin with the reset's."""
    if not isinstance(infos, Mapping) or key not in infos:
        known = ", ".join(infos) if isinstance(infos, Mapping) and infos else "none"
        raise UserError(f"{name}: infos have no key {key!r} (there are: {known}); pass cost=KEY")
    values = np.asarray(infos[key], dtype=np.float32).reshape(len(infos[key]), -1)
    if values.shape not in ((steps, 1), (steps + 1, 1)):
        raise UserError(f"{name}: infos[{key!r}] has shape {np.shape(infos[key])} for {steps} steps")
    return values[-steps:, 0] if steps else values[:0, 0]

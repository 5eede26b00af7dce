"""Datasets in DSRL's format from scripted drivers in the real simulator.

Every episode has a seed of its own, so the file does not depend on the number of workers, and each is written to a
shard as soon as it is finished: a killed collection goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from ..errors import UserError
from ..evaluate import make_env
from ..tasks import load_task
from .controllers import controller, draw_character
from .load import write_hdf5
from .transitions import KEYS

VERSION = 1  # of the drivers: shards of another version are not mixed in


def collect(task_id: str, episodes: int, seed: int, out: Path, workers: int = 1, progress: bool = True) -> Path:
    """Drive `episodes` episodes of `task_id` and write them to `out` (HDF5, DSRL's keys, attribute `task`).

    Deterministic in `seed`, whatever `workers`. Finished episodes wait in `out`.parts and are used again after an
    interruption. Raises UserError for a task without a driver, a missing simulator or a folder that cannot be written.
    """
    controller(task_id)
    make_env(load_task(task_id)).close()
    parts = out.with_name(out.name + ".parts")
    try:
        parts.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--out {out}: {error.strerror}") from None
    _same_collection(parts, {"task": task_id, "seed": seed, "version": VERSION})
    missing = [i for i in range(episodes) if not _shard(parts, i).exists()]
    jobs = [(task_id, seed, i, parts) for i in missing]
    bar = tqdm(total=episodes, initial=episodes - len(missing), desc=f"Collecting {task_id}", disable=not progress)
    for _ in _run(jobs, workers):
        bar.update()
    bar.close()
    loaded = []
    for i in range(episodes):
        with np.load(_shard(parts, i)) as shard:
            loaded.append({k: shard[k] for k in KEYS})
    arrays = {k: np.concatenate([part[k] for part in loaded]) for k in KEYS}
    write_hdf5(out, arrays, task=task_id, seed=seed, episodes=episodes, drivers=VERSION)
    shutil.rmtree(parts)
    return out


def _run(jobs: list[tuple[str, int, int, Path]], workers: int) -> Iterator[None]:
    if workers <= 1 or len(jobs) <= 1:
        yield from map(_episode, jobs)
        return
    # Spawned, not forked: a simulator's threads do not survive a fork.
    with multiprocessing.get_context("spawn").Pool(min(workers, len(jobs))) as pool:
        yield from pool.imap_unordered(_episode, jobs)


def _episode(job: tuple[str, int, int, Path]) -> None:
    """Drive one episode and write its shard."""
    task_id, seed, index, parts = job
    warnings.simplefilter("ignore")  # the simulators' deprecation notices, once per worker
    rng = np.random.default_rng([seed, index])
    who, drive = draw_character(rng), controller(task_id)
    env = make_env(load_task(task_id))
    # A digest, not the index: neighbouring seeds of the simulator must not share layouts with the evaluation's.
    layout = int.from_bytes(hashlib.sha256(f"{seed}/{index}".encode()).digest()[:4], "little") // 2
    observation, _ = env.reset(seed=layout)
    rows: list[tuple[object, ...]] = []
    terminated = truncated = False
    while not (terminated or truncated):
        action = drive(env, who, rng)
        following, reward, terminated, truncated, info = env.step(action)
        cost = float(info.get("cost", 0.0) > 0)
        rows.append((observation, action, following, reward, cost, float(terminated), float(truncated)))
        observation = following
    env.close()
    columns = {k: np.asarray(v, dtype=np.float32) for k, v in zip(KEYS, zip(*rows, strict=True), strict=True)}
    shard = _shard(parts, index)
    partial = shard.with_suffix(".partial.npz")
    np.savez(partial, **columns)  # type: ignore[arg-type]
    partial.replace(shard)


def _shard(parts: Path, index: int) -> Path:
    return parts / f"episode-{index:06d}.npz"


def _same_collection(parts: Path, settings: dict[str, object]) -> None:
    """Shards of another task, seed or version are refused, not mixed in."""
    note = parts / "settings.json"
    if note.exists() and json.loads(note.read_text()) != settings:
        raise UserError(
            f"{parts}: holds episodes of another collection ({note.read_text()}); remove it or change --out"
        )
    note.write_text(json.dumps(settings))

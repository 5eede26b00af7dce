"""Datasets in DSRL's format from scripted drivers in the real simulator.

Every episode has a seed of its own, so the file does not depend on the number of workers, and each is written to a
shard as soon as it is finished: a killed collection goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import shutil
import signal
import threading
import warnings
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from ..core.errors import UserError, first_line
from ..core.files import make_folder, read_text, replacing, write_text
from ..data.hdf5 import write_hdf5
from ..data.stored import open_hdf5
from ..data.transitions import KEYS
from ..envs.make import make_env
from ..tasks.task import Task
from .character import draw_character
from .controllers import controller

VERSION = 2  # of the drivers: episodes of another version are not mixed in


def collect(task: Task, episodes: int, seed: int, out: Path, workers: int = 1, progress: bool = True) -> None:
    """Drive `episodes` episodes of `task` and write them to `out` (HDF5, DSRL's keys, attribute `task`).

    Deterministic in `seed`, whatever `workers`. Finished episodes wait in the folder `out`.parts and are used again
    after an interruption; where `out` already is what was asked for, nothing is done.

    Raises UserError for a task without a driver, a missing simulator, a place that cannot be written, and an `out` or
    `out`.parts that holds something else.
    """
    controller(task.id)
    make_env(task).close()
    settings = {"task": task.id, "seed": seed, "drivers": VERSION}
    if is_there(out, {**settings, "episodes": episodes}):
        return
    parts = out.with_name(out.name + ".parts")
    _open_parts(parts, settings)
    missing = [i for i in range(episodes) if not _shard(parts, i).exists()]
    with tqdm(
        total=episodes, initial=episodes - len(missing), desc=f"Collecting {task.name}", disable=not progress
    ) as bar:
        for _ in _in_processes(partial(_drive_and_keep, task, seed, parts), missing, workers):
            bar.update()
    shards = [_read(_shard(parts, i)) for i in range(episodes)]
    arrays = {k: np.concatenate([shard[k] for shard in shards]) for k in KEYS}
    write_hdf5(out, arrays, **settings, episodes=episodes)
    shutil.rmtree(parts)


def drive_episode(task: Task, seed: int, index: int) -> dict[str, np.ndarray]:
    """Episode number `index` of the collection with `seed`: DSRL's arrays (`KEYS`)."""
    rng = np.random.default_rng([seed, index])
    who, drive = draw_character(rng), controller(task.id)
    env = make_env(task)
    # A digest, not the index: neighbouring seeds of the simulator must not share layouts with the evaluation's.
    layout = int.from_bytes(hashlib.sha256(f"{seed}/{index}".encode()).digest()[:4], "little") // 2
    observation, _ = env.reset(seed=layout)
    rows: list[tuple[object, ...]] = []
    terminated = truncated = False
    while not (terminated or truncated):
        action = drive(env, observation, who, rng)
        following, reward, terminated, truncated, info = env.step(action)
        where = f"{task.id}: episode {index}, step {len(rows)}"
        if "cost" not in info:  # missing is not safe
            raise UserError(f"{where}: the simulator reports no 'cost' in its info; nothing can be recorded as safe")
        for what, value in (("action", action), ("observation", following), ("reward", reward), ("cost", info["cost"])):
            _require_finite(value, f"{where}: the {what}")
        cost = float(info["cost"] > 0)
        rows.append((observation, action, following, reward, cost, float(terminated), float(truncated)))
        observation = following
    env.close()
    return {k: np.asarray(v, dtype=np.float32) for k, v in zip(KEYS, zip(*rows, strict=True), strict=True)}


def _require_finite(value: Any, what: str) -> None:
    """Raise UserError for NaN, infinity, and what is no number."""
    try:
        finite = bool(np.isfinite(np.asarray(value, dtype=np.float64)).all())
    except (TypeError, ValueError):
        raise UserError(f"{what} is {str(value)[:40]!r}, no number; the simulator is broken here") from None
    if not finite:
        raise UserError(f"{what} is NaN or infinite; the simulation is unstable there, choose another --seed")


def _drive_and_keep(task: Task, seed: int, parts: Path, index: int) -> None:
    """Drive one episode and put its shard in place, whole."""
    warnings.simplefilter("ignore")  # the simulators' deprecation notices, once per worker
    shard = _shard(parts, index)
    arrays = drive_episode(task, seed, index)
    try:
        with replacing(shard) as unfinished, unfinished.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
    except UserError as error:
        raise UserError(f"{error}; the finished episodes are kept, make room and run the command again") from None


def _in_processes(work: partial[None], jobs: Iterable[int], workers: int) -> Iterator[None]:
    """Do the jobs, `workers` at a time, in any order."""
    jobs = list(jobs)
    if min(workers, len(jobs)) <= 1:
        yield from map(work, jobs)
        return
    # Spawned, not forked: a simulator's threads do not survive a fork.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(jobs)), context, initializer=_follow_parent) as pool:
        try:
            with _deaf_to_interrupts():  # submitting starts the workers
                futures = [pool.submit(work, job) for job in jobs]
            for future in as_completed(futures):
                yield future.result()
        except BrokenProcessPool:
            raise UserError(
                "a worker was killed, perhaps for want of memory; the finished episodes are kept, run the command "
                "again with fewer --workers"
            ) from None
        finally:
            pool.shutdown(wait=True, cancel_futures=True)  # the episodes under way are finished and kept


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Processes started by this thread meanwhile never see Ctrl-C, not even while they import."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _follow_parent() -> None:
    """In a worker: leave Ctrl-C to the parent, and do not outlive it when it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # where it could not be blocked
    parent = multiprocessing.parent_process()
    assert parent is not None

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def _shard(parts: Path, index: int) -> Path:
    return parts / f"episode-{index:06d}.npz"


def _read(shard: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(shard, allow_pickle=False) as file:
            return dict(file)
    except Exception as error:
        raise UserError(f"{shard}: damaged ({first_line(error)}); remove it and run the command again") from None


def _open_parts(parts: Path, settings: dict[str, object]) -> None:
    """Make the folder of finished episodes, or go on with one of the same collection."""
    note = parts / "settings.json"
    try:
        there = note.exists()
    except OSError:  # a file where a folder should be
        there = False
    if there:
        if read_text(note) != json.dumps(settings):
            raise UserError(f"{parts}: holds episodes of another collection; remove it or change --out")
        return
    try:
        make_folder(parts, "--out:")
        write_text(note, json.dumps(settings))
    except UserError as error:
        raise UserError(f"{error}; it cannot be written there, name another place") from None


def is_there(out: Path, settings: Mapping[str, object]) -> bool:
    """Whether `out` is a dataset with these attributes. Raises UserError where it is anything else, to keep it."""
    if not out.exists():
        return False
    try:
        with open_hdf5(out) as (handle, _):
            same = all(handle.attrs.get(k) == v for k, v in settings.items())
    except (UserError, OSError, RuntimeError, ValueError):
        same = False
    if not same:
        raise UserError(f"{out}: is there already and holds something else; remove it or change --out")
    return True

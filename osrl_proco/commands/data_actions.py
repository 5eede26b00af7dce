"""What `osrl-proco data` does, one function for each of its actions; each returns the exit status."""

from __future__ import annotations

import re
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

import gymnasium as gym

from ..core.errors import UserError
from ..data.download import dataset_folder
from ..data.download import download as fetch
from ..data.findings import STRUCTURE, WRONG, Finding, require_names
from ..data.hdf5 import read_arrays, require_vacant, split_arrays, write_hdf5, write_transitions
from ..data.layouts import derive
from ..data.load import load_dataset, load_file, spaces_of, unsafe_file
from ..data.split import safe_only
from ..data.statistics import describe
from ..data.transitions import Transitions
from ..data.validate import findings
from ..envs.make import make_env
from ..tasks.task import Task, load_task

LARGEST_SEED = 2**63 - 2


def info(arguments: Namespace) -> int:
    task = load_task(arguments.task)
    env, data = _open(task, arguments.dataset, arguments.accept)
    print(f"{task.id}: {arguments.dataset or 'its own dataset'}")
    print(describe(data, env))
    return 0


def check(arguments: Namespace) -> int:
    """Status 1 where something is wrong that was not accepted."""
    accepted = require_names(arguments.accept)
    task, path = load_task(arguments.task), Path(arguments.dataset)
    unreadable: dict[str, str] = {}
    stored, _ = read_arrays(path, task.id, unreadable)
    rows = max((a.shape[0] for a in stored.values() if a.ndim), default=0)
    arrays, found = derive(stored, str(path))
    found += [Finding(STRUCTURE, WRONG, problem) for problem in unreadable.values()]
    said = tuple(f"{path}: key {key!r} is missing" for key in unreadable)  # it is there, and was listed
    judged = findings(arrays, str(path), task.id, *spaces_of(task, arrays))
    found += [f for f in judged if not f.text.startswith(said)]
    wrong = [f for f in found if f.level == WRONG and f.name not in accepted]
    for finding in wrong:
        print(f"wrong: {finding.refusal}")
    for finding in found:
        if finding not in wrong:
            print(f"odd: {finding.text} ({finding.name})")
    print(f"{path}: {rows} rows, {len(wrong)} things wrong, {len(found) - len(wrong)} odd")
    return 1 if wrong else 0


def split(arguments: Namespace) -> int:
    if arguments.keep_unsafe < 0:
        raise UserError(f"--keep_unsafe: {arguments.keep_unsafe} must not be negative")
    if not 0 <= arguments.unsafe_share <= 1:
        raise UserError(f"--unsafe_share: {arguments.unsafe_share} must lie between 0 and 1")
    _require_seed(arguments.seed)
    safe, unsafe = arguments.out, unsafe_file(arguments.out)
    if arguments.dataset and Path(arguments.dataset).resolve() in (safe.resolve(), unsafe.resolve()):
        raise UserError(f"--out {safe}: would overwrite the dataset that it is made from; name another file")
    task = load_task(arguments.task)
    _, data = _open(task, arguments.dataset, arguments.accept)
    parts = safe_only(data, arguments.keep_unsafe, arguments.seed, arguments.unsafe_share)
    files = ((safe, parts.safe), (unsafe, parts.unsafe))
    there = [not arguments.overwrite and require_vacant(path, split_arrays(part)) for path, part in files]
    for (path, part), done in zip(files, there, strict=True):
        if not done:
            about = {"task": task.id, "split_seed": arguments.seed, "unsafe_share": arguments.unsafe_share}
            write_transitions(path, part, **about)
    print(parts.report())
    print(f"Written to {safe} and {unsafe}")
    return 0


def download(arguments: Namespace) -> int:
    if arguments.sha256 is not None and not re.fullmatch("[0-9a-fA-F]{64}", arguments.sha256):
        raise UserError(f"--sha256: {arguments.sha256!r} is no SHA-256 (64 hexadecimal digits)")
    dataset_folder()
    task = load_task(arguments.task)
    path = fetch(task.id, arguments.mirror, arguments.sha256)
    print(f"{path}: {len(load_file(path, task))} transitions")
    return 0


def collect(arguments: Namespace) -> int:
    from ..drivers import collect as driving

    if arguments.episodes < 1 or arguments.workers < 1:
        raise UserError("--episodes and --workers must be 1 or more")
    _require_seed(arguments.seed)
    task = load_task(arguments.task)
    if task.simulator == "embedded":  # has drivers of its own, all episodes at once
        settings = {"task": task.id, "seed": arguments.seed, "episodes": arguments.episodes}
        env: Any = make_env(task, episodes=arguments.episodes, dataset_seed=arguments.seed)
        if not driving.is_there(arguments.out, settings):
            write_hdf5(arguments.out, _own_dataset(env, arguments), **settings)
    else:
        env = make_env(task)
        driving.collect(task, arguments.episodes, arguments.seed, arguments.out, arguments.workers)
    print(f"Written to {arguments.out}")
    print(describe(load_dataset(env, task.id, arguments.out), env))
    return 0


def _own_dataset(env: Any, arguments: Namespace) -> Any:
    try:
        return env.unwrapped.get_dataset()
    except MemoryError:
        raise UserError(f"--episodes {arguments.episodes}: there is not memory enough for so many") from None


def _require_seed(seed: int) -> None:
    if seed < 0:
        raise UserError(f"--seed: {seed} must not be negative")
    if seed > LARGEST_SEED:
        raise UserError(f"--seed: {seed} is above {LARGEST_SEED}")


def _open(task: Task, dataset: str | None, accept: list[str]) -> tuple[gym.Env | None, Transitions]:
    """The dataset, and the task's environment: not needed for a file, but it knows the reference returns."""
    require_names(accept)
    try:
        env = make_env(task)
    except UserError as error:
        if dataset is None:
            raise
        if task.simulator != "none":
            print(f"{error}; the file is held against the task file alone", file=sys.stderr)
        return None, load_file(dataset, task, accept)
    return env, load_dataset(env, task.id, dataset, accept)

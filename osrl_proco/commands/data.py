"""`osrl-proco data info|check|split|collect|download`."""

from __future__ import annotations

import argparse
import os
import re
from pathlib import Path
from typing import Any

import gymnasium as gym

from ..core.errors import UserError
from ..data.download import download
from ..data.hdf5 import read_arrays, write_hdf5, write_transitions
from ..data.load import load_dataset, load_file, spaces_of, unsafe_file
from ..data.split import safe_only
from ..data.statistics import describe
from ..data.transitions import Transitions
from ..data.validate import findings
from ..envs.make import make_env
from ..tasks.task import Task, load_task


def main(argv: list[str]) -> int:
    """Parse and run one of the five actions."""
    parser = argparse.ArgumentParser(prog="osrl-proco data", description="Look at, split and make datasets.")
    actions = parser.add_subparsers(dest="action", metavar="info|check|split|collect|download", required=True)

    info = actions.add_parser("info", help="what a dataset holds", description="Print what a task's dataset holds.")
    _task_and_dataset(info)

    check = actions.add_parser(
        "check",
        help="list all that is wrong or odd with a dataset file",
        description="List all that is wrong or odd with FILE, without a simulator. Exit status 0: nothing is wrong.",
    )
    check.add_argument("--task", required=True, metavar="ID", help="task id or YAML file")
    check.add_argument("--dataset", required=True, metavar="FILE", help="HDF5 file in DSRL's format")

    split = actions.add_parser(
        "split",
        help="write the safe-only part, and some violations apart",
        description="Write the transitions that touch no unsafe state to FILE, and --keep_unsafe violations to "
        "FILE with the ending .unsafe.hdf5, both in DSRL's format.",
    )
    _task_and_dataset(split)
    split.add_argument("--out", required=True, type=_file, metavar="FILE", help="HDF5 file to write")
    split.add_argument("--keep_unsafe", type=int, default=100, metavar="N", help="violations kept (default: 100)")
    split.add_argument(
        "--unsafe_share", type=float, default=0.0, metavar="P", help="share of the unsafe ones that stays (default: 0)"
    )
    split.add_argument("--seed", type=int, default=0, metavar="S", help="which of them (default: 0)")

    make = actions.add_parser(
        "collect",
        help="drive a task with scripted drivers and record it",
        description="Record scripted drivers of many characters, from reckless to timid, in DSRL's format. "
        "Deterministic in the seed; an interrupted collection goes on where it stopped, and a FILE that "
        "holds something else is kept.",
    )
    make.add_argument("--task", required=True, metavar="ID", help="task id")
    make.add_argument("--episodes", type=int, default=100, metavar="N", help="episodes (default: 100)")
    make.add_argument("--seed", type=int, default=0, metavar="S", help="seed of drivers and layouts (default: 0)")
    make.add_argument("--out", required=True, type=_file, metavar="FILE", help="HDF5 file to write")
    make.add_argument(
        "--workers", type=int, default=os.cpu_count() or 1, metavar="N", help="processes (default: cores)"
    )

    fetch = actions.add_parser(
        "download",
        help="fetch DSRL's own dataset of a task",
        description="Fetch DSRL's dataset of a task into DSRL_DATASET_DIR (default: DSRL's own folder), going on where "
        "an earlier download was cut, and check size and hash. Nothing is done where the file is there.",
    )
    fetch.add_argument("--task", required=True, metavar="ID", help="task id")
    fetch.add_argument(
        "--mirror", action="append", default=[], metavar="URL", help="host to try first (also: OSRL_PROCO_MIRRORS)"
    )
    fetch.add_argument("--sha256", metavar="HEX", help="SHA-256 that the file must have (default: what the host says)")

    arguments = parser.parse_args(argv)
    return {"info": _info, "check": _check, "split": _split, "collect": _collect, "download": _download}[
        arguments.action
    ](arguments)


def _task_and_dataset(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--task", required=True, metavar="ID", help="task id")
    parser.add_argument("--dataset", metavar="FILE", help="HDF5 file in DSRL's format (default: the task's own data)")


def _file(text: str) -> Path:
    path = Path(text)
    if path.is_dir():
        raise UserError(f"--out {text or repr(text)}: is a folder; name a file")
    return path


def _info(arguments: argparse.Namespace) -> int:
    task = load_task(arguments.task)
    env, data = _open(task, arguments.dataset)
    print(f"{task.id}: {arguments.dataset or 'its own dataset'}")
    print(describe(data, env))
    return 0


def _open(task: Task, dataset: str | None) -> tuple[gym.Env | None, Transitions]:
    """The dataset, and the task's environment: not needed for a file, but it knows the reference returns."""
    try:
        env = make_env(task)
    except UserError:
        if dataset is None:
            raise
        return None, load_file(dataset, task)
    return env, load_dataset(env, task.id, dataset)


def _check(arguments: argparse.Namespace) -> int:
    task, path = load_task(arguments.task), Path(arguments.dataset)
    arrays = read_arrays(path, task.id)
    wrong, odd = findings(arrays, str(path), task.id, *spaces_of(task, arrays))
    for line in wrong:
        print(f"wrong: {line}")
    for line in odd:
        print(f"odd: {line}")
    rows = len(next(iter(arrays.values()), ()))
    print(f"{path}: {rows} rows, {len(wrong)} things wrong, {len(odd)} odd")
    return 1 if wrong else 0


def _split(arguments: argparse.Namespace) -> int:
    if arguments.keep_unsafe < 0:
        raise UserError(f"--keep_unsafe: {arguments.keep_unsafe} must not be negative")
    if not 0 <= arguments.unsafe_share <= 1:
        raise UserError(f"--unsafe_share: {arguments.unsafe_share} must lie between 0 and 1")
    safe, unsafe = arguments.out, unsafe_file(arguments.out)
    if arguments.dataset and Path(arguments.dataset).resolve() in (safe.resolve(), unsafe.resolve()):
        raise UserError(f"--out {safe}: would overwrite the dataset that it is made from; name another file")
    task = load_task(arguments.task)
    _, data = _open(task, arguments.dataset)
    parts = safe_only(data, arguments.keep_unsafe, arguments.seed, arguments.unsafe_share)
    for path, data in ((safe, parts.safe), (unsafe, parts.unsafe)):
        write_transitions(path, data, task=task.id, split_seed=arguments.seed, unsafe_share=arguments.unsafe_share)
    print(parts.report())
    print(f"Written to {safe} and {unsafe}")
    return 0


def _download(arguments: argparse.Namespace) -> int:
    if arguments.sha256 is not None and not re.fullmatch("[0-9a-fA-F]{64}", arguments.sha256):
        raise UserError(f"--sha256: {arguments.sha256!r} is no SHA-256 (64 hexadecimal digits)")
    task = load_task(arguments.task)
    path = download(task.id, arguments.mirror, arguments.sha256)
    print(f"{path}: {len(load_file(path, task))} transitions")
    return 0


def _collect(arguments: argparse.Namespace) -> int:
    from ..drivers.collect import collect, is_there

    if arguments.episodes < 1 or arguments.workers < 1:
        raise UserError("--episodes and --workers must be 1 or more")
    if arguments.seed < 0:
        raise UserError(f"--seed: {arguments.seed} must not be negative")
    task = load_task(arguments.task)
    if task.simulator == "embedded":  # has drivers of its own, all episodes at once
        settings = {"task": task.id, "seed": arguments.seed, "episodes": arguments.episodes}
        env: Any = make_env(task, episodes=arguments.episodes, dataset_seed=arguments.seed)
        if not is_there(arguments.out, settings):
            write_hdf5(arguments.out, env.unwrapped.get_dataset(), **settings)
    else:
        env = make_env(task)
        collect(task, arguments.episodes, arguments.seed, arguments.out, arguments.workers)
    print(f"Written to {arguments.out}")
    print(describe(load_dataset(env, task.id, arguments.out), env))
    return 0

"""`osrl-proco data info|check|split|collect|download`: the flags; what they do is in `data_actions.py`, loaded then."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from ..core.errors import UserError

_FILE = "HDF5 or .npz file in DSRL's format"


def main(argv: list[str]) -> int:
    """Parse and run one of the five actions."""
    parser = argparse.ArgumentParser(prog="osrl-proco data", description="Look at, split and make datasets.")
    actions = parser.add_subparsers(dest="action", metavar="info|check|split|collect|download", required=True)

    info = actions.add_parser("info", help="what a dataset holds", description="Print what a task's dataset holds.")
    _task_and_dataset(info)
    _accept(info)

    check = actions.add_parser(
        "check",
        help="list all that is wrong or odd with a dataset file",
        description="List all that is wrong or odd with FILE, without a simulator. Exit status 0: nothing is wrong.",
    )
    check.add_argument("--task", required=True, metavar="ID", help="task id or YAML file")
    check.add_argument("--dataset", required=True, metavar="FILE", help=_FILE)
    _accept(check)

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
    split.add_argument("--overwrite", action="store_true", help="replace files that are there and hold something else")
    _accept(split)

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
    from . import data_actions

    action = getattr(data_actions, arguments.action)
    return int(action(arguments))


def _task_and_dataset(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--task", required=True, metavar="ID", help="task id or YAML file")
    parser.add_argument("--dataset", metavar="FILE", help=f"{_FILE} (default: the task's own data)")


def _accept(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--accept",
        action="append",
        default=[],
        metavar="NAME",
        help="a finding that is wrong and shall be let through (`data check` names them; docs/your_own_data.md)",
    )


def _file(text: str) -> Path:
    path = Path(text)
    if path.is_dir():
        raise UserError(f"--out {text or repr(text)}: is a folder; name a file")
    if path.suffix.lower() == ".npz":
        raise UserError(f"--out {text}: HDF5 is written; give it the ending .hdf5")
    return path

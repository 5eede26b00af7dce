"""A task: the simulator's id, what each observation entry means, and the safety rule in words.

One YAML file per task in `configs/tasks/`; a user adds a task with one file of the same form
(`load_task("my_task.yaml")`). A task file is data: nothing in it is imported or run.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ..core.errors import UserError, nearest
from ..core.files import read_mapping, require_regular
from ..core.resources import CONFIGS, COST_LIBRARY
from .fields import parse_fields

# What people call a task, beside its id: DSRL's, Safety-Gymnasium's and Bullet-Safety-Gym's names, in any case.
_NAME = re.compile(r"(?:offline|safety)?(?P<stem>[a-z0-9]+?)(?:gymnasium)?(?P<version>-v\d+)?")


@dataclass(frozen=True)
class Entry:
    """One named stretch of the observation: `observation[..., start:stop]`."""

    name: str
    start: int
    stop: int
    unit: str
    meaning: str

    @property
    def size(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True)
class Task:
    """What PROCO knows of a task in words. `rule` and `entries` are what the language model reads."""

    id: str
    name: str
    simulator: str
    goal: str
    rule: str
    entries: tuple[Entry, ...]
    inexact: str = ""
    cost_function: str = ""
    max_action: float = 1.0  # largest magnitude of any action entry; only asked where there is no simulator to ask
    action_low: tuple[float, ...] = (-1.0,)  # one for each action entry, or one for all
    action_high: tuple[float, ...] = (1.0,)

    @property
    def obs_dim(self) -> int:
        return max(e.stop for e in self.entries)

    @property
    def family(self) -> str:
        """`navigation`, `velocity`, `bullet`, `embedded` or `custom`: which shared settings apply."""
        if self.simulator == "safety_gymnasium":
            return "velocity" if "Velocity" in self.name else "navigation"
        return {"bullet_safety_gym": "bullet", "embedded": "embedded"}.get(self.simulator, "custom")

    @property
    def cost_path(self) -> Path:
        """The checked cost function of this task in the library. Raises UserError when there is none.

        Only the library's own files are run outside the sandbox, so a task file can name one of them and no path.
        """
        path = COST_LIBRARY / self.cost_function
        if self.cost_function and self.cost_function not in {p.name for p in COST_LIBRARY.glob("*.py")}:
            raise UserError(
                f"task {self.id}: cost_function {self.cost_function[:100]!r} is none of the library's; "
                "take the field out and pass --cost_function FILE, which is tried in the sandbox first"
            )
        if not self.cost_function:
            raise UserError(
                f"task {self.id}: no cost function in the library; write one or ask a language model "
                "(osrl-proco cost generate) and pass --cost_function FILE"
            )
        return path


@cache
def _index() -> dict[str, Path]:
    """Task id -> file. Of each file only the line with the id is read: there are many, and YAML is slow."""
    index = {}
    for file in sorted((CONFIGS / "tasks").glob("*.yaml")):
        match = re.search(r"^id: *(\S+)", file.read_text(encoding="utf-8"), re.MULTILINE)
        assert match is not None, file
        index[match[1]] = file
    return index


@cache
def _names() -> dict[tuple[str, str | None], str]:
    """Stem and version, stem alone -> task id."""
    names: dict[tuple[str, str | None], str] = {}
    for id_ in _index():
        match = _NAME.fullmatch(id_.lower())
        assert match is not None, id_
        names[match["stem"], match["version"]] = names[match["stem"], None] = id_
    return names


def task_ids() -> list[str]:
    """The ids of all tasks that ship with osrl-proco."""
    return list(_index())


def canonical_id(name: str) -> str:
    """The id of the shipped task that `name` means (`PointGoal1`, `SafetyPointGoal1-v0`), or `name` itself."""
    match = _NAME.fullmatch(name.lower())
    return name if name in _index() or match is None else _names().get((match["stem"], match["version"]), name)


def load_task(id_or_file: str | Path) -> Task:
    """Read a task by id, by one of its other names (`PointGoal1`, `SafetyPointGoal1-v0`), or from a YAML file.

    Raises UserError for an unknown id (with the nearest ones) and for a file with a missing or wrong field.
    """
    path = task_file(id_or_file)
    return _shipped(path) if path in _index().values() else _read(path)


def task_file(id_or_file: str | Path) -> Path:
    """The YAML file of a task given by id, by another of its names or as that file.

    Raises UserError for an unknown id, with the nearest ones, and for a file that is not there.
    """
    text = str(id_or_file)
    if text.lower().endswith((".yaml", ".yml")):
        require_regular(text, "task file")
        return Path(text)
    found = _index().get(canonical_id(text))
    if found is None:
        short = text if len(text) <= 100 else f"{text[:100]}..."
        file = "; a task file must end in .yaml" if "/" in text else ""
        raise UserError(f"unknown task {short!r}{nearest(text[:100], [*_index(), *_stems()]) or file}")
    return found


def _stems() -> list[str]:
    return [file.stem for file in _index().values()]


@cache
def _shipped(path: Path) -> Task:
    return _read(path)


def _read(path: Path) -> Task:
    fields = parse_fields(read_mapping(path, "task file"), f"task file {path}")
    entries, at = [], 0
    for name, size, unit, meaning in fields.pop("observation"):
        entries.append(Entry(name, at, at + size, unit, meaning))
        at += size
    low, high = fields["action_low"], fields["action_high"]
    return Task(**fields, entries=tuple(entries), max_action=max(map(abs, (*low, *high))))

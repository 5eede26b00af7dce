"""A task: the simulator's id, what each observation entry means, and the safety rule in words.

One YAML file per task in `configs/tasks/`; a user adds a task with one file of the same form
(`load_task("my_task.yaml")`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

from ..core.errors import UserError, first_line, nearest
from ..core.resources import CONFIGS, COST_LIBRARY

SIMULATORS = ("embedded", "safety_gymnasium", "bullet_safety_gym", "none")


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
    max_action: float = 1.0  # largest value of every action entry; only asked where there is no simulator to ask

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
    files = sorted((CONFIGS / "tasks").glob("*.yaml"))
    return {yaml.safe_load(f.read_text())["id"]: f for f in files}


def task_ids() -> list[str]:
    """The ids of all tasks that ship with osrl-proco."""
    return list(_index())


def load_task(id_or_file: str | Path) -> Task:
    """Read a task by id, by short name (`PointGoal1`) or from a YAML file.

    Raises UserError for an unknown id (with the nearest ones) and for a file with a missing or wrong field.
    """
    return _parse(task_file(id_or_file))


def task_file(id_or_file: str | Path) -> Path:
    """The YAML file of a task given by id, by short name or as that file. Raises UserError where there is none."""
    text = str(id_or_file)
    if text.endswith((".yaml", ".yml")):
        path = Path(text)
        if not path.is_file():
            raise UserError(f"{path}: no such task file")
        return path
    index = _index()
    by_name = {p.stem: i for i, p in index.items()}
    found = index.get(text) or index.get(by_name.get(text, ""))
    if found is None:
        raise UserError(f"unknown task {text!r}{nearest(text, [*index, *by_name])}")
    return found


def _parse(path: Path) -> Task:
    try:
        raw = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not valid YAML ({first_line(error)})") from None
    if not isinstance(raw, dict):
        raise UserError(f"{path}: expected a mapping with the fields id, name, simulator, goal, rule, observation")
    for field in ("id", "name", "simulator", "goal", "rule", "observation"):
        if not raw.get(field):
            raise UserError(f"{path}: field {field!r} is missing or empty")
    if raw["simulator"] not in SIMULATORS:
        raise UserError(f"{path}: simulator {raw['simulator']!r} is not one of {', '.join(SIMULATORS)}")
    entries: list[Entry] = []
    at = 0
    for item in raw["observation"]:
        try:
            entry = Entry(
                item["name"], at, at + int(item["size"]), str(item.get("unit", "")), " ".join(item["meaning"].split())
            )
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"{path}: observation entry {item!r} needs name, size, unit, meaning ({error})") from None
        if not entry.name.isidentifier() or entry.name.startswith("_") or entry.size < 1:
            raise UserError(f"{path}: observation entry {entry.name!r} needs a plain name and a size of 1 or more")
        if any(e.name == entry.name for e in entries):
            raise UserError(f"{path}: observation entry {entry.name!r} appears twice")
        entries.append(entry)
        at = entry.stop
    limit = raw.get("max_action", 1.0)
    if not isinstance(limit, (int, float)) or not limit > 0:
        raise UserError(f"{path}: field 'max_action' is {limit!r}; it must be a number above 0")
    return Task(
        id=raw["id"],
        name=raw["name"],
        simulator=raw["simulator"],
        goal=" ".join(raw["goal"].split()),
        rule=" ".join(raw["rule"].split()),
        entries=tuple(entries),
        inexact=" ".join(str(raw.get("inexact") or "").split()),
        cost_function=str(raw.get("cost_function") or ""),
        max_action=float(limit),
    )

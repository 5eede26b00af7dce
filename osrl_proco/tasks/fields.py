"""The fields of a task file: each of the right type and of bounded size, or one line that says which is not."""

from __future__ import annotations

import difflib
import keyword
import math
import re
from collections.abc import Mapping
from typing import Any

from ..core.errors import UserError, first_line

SIMULATORS = ("embedded", "safety_gymnasium", "bullet_safety_gym", "none")
NEEDED = ("id", "name", "simulator", "goal", "rule", "observation")
KNOWN = (*NEEDED, "inexact", "cost_function", "max_action", "min_action")
ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")  # no colon: Gymnasium imports what stands before one
ENTRY_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,99}")
TEXT = 20_000  # characters of a field
OBSERVATION = 1_000_000  # numbers in an observation
ENTRIES, ACTIONS = 10_000, 10_000
LARGEST = 1e9  # of a bound of an action


def parse_fields(raw: Mapping[str, Any], what: str) -> dict[str, Any]:
    """The fields as `Task` wants them; `observation` as tuples (name, size, unit, meaning).

    Raises UserError that begins with `what` for the first field that is missing or wrong.
    """
    for field in NEEDED:
        if raw.get(field) in (None, "", [], {}):
            raise UserError(f"{what}: field {field!r} is missing or empty")
    for field in raw:
        close = difflib.get_close_matches(field, KNOWN, 1, 0.75)
        if field not in KNOWN and close:  # a field that was only misspelt would silently take its default
            raise UserError(f"{what}: field {field[:60]!r} is not known; did you mean {close[0]}?")
    id_ = _text(raw, "id", what)
    if not ID.fullmatch(id_):
        raise UserError(
            f"{what}: field 'id' is {id_[:60]!r}; it must be a name of letters, digits, dots, dashes and underscores"
        )
    if raw["simulator"] not in SIMULATORS:
        raise UserError(f"{what}: simulator {str(raw['simulator'])[:60]!r} is not one of {', '.join(SIMULATORS)}")
    high = _bounds(raw.get("max_action", 1.0), "max_action", what)
    low = _bounds(raw["min_action"], "min_action", what) if "min_action" in raw else tuple(-h for h in high)
    if len(low) != len(high) and 1 not in (len(low), len(high)):
        raise UserError(f"{what}: field 'min_action' has {len(low)} values, 'max_action' has {len(high)}")
    width = max(len(low), len(high))
    low, high = low * (width if len(low) == 1 else 1), high * (width if len(high) == 1 else 1)
    for entry in range(width):
        if not low[entry] < high[entry]:
            least = f"above its 'min_action', {low[entry]:g}" if "min_action" in raw else "a number above 0"
            raise UserError(f"{what}: field 'max_action', entry {entry}, is {high[entry]:g}; it must be {least}")
    return {
        "id": id_,
        "name": _line(raw, "name", what),
        "simulator": raw["simulator"],
        "goal": " ".join(_text(raw, "goal", what).split()),
        "rule": " ".join(_text(raw, "rule", what).split()),
        "observation": _observation(raw["observation"], what),
        "inexact": " ".join(_text(raw, "inexact", what).split()),
        "cost_function": _line(raw, "cost_function", what),
        "action_low": low,
        "action_high": high,
    }


def _text(raw: Mapping[str, Any], field: str, what: str) -> str:
    value = raw.get(field)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise UserError(f"{what}: field {field!r} is {_short(value)}; it must be text (put it in quotes)")
    if len(value) > TEXT:
        raise UserError(f"{what}: field {field!r} has {len(value)} characters; at most {TEXT} are read")
    return value


def _line(raw: Mapping[str, Any], field: str, what: str) -> str:
    value = _text(raw, field, what)
    if not value.isprintable() or len(value) > 200:
        raise UserError(f"{what}: field {field!r} must be one line of at most 200 printable characters")
    return value


def _observation(items: Any, what: str) -> list[tuple[str, int, str, str]]:
    if not isinstance(items, list) or len(items) > ENTRIES:
        raise UserError(f"{what}: field 'observation' must be a list of entries with name, size, unit, meaning")
    entries: list[tuple[str, int, str, str]] = []
    names: set[str] = set()
    for number, item in enumerate(items):
        where = f"{what}: observation entry {number}"
        if not isinstance(item, dict) or not {"name", "size", "meaning"} <= item.keys():
            raise UserError(f"{where} needs name, size, unit, meaning; it is {_short(item)}")
        name, size, meaning, unit = item["name"], item["size"], item["meaning"], item.get("unit")
        if not isinstance(name, str) or not ENTRY_NAME.fullmatch(name) or keyword.iskeyword(name):
            raise UserError(f"{where} has the name {_short(name)}; it needs a plain name of ASCII letters and digits")
        if name in names:
            raise UserError(f"{what}: observation entry {name!r} appears twice")
        if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= OBSERVATION:
            raise UserError(f"{where} ({name}) has the size {_short(size)}; it needs a whole number, 1 or more")
        if not isinstance(meaning, str) or not meaning.strip() or len(meaning) > TEXT:
            raise UserError(f"{where} ({name}) needs a meaning in words; it is {_short(meaning)}")
        if unit is not None and (isinstance(unit, (list, dict)) or len(str(unit)) > 200):
            raise UserError(f"{where} ({name}) has the unit {_short(unit)}; it must be text")
        names.add(name)
        entries.append((name, size, "" if unit is None else str(unit), " ".join(meaning.split())))
    total = sum(e[1] for e in entries)
    if total > OBSERVATION:
        raise UserError(f"{what}: the observation has {total} numbers; at most {OBSERVATION} are possible")
    return entries


def _bounds(value: Any, field: str, what: str) -> tuple[float, ...]:
    """One number, or a list with one for each action entry."""
    values = value if isinstance(value, list) else [value]
    if not 1 <= len(values) <= ACTIONS:
        raise UserError(f"{what}: field {field!r} has {len(values)} values; it needs one for each action entry")
    for number in values:
        if isinstance(number, bool) or not isinstance(number, (int, float)) or not _fits(number):
            raise UserError(f"{what}: field {field!r} is {_short(number)}; it must be a number, or a list of numbers")
    return tuple(float(n) for n in values)


def _fits(number: float) -> bool:
    return math.isfinite(number) and abs(number) <= LARGEST if isinstance(number, float) else abs(number) <= LARGEST


def _short(value: Any) -> str:
    """A value for a message: one line, not longer than a few words."""
    try:
        text = repr(value)
    except (ValueError, RecursionError) as error:  # a number of ten thousand digits has no decimal form
        text = f"({first_line(error)})"
    return text if len(text) <= 60 else f"{text[:57]}..."

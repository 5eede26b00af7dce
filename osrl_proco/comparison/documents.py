"""Tables in documents: between markers, written by a command, held by a test.

<!-- table: NAME -->
| ... |
<!-- end of table: NAME -->

NAME:ARM,ARM is a table of these arms only, in this order.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from ..core.errors import UserError, nearest
from ..core.files import read_text, write_text
from .rows import Row

_MARK = re.compile(r"^<!-- table: (?P<name>[\w./:,-]+) -->$", re.MULTILINE)


def names(text: str) -> list[str]:
    """The names of a document's tables, in order."""
    return _MARK.findall(text)


def table_in(text: str, name: str, file: str = "document") -> tuple[int, int]:
    """Where the content between a table's markers begins and ends. Raises UserError without exactly one pair."""
    start, end = f"<!-- table: {name} -->\n", f"<!-- end of table: {name} -->"
    if text.count(start) != 1 or text.count(end) != 1 or text.index(start) > text.index(end):
        raise UserError(
            f"{file}: needs the lines {start.strip()} and {end}, once each and in this order"
            f"{nearest(name, names(text))}"
        )
    return text.index(start) + len(start), text.index(end)


def replaced(text: str, name: str, table: str, file: str = "document") -> str:
    """The document with `table` between the markers `name`."""
    start, end = table_in(text, name, file)
    return f"{text[:start]}\n{table.strip()}\n\n{text[end:]}"


def wanted(rows: Sequence[Row], name: str) -> list[Row]:
    """The rows that a table called `name` is made from. Raises UserError where an arm that it names has none."""
    _, _, arms = name.partition(":")
    if not arms:
        return list(rows)
    there = list(dict.fromkeys(row["arm"] for row in rows))
    for arm in arms.split(","):
        if arm not in there:
            raise UserError(f"table {name}: no rows of {arm}{nearest(arm, there)}")
    return [row for arm in arms.split(",") for row in rows if row["arm"] == arm]


def write_into(file: Path, name: str, table: str) -> None:
    """Put `table` between the markers `name` of a document. Raises UserError where they are not there."""
    write_text(file, replaced(read_text(file, "--into"), name, table, str(file)))

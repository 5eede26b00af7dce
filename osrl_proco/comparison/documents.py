"""Tables in documents: between markers, written by a command, held by a test.

<!-- table: NAME -->
| ... |
<!-- end of table: NAME -->
"""

from __future__ import annotations

import re
from pathlib import Path

from ..core.errors import UserError, nearest
from ..core.files import read_text, write_text

_MARK = re.compile(r"^<!-- table: (?P<name>[\w./-]+) -->$", re.MULTILINE)


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


def write_into(file: Path, name: str, table: str) -> None:
    """Put `table` between the markers `name` of a document. Raises UserError where they are not there."""
    write_text(file, replaced(read_text(file, "--into"), name, table, str(file)))

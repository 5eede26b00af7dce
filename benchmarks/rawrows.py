"""Raw rows of a benchmark's runs, one CSV for each task under benchmarks/results."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from osrl_proco.comparison.documents import names, replaced, wanted, write_into
from osrl_proco.comparison.rows import Row, read_rows, write_rows
from osrl_proco.comparison.tables import markdown

RESULTS = Path(__file__).resolve().parent / "results"


class RawRows:
    """The rows in `<name>_<task>.csv`: one for every evaluation episode of a run's last checkpoint."""

    def __init__(self, name: str, tasks: Sequence[str]) -> None:
        self.name, self.tasks = name, tuple(tasks)

    def file(self, task: str) -> Path:
        """Where the rows of a task are kept."""
        return RESULTS / f"{self.name}_{task}.csv"

    def read(self) -> list[Row]:
        """All of them, tasks in their order."""
        return [row for task in self.tasks if self.file(task).exists() for row in read_rows(self.file(task))]

    def merge(self, rows: Iterable[Row]) -> None:
        """Put runs' rows among these, in place of those of the same runs; the rows of all other runs stay."""
        new = list(rows)
        again = {(row["task"], row["arm"], row["seed"]) for row in new}
        kept = [row for row in self.read() if (row["task"], row["arm"], row["seed"]) not in again]
        for task in self.tasks:
            of_task = [short(row) for row in (*kept, *new) if row["task"] == task]
            if of_task:
                write_rows(of_task, self.file(task))

    def table(self) -> str:
        """The table of the rows between a document's markers, where a test holds it (tests/comparison)."""
        marked = f"<!-- table: {self.name} -->\n<!-- end of table: {self.name} -->"
        rows = self.read()
        return replaced(marked, self.name, markdown(rows)) if rows else "Nothing has been run yet."

    def write_into(self, document: Path) -> None:
        """Write a document's tables of these rows, all or some arms of them, anew."""
        rows = self.read()
        for name in names(document.read_text()):
            if name.partition(":")[0] == self.name:
                write_into(document, name, markdown(wanted(rows, name)))


def short(row: Row) -> Row:
    """The row with its versions cut to Python's and torch's: 6,000 rows of all would be megabytes."""
    kept = [part for part in row["versions"].split("; ") if part.startswith(("python", "torch"))]
    return {**row, "versions": "; ".join(kept)}

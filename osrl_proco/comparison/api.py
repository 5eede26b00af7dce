"""`osrl_proco.compare`: the command of that name, from Python."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.errors import UserError
from .ask import default_flags, fitted
from .execute import engine_of, execute
from .grid import Grid, arms
from .rows import read_rows

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class Compared:
    """What `compare` returns: the folder with all it wrote.

    finished: whether every run finished; the others are in failed.csv.
    """

    folder: Path
    finished: bool

    @property
    def rows(self) -> pandas.DataFrame:
        """results.csv: a row for each evaluation episode of each run."""
        try:
            import pandas
        except ImportError:
            raise UserError("rows are a DataFrame: pip install 'pandas<3'") from None
        return pandas.DataFrame(read_rows(self.folder / "results.csv"))

    @property
    def table(self) -> str:
        """table.md."""
        return (self.folder / "table.md").read_text(encoding="utf-8")


def compare(
    algos: Sequence[str],
    tasks: Sequence[str],
    seeds: Sequence[int] = (0, 1, 2),
    *,
    out: str | Path,
    stock: str = "both",
    jobs: int | None = None,
    engine: str = "local",
    collect: int = 0,
    **settings: Any,
) -> Compared:
    """Train algorithms x tasks x seeds, or reuse what `out` has; write results.csv, the tables and report.html.

    Args:
        stock: both, only or no.
        jobs: runs at a time (default: one for each core).
        engine: local or ray.
        collect: episodes to record where a dataset is not there (0: download).
        settings: flags of train, given to every run.

    Raises UserError for what can be mended, KeyboardInterrupt after Ctrl-C (the runs have checkpoints).
    """
    words = [word for name, value in settings.items() for word in (f"--{name}", _text(value))]
    chosen, said = fitted(arms(algos, stock), words)
    grid = Grid(chosen, tasks, list(seeds), default_flags(words), Path(out), collect)
    grid.notices += said
    status = execute(grid, engine_of(engine, jobs), "osrl_proco.compare(...)", "osrl_proco.compare")
    if status == 130:
        raise KeyboardInterrupt
    return Compared(Path(out), status == 0)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)

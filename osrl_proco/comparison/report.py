"""From raw rows to everything that is shown: table.md, table.tex, robust.csv, report.html. Nothing is typed by hand."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from ..core.errors import UserError
from ..core.files import make_folder, write_text
from .page import page
from .record import Record, of_folder
from .robust import Robust, robust
from .rows import read_rows, write_table
from .tables import NOTE, latex, markdown

INSTALL = "pip install 'osrl-proco[report]'"
# what the seeds of one cell must share -> what it is called
_SAME = {"configuration": "settings", "step": "numbers of updates", "commit": "commits", "versions": "versions"}
ROBUST = ("score", "arm", "iqm", "low", "high", "runs_per_task", "tasks")


def write_report(record: Record, out: Path, title: str = "osrl-proco compare") -> list[str]:
    """Write the record and all that is made from it into `out`.

    Returns lines to print: what was left out and what to install for it. Raises UserError where `out` can't be
    written.
    """
    make_folder(out, "--out")
    record.write(out)
    notes = remarks(record)
    if not record.rows:
        return ["no run has finished: there is no table yet"]
    write_text(out / "table.md", f"{markdown(record.rows)}\n\n{NOTE}\n")
    write_text(out / "table.tex", latex(record.rows))
    said = []
    estimates: Robust | None = None
    try:
        estimates = robust(record.rows)
        _write_robust(estimates, out / "robust.csv")
    except ImportError:
        said.append(f"without interquartile means and performance profiles: rliable is not installed; {INSTALL}")
    try:
        text = page(record, estimates, notes, title, out)
    except ImportError:
        return [*said, f"without report.html: jinja2 is not installed; {INSTALL}"]
    if 'id="figures"' not in text:
        said.append(f"report.html has no plots: plotly is not installed; {INSTALL}")
    write_text(out / "report.html", text)
    return said


def _write_robust(found: Robust, file: Path) -> None:
    rows = [
        {"score": score, "arm": arm, "iqm": f"{iqm:.6f}", "low": f"{low:.6f}", "high": f"{high:.6f}"}
        | {"runs_per_task": found.runs[arm], "tasks": len(found.tasks)}
        for score, arms in found.means.items()
        for arm, (iqm, low, high) in arms.items()
    ]
    write_table(rows, file, ROBUST)


def remarks(record: Record) -> list[str]:
    """What a reader must know before the numbers: runs that are missing, mixed settings, single seeds."""
    found = list(record.notices)
    if record.failed:
        names = [f"{r['arm']} on {r['task']}, seed {r['seed']} ({r['status']})" for r in record.failed]
        found.append(f"{len(names)} runs have no rows: {', '.join(names[:10])}{' ...' if len(names) > 10 else ''}")
    mixed: dict[tuple[str, str], dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for row in record.rows:
        for key in _SAME:
            mixed[(row["task"], row["arm"])][key].add(str(row[key]))
    for key, what in _SAME.items():
        odd = [f"{arm} on {task}" for (task, arm), values in mixed.items() if len(values[key]) > 1]
        if odd:
            found.append(f"seeds of different {what} are averaged: {', '.join(odd[:5])}{' ...' if odd[5:] else ''}")
    seeds = {key: len({r["seed"] for r in record.rows if (r["task"], r["arm"]) == key}) for key in mixed}
    if any(count == 1 for count in seeds.values()):
        found.append("single seeds have no interval; they say little about an algorithm")
    return found


def joined(folders: Sequence[Path]) -> Record:
    """One record of several folders, or files of raw rows. The same run found twice counts once.

    Where two folders have the same arm, task and seed with other settings, the later folder's arms get its name.
    Raises UserError where a folder has nothing.
    """
    whole = Record()
    settled: dict[tuple[str, str, int], str] = {}
    for folder in folders:
        if not folder.exists():
            raise UserError(f"--from {folder}: no such folder")
        record = Record(read_rows(folder)) if folder.is_file() else of_folder(folder)
        keys: dict[tuple[str, str, int], str] = {
            (r["task"], r["arm"], r["seed"]): f"{r['configuration']} {r['data']}" for r in record.rows
        }
        clash = {arm for (task, arm, seed), made in keys.items() if settled.get((task, arm, seed), made) != made}
        renamed: dict[str, str] = {str(arm): f"{arm} ({folder.resolve().name})" for arm in clash}
        known = {(t, renamed.get(a, a), s) for t, a, s in keys} & settled.keys()
        for name in ("rows", "runs", "curves"):
            items = [{**item, "arm": renamed.get(item["arm"], item["arm"])} for item in getattr(record, name)]
            getattr(whole, name).extend(i for i in items if (i["task"], i["arm"], i["seed"]) not in known)
        for (task, arm, seed), made in keys.items():
            settled[(task, renamed.get(arm, arm), seed)] = made
        whole.notices += [n for n in record.notices if n not in whole.notices]
        whole.notices += [f"{arm}: has other settings in {folder}, and is called {new}" for arm, new in renamed.items()]
        whole = dataclasses.replace(whole, command=whole.command or record.command)
    _refuse_mixtures(whole)
    return whole


def _refuse_mixtures(record: Record) -> None:
    """Raise UserError where one arm, task and seed has an episode twice: two runs under one name."""
    seen: set[tuple[str, str, int, int]] = set()
    for row in record.rows:
        key = (row["task"], row["arm"], row["seed"], row["episode_seed"])
        if key in seen:
            raise UserError(
                f"--from: {row['arm']} on {row['task']}, seed {row['seed']} is there twice (episode {key[3]}); "
                "name the folders of runs that belong together"
            )
        seen.add(key)

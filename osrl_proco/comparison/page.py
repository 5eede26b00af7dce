"""report.html: one file that opens offline. What it shows is computed here; the template only places it.

jinja2 escapes every text; plotly's script is inlined once.
"""

from __future__ import annotations

import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import figures
from .record import Record
from .robust import SCORES, Robust
from .statistics import Cell, cells, grouped, seed_means
from .tables import NOTE, Content, gain, plus_minus, share

TEMPLATES = Path(__file__).parent / "templates"
FILES = {
    "results.csv": "raw rows, one for each episode",
    "failed.csv": "runs that have no rows, and why",
    "curves.csv": "learning curves",
    "runs.json": "settings, command and log of each run",
    "table.md": "the table in Markdown",
    "table.tex": "the table in LaTeX",
}
CELLS = ("task", "algorithm", "reward", "cost", "safe", "without violation", "return", "cost per episode", "seeds")
RUNS = ("task", "algorithm", "seed", "status", "reward", "cost", "updates", "configuration", "folder")
IQM = ("algorithm", "reward: IQM", "low", "high", "cost: IQM", "low", "high", "runs per task")


@dataclass(frozen=True)
class Shown:
    """One cell: its text, what it is sorted by (None: its text), its CSS class."""

    text: str
    sort: float | None = None
    kind: str = ""


def page(record: Record, estimates: Robust | None, notes: list[str], title: str, out: Path) -> str:
    """The page. Raises ImportError without jinja2; without plotly the plots are left out."""
    import jinja2
    from markupsafe import Markup

    plots = importlib.util.find_spec("plotly") is not None
    escaping = jinja2.Environment(autoescape=True)
    template = escaping.from_string((TEMPLATES / "report.html.j2").read_text(encoding="utf-8"))
    content = Content(record.rows)
    heads, main = _main(content)
    drawn = _figures(record, estimates) if plots else {}
    sections = [("table", "Table"), ("cells", "All cells")]
    sections += [("robust", "Over all tasks")] if estimates and estimates.means else []
    sections += [("plane", "Reward against cost")] if plots else []
    sections += [("curves", "Curves")] if plots and record.curves else []
    return template.render(
        title=title,
        facts=_facts(record),
        command=record.command,
        notes=notes,
        sections=[*sections, ("runs", "Runs"), ("files", "Files")],
        table_note=NOTE.replace("Bold", "Green and bold"),
        heads=heads,
        main=main,
        cell_columns=CELLS,
        cell_rows=_cells(record),
        robust_columns=IQM,
        robust_rows=_robust(estimates) if estimates else [],
        robust_note=_robust_note(estimates) if estimates else "",
        run_columns=RUNS,
        run_rows=_run_rows(record),
        runs=[{**run, "name": f"{run['arm']} on {run['task']}, seed {run['seed']}"} for run in record.runs],
        files=[(name, what) for name, what in FILES.items() if (out / name).exists()],
        plots=plots,
        has_curves=bool(record.curves),
        figures=Markup(script_json(drawn)),
        plotly=Markup(_plotly()) if plots else "",
        style=Markup((TEMPLATES / "report.css").read_text(encoding="utf-8")),
        script=Markup((TEMPLATES / "report.js").read_text(encoding="utf-8")),
    )


def script_json(value: Any) -> str:
    """JSON that cannot end the script element it stands in."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _plotly() -> str:
    from plotly.offline import get_plotlyjs

    return str(get_plotlyjs()).replace("</script", "<\\/script")


def _figures(record: Record, estimates: Robust | None) -> dict[str, Any]:
    return {
        "planes": figures.planes(record.rows),
        "curves": figures.curves(record.curves),
        "means": figures.means(estimates) if estimates else {},
        "profiles": figures.profiles(estimates) if estimates else {},
    }


def _facts(record: Record) -> str:
    def of(key: str) -> str:
        return ", ".join(dict.fromkeys(str(r[key]) for r in record.rows if r[key]))

    counts = f"tasks: {len({r['task'] for r in record.rows})}, algorithms: {len({r['arm'] for r in record.rows})}"
    seeds = ", ".join(map(str, sorted({r["seed"] for r in record.rows})))
    parts = [f"{counts}, seeds {seeds}, {len(record.rows)} episodes", f"presets: {of('preset')}"]
    parts += [f"commit {of('commit')}"] if of("commit") else []
    return "; ".join([*parts, of("versions")]) + "."


Heads = list[tuple[str, tuple[str, ...]]]
PAIR = ("reward ↑", "cost ↓")


def _main(content: Content) -> tuple[Heads, list[dict[str, Any]]]:
    """Columns, each with what stands below it, and rows: arms beside tasks, or the other way round."""
    if content.arms_are_rows:
        return _by_arm(content)
    rows = [
        {"name": task, "kind": "", "cells": [c for arm in content.arms for c in _pair(content.cells.get((task, arm)))]}
        for task in content.tasks
    ]
    every = [content.summaries[arm] for arm in content.arms]
    average = [Shown(f"{v:.2f}") for s in every for v in (s.reward, s.cost)]
    rows.append({"name": "average", "kind": "sum", "cells": average})
    safe = [Shown(t) for s in every for t in ("", share(s))]
    rows.append({"name": "safe tasks", "kind": "sum", "cells": safe})
    if any(s.improvement is not None for s in every):
        better = [Shown(t) for s in every for t in ("", gain(s))]
        rows.append({"name": "improvement over stock", "kind": "sum", "cells": better})
    return [(arm, PAIR) for arm in content.arms], rows


def _by_arm(content: Content) -> tuple[Heads, list[dict[str, Any]]]:
    rows = []
    for arm in content.arms:
        pairs = [c for task in content.tasks for c in _pair(content.cells.get((task, arm)))]
        summary = content.summaries[arm]
        rows.append({"name": arm, "kind": "", "cells": [*pairs, Shown(share(summary)), Shown(gain(summary))]})
    return [*((task, PAIR) for task in content.tasks), ("all tasks", ("safe", "over stock"))], rows


def _pair(cell: Cell | None) -> tuple[Shown, Shown]:
    if cell is None:
        return Shown(""), Shown("")
    reward = Shown(plus_minus(cell.reward, cell.reward_interval))
    return reward, Shown(plus_minus(cell.cost, cell.cost_interval), kind="safe" if cell.safe else "unsafe")


def _cells(record: Record) -> list[list[Shown]]:
    found, groups = cells(record.rows), grouped(record.rows)
    shown = []
    for (task, arm), cell in found.items():
        returned, paid = (_mean(seed_means(groups[(task, arm)], key)) for key in ("return", "cost"))
        reward, cost = _pair(cell)
        shown.append(
            [
                Shown(task, kind="text"),
                Shown(arm, kind="text"),
                Shown(reward.text, cell.reward),
                Shown(cost.text, cell.cost, cost.kind),
                Shown("yes" if cell.safe else "no", kind=cost.kind),
                Shown(f"{cell.clean:.0%}", cell.clean),
                Shown(f"{returned:.2f}", returned),
                Shown(f"{paid:.2f}", paid),
                Shown(str(cell.seeds), cell.seeds),
            ]
        )
    return shown


def _robust(estimates: Robust) -> list[list[Shown]]:
    if not estimates.means:
        return []
    return [
        [
            Shown(arm, kind="text"),
            *(Shown(f"{v:.3f}", v) for score in SCORES for v in estimates.means[score][arm]),
            Shown(str(runs), runs),
        ]
        for arm, runs in estimates.runs.items()
    ]


def _robust_note(estimates: Robust) -> str:
    alone = [arm for arm, runs in estimates.runs.items() if runs < 2]
    text = (
        f"Interquartile means over {len(estimates.tasks)} tasks and all seeds, with 95 % intervals of a stratified "
        "bootstrap over seeds (rliable)."
    )
    text += f" With one seed there is no interval: {', '.join(alone)}." if alone else ""
    return text + (f" Left out: {'; '.join(estimates.left_out)}." if estimates.left_out else "")


def _run_rows(record: Record) -> list[list[Shown]]:
    groups = grouped(record.rows)
    shown = []
    for run in record.runs:
        rows = groups.get((run["task"], run["arm"]), {}).get(run["seed"], [])
        scores = [_mean([r[k] for r in rows]) if rows else None for k in SCORES]
        cost = "" if scores[1] is None else "safe" if scores[1] <= 1 else "unsafe"
        shown.append(
            [
                *(Shown(str(run[k]), kind="text") for k in ("task", "arm")),
                Shown(str(run["seed"]), run["seed"]),
                Shown(run["status"], kind="text" if run["status"] == "finished" else "text unsafe"),
                _score(scores[0], -1e9),
                _score(scores[1], 1e9, cost),
                Shown(str(rows[0]["step"]) if rows else "", rows[0]["step"] if rows else 0),
                *(Shown(str(run[k]), kind="text") for k in ("configuration", "folder")),
            ]
        )
    return shown


def _score(value: float | None, without: float, kind: str = "") -> Shown:
    return Shown("", without) if value is None else Shown(f"{value:.3f}", value, kind)


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)

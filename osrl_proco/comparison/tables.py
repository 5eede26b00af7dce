"""The paper's table 1 from raw rows, in Markdown and LaTeX."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from .statistics import Cell, Summary, cells, summaries, twins

NOTE = (
    "Mean over seeds ± half of the 95 % interval (Student's t); reward in DSRL's scale, cost over the limit. "
    "Bold: safe (a cost of 1 or less)."
)
_ESCAPES = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
}  # fmt: skip


class Content:
    """Tasks, arms, cells and summaries of raw rows, in the rows' order."""

    def __init__(self, rows: Sequence[dict[str, Any]]) -> None:
        self.cells = cells(rows)
        self.tasks = list(dict.fromkeys(task for task, _ in self.cells))
        self.arms = list(dict.fromkeys(arm for _, arm in self.cells))
        self.summaries = summaries(self.cells, twins(rows))

    @property
    def arms_are_rows(self) -> bool:
        """Whether there are so many arms, beside the tasks, that columns of arms would be too wide to read."""
        return len(self.arms) >= 2 * len(self.tasks)


def markdown(rows: Sequence[dict[str, Any]], digits: int = 2) -> str:
    """The table. Tasks are its rows, as in the paper; with many arms on few tasks, arms are."""
    content = Content(rows)
    if content.arms_are_rows:
        return _by_arm(content, digits)
    return _by_task(content, digits)


def _by_task(content: Content, digits: int) -> str:
    arms = [_cell_text(a) for a in content.arms]
    lines = ["| task | " + " | ".join(f"{a}: reward | cost" for a in arms) + " |"]
    lines += ["|---" * (1 + 2 * len(arms)) + "|"]
    for task in content.tasks:
        found = [_pair(content.cells.get((task, arm)), digits) for arm in content.arms]
        lines.append(_line([_cell_text(task), *(text for pair in found for text in pair)]))
    every = [content.summaries[arm] for arm in content.arms]
    lines.append(_line(["average", *(t for s in every for t in (f"{s.reward:.{digits}f}", f"{s.cost:.{digits}f}"))]))
    lines.append(_line(["safe tasks", *(t for s in every for t in ("", share(s)))]))
    if any(s.improvement is not None for s in every):
        lines.append(_line(["improvement over stock", *(t for s in every for t in ("", gain(s)))]))
    return "\n".join(lines)


def _by_arm(content: Content, digits: int) -> str:
    head = " | ".join(f"{_cell_text(t)}: reward | cost | clean" for t in content.tasks)
    with_gain = any(s.improvement is not None for s in content.summaries.values())
    last = ["safe tasks", *(["improvement over stock"] if with_gain else [])]
    lines = [f"| | {head} | {' | '.join(last)} |", "|---" * (1 + 3 * len(content.tasks) + len(last)) + "|"]
    for arm in content.arms:
        parts = [_cell_text(arm)]
        for task in content.tasks:
            cell = content.cells.get((task, arm))
            parts += [*_pair(cell, digits), f"{cell.clean:.0%}" if cell else ""]
        summary = content.summaries[arm]
        lines.append(_line([*parts, share(summary), *([gain(summary)] if with_gain else [])]))
    return "\n".join(lines)


def latex(rows: Sequence[dict[str, Any]], digits: int = 2) -> str:
    r"""The same for LaTeX, tasks as rows (needs `\usepackage{booktabs}`); what a task is called is escaped."""
    content = Content(rows)
    wide = len(content.arms)
    lines = [f"% {NOTE.replace('%', chr(92) + '%')}", r"\begin{tabular}{l" + "rr" * wide + "}", r"\toprule"]
    lines.append(" & " + " & ".join(rf"\multicolumn{{2}}{{c}}{{{escaped(arm)}}}" for arm in content.arms) + r" \\")
    lines.append("Task" + r" & reward $\uparrow$ & cost $\downarrow$" * wide + r" \\")
    lines.append(r"\midrule")
    for task in content.tasks:
        parts = [escaped(task)]
        for arm in content.arms:
            cell = content.cells.get((task, arm))
            parts += _latex_pair(cell, digits)
        lines.append(" & ".join(parts) + r" \\")
    lines.append(r"\midrule")
    every = [content.summaries[arm] for arm in content.arms]
    lines.append("Average & " + " & ".join(f"{s.reward:.{digits}f} & {s.cost:.{digits}f}" for s in every) + r" \\")
    lines.append("Safe tasks & " + " & ".join(rf"\multicolumn{{2}}{{c}}{{{share(s)}}}" for s in every) + r" \\")
    if any(s.improvement is not None for s in every):
        gains = " & ".join(rf"\multicolumn{{2}}{{c}}{{{escaped(gain(s))}}}" for s in every)
        lines.append(f"Improvement over stock & {gains} " + r"\\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def plus_minus(mean: float, half: float, digits: int = 2) -> str:
    """`0.12 ± 0.03`, or the mean alone where there is no interval."""
    return f"{mean:.{digits}f}" if math.isnan(half) else f"{mean:.{digits}f} ± {half:.{digits}f}"


def share(summary: Summary) -> str:
    """`3/4`: on how many of its tasks an arm is safe."""
    return f"{summary.safe}/{summary.tasks}"


def gain(summary: Summary) -> str:
    """The improvement over stock, in percent of the cost limit; `/` without a twin."""
    return "/" if summary.improvement is None else f"{summary.improvement:.0%}"


def escaped(text: str) -> str:
    """Text for LaTeX."""
    return "".join(_ESCAPES.get(letter, letter) for letter in " ".join(text.split()))


def _pair(cell: Cell | None, digits: int) -> tuple[str, str]:
    if cell is None:
        return "", ""
    cost = plus_minus(cell.cost, cell.cost_interval, digits)
    return plus_minus(cell.reward, cell.reward_interval, digits), f"**{cost}**" if cell.safe else cost


def _latex_pair(cell: Cell | None, digits: int) -> tuple[str, str]:
    if cell is None:
        return "", ""
    reward = plus_minus(cell.reward, cell.reward_interval, digits).replace("±", r"$\pm$")
    cost = plus_minus(cell.cost, cell.cost_interval, digits).replace("±", r"$\pm$")
    return reward, rf"\textbf{{{cost}}}" if cell.safe else cost


def _cell_text(text: str) -> str:
    """A name in a cell of a Markdown table: nothing in it is markup."""
    plain = " ".join(text.split())
    return "".join(f"\\{c}" if c in "\\`*_{}[]<>|#!~&" and not _inner(plain, i) else c for i, c in enumerate(plain))


def _inner(text: str, at: int) -> bool:
    """Whether an underscore stands inside a word, where Markdown leaves it alone."""
    return text[at] == "_" and 0 < at < len(text) - 1 and text[at - 1].isalnum() and text[at + 1].isalnum()


def _line(parts: Sequence[str]) -> str:
    return "| " + " | ".join(parts) + " |"

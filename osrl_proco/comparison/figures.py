"""The report's plots as plotly figures in plain dicts; plotly itself is only needed to draw them in a browser."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from .robust import Robust
from .statistics import SAFE, cells, interval

Figure = dict[str, Any]
COLOURS = (
    "#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#8c564b", "#e377c2", "#17becf", "#bcbd22", "#7f7f7f",
)  # fmt: skip
BUDGET = 20_000  # points of all curves of a page
TITLES = {"normalized_reward": "normalised reward", "normalized_cost": "normalised cost"}
_SAFE_LINE = {"type": "line", "line": {"color": "#2ca02c", "width": 2, "dash": "dash"}}


def colours(arms: Sequence[str]) -> dict[str, str]:
    """A colour for each algorithm; stock and PROCO share it, and differ in the marker and the line."""
    bases = list(dict.fromkeys(_base(a) for a in arms))
    return {a: COLOURS[bases.index(_base(a)) % len(COLOURS)] for a in arms}


def planes(rows: Sequence[dict[str, Any]]) -> dict[str, Figure]:
    """task -> reward against cost, a point with 95 % intervals for each arm, and the line below which a run is safe."""
    found = cells(rows)
    arms = list(dict.fromkeys(arm for _, arm in found))
    colour = colours(arms)
    figures: dict[str, Figure] = {}
    for task in dict.fromkeys(task for task, _ in found):
        traces = [
            {
                "type": "scatter",
                "mode": "markers",
                "name": _text(arm),
                "x": [_rounded(cell.cost)],
                "y": [_rounded(cell.reward)],
                "error_x": _error(cell.cost_interval, colour[arm]),
                "error_y": _error(cell.reward_interval, colour[arm]),
                "marker": {"size": 11, "color": colour[arm], "symbol": _symbol(arm), "line": {"width": 1}},
            }
            for arm in arms
            if (cell := found.get((task, arm)))
        ]
        line = {**_SAFE_LINE, "x0": SAFE, "x1": SAFE, "y0": 0, "y1": 1, "yref": "paper"}
        layout = _layout("normalised cost (left of the line: safe)", "normalised reward", shapes=[line])
        shown = [cell for (name, _), cell in found.items() if name == task]
        layout["xaxis"]["range"] = _range([*(c.cost for c in shown), 0.0, SAFE])  # of the points: whiskers of two
        layout["yaxis"]["range"] = _range([c.reward for c in shown])  # seeds can be a hundred times longer
        figures[task] = {"data": traces, "layout": layout}
    return figures


def _range(values: Sequence[float]) -> list[float]:
    low, high = min(values), max(values)
    margin = max(0.15 * (high - low), 0.1)
    return [_rounded(low - margin), _rounded(high + margin)]


def curves(points: Sequence[dict[str, Any]]) -> dict[str, dict[str, Figure]]:
    """task -> metric -> a line for each arm: the mean over seeds at each step, its 95 % interval as a band."""
    values: dict[tuple[str, str], dict[str, dict[int, list[float]]]] = defaultdict(
        lambda: defaultdict(lambda: defaultdict(list))
    )
    for point in points:
        values[(point["task"], point["metric"])][point["arm"]][point["step"]].append(point["value"])
    total = sum(len(steps) for arms in values.values() for steps in arms.values())
    stride = max(1, math.ceil(total / BUDGET))
    colour = colours(list(dict.fromkeys(p["arm"] for p in points)))
    figures: dict[str, dict[str, Figure]] = defaultdict(dict)
    for task, metric in sorted(values, key=lambda key: (key[0], not key[1].startswith("evaluation/"), key[1])):
        traces: list[dict[str, Any]] = []
        for arm, steps in values[(task, metric)].items():
            traces += _curve(arm, steps, stride, colour[arm])
        line = {**_SAFE_LINE, "y0": SAFE, "y1": SAFE, "x0": 0, "x1": 1, "xref": "paper"}
        shapes = [line] if metric == "evaluation/normalized_cost" else []
        figures[task][metric] = {"data": traces, "layout": _layout("updates", metric, shapes=shapes)}
    return figures


def _curve(arm: str, steps: dict[int, list[float]], stride: int, colour: str) -> list[dict[str, Any]]:
    kept = sorted(steps)[::-1][::stride][::-1]  # the last one is always there
    means = [interval(steps[s]) for s in kept]
    line = {"type": "scatter", "name": _text(arm), "legendgroup": _text(arm), "x": kept}
    style = {"color": colour, "width": 2, "dash": "dot" if _stock(arm) else "solid"}
    mode = "lines+markers" if len(kept) < 3 else "lines"
    traces: list[dict[str, Any]] = []
    if all(not math.isnan(half) for _, half in means):
        for sign, fill in ((-1, "none"), (1, "tonexty")):
            edge = [_rounded(mean + sign * half) for mean, half in means]
            traces.append(
                {**line, "y": edge, "mode": "lines", "line": {"width": 0}, "fill": fill, "hoverinfo": "skip"}
                | {"showlegend": False, "fillcolor": f"{colour}26"}
            )
    return [*traces, {**line, "y": [_rounded(mean) for mean, _ in means], "mode": mode, "line": style}]


def means(found: Robust) -> dict[str, Figure]:
    """score -> interquartile means with their intervals."""
    figures = {}
    for score, arms in found.means.items():
        names = list(arms)[::-1]
        values = [arms[a] for a in names]
        trace = {
            "type": "scatter",
            "mode": "markers",
            "x": [_rounded(v[0]) for v in values],
            "y": [_text(a) for a in names],
            "error_x": {
                "type": "data",
                "symmetric": False,
                "array": [_rounded(v[2] - v[0]) for v in values],
                "arrayminus": [_rounded(v[0] - v[1]) for v in values],
            },
            "marker": {"size": 10, "color": [colours(list(arms))[a] for a in names]},
        }
        line = {**_SAFE_LINE, "x0": SAFE, "x1": SAFE, "y0": 0, "y1": 1, "yref": "paper"}
        shapes = [line] if score == "normalized_cost" else []
        layout = _layout(f"interquartile mean of the {TITLES[score]}", "", shapes=shapes)
        layout["height"] = 140 + 26 * len(names)
        layout["yaxis"] |= {"automargin": True, "type": "category"}
        figures[score] = {"data": [trace], "layout": layout}
    return figures


def profiles(found: Robust) -> dict[str, Figure]:
    """score -> the share of runs above each threshold."""
    figures = {}
    for score, arms in found.profiles.items():
        colour = colours(list(arms))
        traces: list[dict[str, Any]] = []
        for arm, profile in arms.items():
            line: dict[str, Any] = {"type": "scatter", "mode": "lines", "name": _text(arm), "legendgroup": _text(arm)}
            line["x"] = [_rounded(t) for t in profile.thresholds]
            if found.runs[arm] > 1:
                for edge, fill in ((profile.low, "none"), (profile.high, "tonexty")):
                    traces.append(
                        {**line, "y": edge, "line": {"width": 0}, "fill": fill, "fillcolor": f"{colour[arm]}26"}
                        | {"hoverinfo": "skip", "showlegend": False}
                    )
            style = {"color": colour[arm], "dash": "dot" if _stock(arm) else "solid"}
            traces.append({**line, "y": profile.share, "line": style})
        limit = {**_SAFE_LINE, "x0": SAFE, "x1": SAFE, "y0": 0, "y1": 1, "yref": "paper"}
        shapes = [limit] if score == "normalized_cost" else []
        layout = _layout(f"{TITLES[score]} τ", "share of runs with a score above τ", shapes=shapes)
        figures[score] = {"data": traces, "layout": layout}
    return figures


def _layout(x: str, y: str, shapes: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "height": 460,
        "margin": {"l": 60, "r": 20, "t": 20, "b": 55},
        "xaxis": {"title": {"text": _text(x)}, "zeroline": False},
        "yaxis": {"title": {"text": _text(y)}, "zeroline": False},
        "shapes": shapes,
        "hovermode": "closest",
    }


def _error(half: float, colour: str) -> dict[str, Any]:
    return {"type": "data", "array": [0 if math.isnan(half) else _rounded(half)], "color": colour, "thickness": 1}


def _text(text: str) -> str:
    """Text in which plotly finds no tags (it reads a few of HTML's in names and titles)."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _base(arm: str) -> str:
    return arm.replace("-proco", "", 1).replace("-stock", "", 1)


def _stock(arm: str) -> bool:
    return "-stock" in arm


def _symbol(arm: str) -> str:
    return "x" if _stock(arm) else "circle" if "-proco" in arm else "diamond"


def _rounded(value: float) -> float:
    return float(f"{value:.5g}")

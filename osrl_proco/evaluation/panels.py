"""Parts of pictures: maps of V over positions, V before a violation, the three types."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .before_violation import BeforeViolation
from .feasible_types import TYPES, Types
from .teleport import Map

Panel = tuple[str, Callable[[Any], None]]  # title, what draws on a Matplotlib axis


def save_panels(panels: Sequence[Panel], file: Path, title: str) -> None:
    """Draw the panels side by side into a PNG file."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(panels), figsize=(5.0 * len(panels), 4.4), layout="constrained", squeeze=False)
    for axis, (name, draw) in zip(axes[0], panels, strict=True):
        draw(axis)
        axis.set_title(name, fontsize=10)
    figure.suptitle(title, fontsize=11)
    figure.savefig(file, dpi=120, format="png")
    plt.close(figure)


def map_panels(grid: Map, values: dict[str, np.ndarray]) -> list[Panel]:
    """V over the positions for each title: red above 0, which the white line bounds; black: the simulator's cost."""
    reach = max(float(np.quantile(np.abs(v), 0.95)) for v in values.values())  # corners far off the data wash all out

    def panel(title: str, v: np.ndarray) -> Panel:
        def draw(axis: Any) -> None:
            shown = axis.pcolormesh(grid.x, grid.y, v, cmap="RdYlGn_r", vmin=-reach, vmax=reach, shading="nearest")
            if v.min() < 0 < v.max():
                axis.contour(grid.x, grid.y, v, levels=[0.0], colors="white", linewidths=1.5)
            if grid.unsafe.any() and not grid.unsafe.all():
                axis.contour(grid.x, grid.y, grid.unsafe, levels=[0.5], colors="black", linewidths=1.5)
            axis.figure.colorbar(shown, ax=axis, label="V (above 0: lost)")
            axis.set_aspect("equal")
            axis.set_xlabel("x (m); white: V = 0, black: where the simulator reports a cost", fontsize=8)
            axis.set_ylabel("y (m)")

        return f"V over positions, {title}", draw

    return [panel(title, v) for title, v in values.items()]


def rows_of_map(grid: Map, values: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    """One row for each position: x, y, whether unsafe, V for each title."""
    return [
        {
            "x": float(x),
            "y": float(y),
            "unsafe": int(grid.unsafe[j, i]),
            **{f"V {title}": float(v[j, i]) for title, v in values.items()},
        }
        for j, y in enumerate(grid.y)
        for i, x in enumerate(grid.x)
    ]


def v_panel(axis: Any, found: BeforeViolation) -> None:
    """V against the steps to the violation: some episodes, the middle and its 10 to 90 % band."""
    rows = [row for row in found.rows() if row["episodes"] >= len(found.episodes) / 3]  # few are no middle
    steps = np.array([-row["steps_to_violation"] for row in rows])
    for episode in found.episodes[:20]:
        axis.plot(found.steps, episode, color="#999999", alpha=0.35, linewidth=0.7)
    axis.fill_between(steps, [r["v_10"] for r in rows], [r["v_90"] for r in rows], color="#2f62b0", alpha=0.2)
    axis.plot(steps, [r["v_50"] for r in rows], color="#2f62b0", linewidth=2, label="median, 10 to 90 %")
    if len(found.rest):
        axis.axhline(float(np.median(found.rest)), color="#3c9a4c", linestyle="--", label="median without violation")
    axis.axhline(0.0, color="black", linewidth=0.8)
    axis.set_xlabel(f"steps to the first violation ({len(found.episodes)} episodes)")
    axis.set_ylabel("V")
    axis.legend(fontsize=8, loc="upper left")


def types_panel(axis: Any, result: Types) -> None:
    """The three types as bars."""
    bars = axis.bar(TYPES, [100 * share for share in result.shares], color=["#3c9a4c", "#c8402f", "#e0a030"])
    axis.bar_label(bars, fmt="%.1f %%")
    axis.set_ylim(0, 110)
    axis.set_ylabel("states (%)")
    axis.tick_params(axis="x", labelsize=8)

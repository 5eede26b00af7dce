"""Where a cost function fires along the entries that it reads: a line of text each, and a picture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ...core.errors import UserError, first_line
from ...core.files import replacing
from ..language.function import CostFunction
from ..language.margins import entries_read
from .evidence import Evidence

BINS = 32
_BLOCKS = " ▁▂▃▄▅▆▇█"


@dataclass(frozen=True)
class Profile:
    """One quantity of an entry over the data, in `BINS` equal bins.

    `flagged` and `safe` count the states recorded as safe that are called unsafe and safe; `found` and `missed` those
    of D_u.
    """

    label: str
    edges: Tensor  # (BINS + 1,)
    flagged: Tensor  # (BINS,)
    safe: Tensor
    found: Tensor
    missed: Tensor

    def __str__(self) -> str:
        """The share of states called unsafe by bin, as blocks of growing height; a dot where there is no state."""
        called = self.flagged + self.found
        total = called + self.safe + self.missed
        share = called / total.clamp(min=1)
        marks = "".join(
            "·" if not n else _BLOCKS[1 + round(float(s) * (len(_BLOCKS) - 2))]
            for n, s in zip(total, share, strict=True)
        )
        return f"{self.edges[0]:>9.3g} |{marks}| {self.edges[-1]:<9.3g}"


def profiles(cost: CostFunction, evidence: Evidence) -> list[Profile]:
    """One profile for every entry that the text reads, along the quantity of it that tells the labels apart best.

    An entry of one number is that number. Of a longer one, its components, largest and smallest component and norm
    are tried (by the area under the ROC curve of the labels).
    """
    states = torch.cat([evidence.safe, evidence.unsafe])
    unsafe = torch.zeros(len(states), dtype=torch.bool)
    unsafe[len(evidence.safe) :] = True
    called = cost(states) > 0
    found = []
    for entry in cost.task.entries:
        if entry.name in entries_read(cost):
            quantities = _quantities(entry.name, states[:, entry.start : entry.stop])
            label, values = max(quantities, key=lambda pair: _separation(pair[1], called))
            found.append(_profile(label, values, called, unsafe))
    return found


def _quantities(name: str, values: Tensor) -> list[tuple[str, Tensor]]:
    if values.shape[1] == 1:
        return [(name, values[:, 0])]
    parts = [(f"{name}[{i}]", values[:, i]) for i in range(values.shape[1])]
    whole = [(f"{name}, largest", values.amax(1)), (f"{name}, smallest", values.amin(1))]
    return [*whole, (f"|{name}|", values.norm(dim=1)), *parts]


def _separation(values: Tensor, called: Tensor) -> float:
    """|AUC - 1/2| of `values` for the labels, ties counted half."""
    positive, negative = values[called], values[~called].sort().values
    if not len(positive) or not len(negative):
        return 0.0
    below = torch.searchsorted(negative, positive).double()
    upto = torch.searchsorted(negative, positive, right=True).double()
    return abs(float(((below + upto) / 2 / len(negative)).mean()) - 0.5)


def _profile(label: str, values: Tensor, called: Tensor, unsafe: Tensor) -> Profile:
    finite = values.isfinite()
    values, called, unsafe = values[finite], called[finite], unsafe[finite]
    if not len(values):
        values, called, unsafe = torch.zeros(1), torch.zeros(1).bool(), torch.zeros(1).bool()
    low, high = float(values.min()), float(values.max())
    high = high if high > low else low + 1.0
    bins = ((values - low) / (high - low) * BINS).long().clamp(0, BINS - 1)
    kinds = (called & ~unsafe, ~called & ~unsafe, called & unsafe, ~called & unsafe)
    return Profile(
        label, torch.linspace(low, high, BINS + 1), *(torch.bincount(bins[k], minlength=BINS) for k in kinds)
    )


def picture(shown: list[Profile], title: str, path: Path) -> None:
    """Histograms of the four kinds of states along every profile (PNG or what `path` ends in)."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    columns = min(3, max(1, len(shown)))
    rows = -(-max(1, len(shown)) // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(max(6.4, 4.6 * columns), 3.2 * rows + 0.9), squeeze=False, layout="constrained"
    )
    kinds = (
        ("safe, called safe", "#a9c4e4", "safe"),
        ("safe, called unsafe", "#f0a95a", "flagged"),
        ("unsafe, found", "#b03a2e", "found"),
        ("unsafe, missed", "#000000", "missed"),
    )
    for axis in axes.flat[len(shown) :]:
        axis.set_visible(False)
    for axis, p in zip(axes.flat, shown, strict=False):
        total = 0 * p.safe.float()
        width = float(p.edges[1] - p.edges[0])
        for name, color, kind in kinds:
            # Shares of each kind of record, so that a hundred unsafe states are seen beside a million safe ones.
            whole = p.safe + p.flagged if kind in ("safe", "flagged") else p.found + p.missed
            height = getattr(p, kind).float() / max(1, int(whole.sum()))
            if kind == "found":
                total = 0 * total
            sign = 1 if kind in ("safe", "flagged") else -1
            axis.bar(p.edges[:-1], sign * height, width, sign * total, align="edge", color=color, label=name)
            total = total + height
        axis.axhline(0, color="black", linewidth=0.6)
        axis.set_xlabel(p.label)
    axes[0][0].set_ylabel("share of the safe states (up)\nand of the unsafe (down)")
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=7)
    figure.suptitle(title, fontsize=9)
    try:
        with replacing(path) as partial:
            figure.savefig(partial, dpi=130, format=path.suffix[1:] or "png")
    except (UserError, ValueError) as error:  # a folder that is not there, an ending that is no kind of picture
        raise UserError(f"--plot {first_line(error)}") from None
    finally:
        plt.close(figure)

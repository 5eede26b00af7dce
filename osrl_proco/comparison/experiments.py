"""What each of the paper's tables needs: its columns, the runs that fill them, and what differs from the paper."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path

from ..core.errors import UserError, nearest
from ..core.files import read_text
from .grid import Arm

TASKS = (
    "PointButton1", "PointButton2", "PointGoal1", "PointGoal2", "PointPush1", "PointPush2", "CarButton1", "CarButton2",
    "CarGoal1", "CarGoal2", "CarPush1", "CarPush2", "SwimmerVelocity", "HopperVelocity", "HalfCheetahVelocity",
    "Walker2dVelocity", "AntVelocity",
)  # fmt: skip
LLM = "needs a function from a language model: osrl-proco cost generate"


@dataclass(frozen=True)
class Column:
    """One column of a paper's table.

    method: its name in paper.csv (or ours, where the paper has no numbers). arm: the runs that fill it; None with the
    reason in `why`. seed: which of the seeds, counted from 0, where a column is a single one.
    """

    method: str
    arm: Arm | None
    why: str = ""
    seed: int | None = None


@dataclass(frozen=True)
class Experiment:
    """A table of the paper, or a picture of its critics.

    table: its name in paper.csv. differs: what is not as in the paper, beside the data. tasks: the paper's. critics:
    whether what the runs call feasible is drawn and held against an oracle's (feasible.py).
    """

    name: str
    title: str
    table: str
    columns: tuple[Column, ...]
    differs: tuple[str, ...] = ()
    tasks: tuple[str, ...] = TASKS
    critics: bool = False

    @property
    def arms(self) -> list[Arm]:
        """The arms to run, each once."""
        return list(dict.fromkeys(c.arm for c in self.columns if c.arm is not None))


def _arm(algo: str, proco: bool, *flags: str, name: str = "") -> Arm:
    mode = "proco" if proco else "stock"
    form = ("--critic", "paper") if proco else ()  # in simulators the default is ours
    return Arm(f"{algo}-{mode}{'-' if name else ''}{name}", algo, proco, (*form, *flags))


_ZERO = ("--cost_limit", "0")  # the paper's soft-constraint baselines are trained with a limit of 0
_PROCO = _arm("fisor", True)
ORACLE = _arm("fisor", False, "--safe_only", "false", name="oracle")


def _ablation(method: str, flag: str) -> Column:
    return Column(method, _arm("fisor", True, "--ablation", flag, name=flag.replace("_", "-")))


def _unsafe(share: str, percent: str, proco: bool) -> Arm:
    return _arm("fisor", proco, "--unsafe_share", share, name=f"unsafe{percent}")


def _table6() -> tuple[Column, ...]:
    pairs = [("PROCO", _unsafe("0.1", "10", True)), ("FISOR", _unsafe("0.1", "10", False))]
    return tuple(Column(f"{name}_rand{i + 1}", arm, seed=i) for i in range(3) for name, arm in pairs)


def _figure5() -> tuple[Column, ...]:
    shares = (("0.1", "10"), ("0.2", "20"), ("0.5", "50"), ("1.0", "100"))
    return tuple(
        Column(f"{name} {percent}%", _unsafe(share, percent, name == "PROCO"))
        for share, percent in shares
        for name in ("PROCO", "FISOR")
    )


_CRITICS = (Column("FISOR", _arm("fisor", False)), Column("PROCO", _PROCO), Column("FISOR Oracle", ORACLE))

EXPERIMENTS = {
    e.name: e
    for e in (
        Experiment(
            "table1",
            "All algorithms on data without violations",
            "table1",
            (
                Column("BC", _arm("bc", False)),
                Column("CDT", _arm("cdt", False, *_ZERO)),
                Column("CCAC", _arm("ccac", False, *_ZERO)),
                Column("LSPC", _arm("lspc", False)),
                Column("CAPS", _arm("caps", False, *_ZERO)),
                Column("FISOR", _arm("fisor", False)),
                Column("LSPC+PROCO", _arm("lspc", True)),
                Column("CAPS+PROCO", _arm("caps", True)),
                Column("FISOR+PROCO", _PROCO),
            ),
            ("soft-constraint baselines are trained with a cost limit of 0, as in the paper",),
        ),
        Experiment(
            "table4",
            "Rounds of reflection of the language model",
            "table4_reflection_rounds",
            (*(Column(n, None, LLM) for n in ("0", "1", "5")), Column("10", _PROCO)),
            ("the column of 10 rounds is PROCO with the library's function, written by hand",),
        ),
        Experiment(
            "table5",
            "What the prompt asks for",
            "table5_prompt",
            (Column("PROCO", _PROCO), *(Column(n, None, LLM) for n in ("without_conservative", "without_role"))),
        ),
        Experiment(
            "table6",
            "Which 10 % of the unsafe data are there",
            "table6_unsafe10pct",
            _table6(),
            ("the n-th selection goes with the n-th of --seeds, so each of its cells is one run",),
        ),
        Experiment(
            "table7",
            "PROCO with soft-constraint algorithms",
            "table7_soft",
            (
                Column("CPQ", _arm("cpq", False, *_ZERO)),
                Column("CPQ+PROCO", _arm("cpq", True)),
                Column("BCQ-L", _arm("bcql", False, *_ZERO)),
                Column("BCQ-L+PROCO", _arm("bcql", True)),
                Column("COptiDICE", _arm("coptidice", False, *_ZERO)),
                Column("COptiDICE+PROCO", _arm("coptidice", True)),
            ),
            ("the stock algorithms are trained with a cost limit of 0; how the paper joins the two it does not say",),
        ),
        Experiment(
            "table9",
            "Ablations",
            "table9_ablation",
            (
                _ablation("without_model", "without_model"),
                _ablation("full_model", "full_model"),
                _ablation("without_relabel", "without_relabel"),
                _ablation("deterministic_rollout", "deterministic_rollout"),
                Column("without_conservative", None, LLM),
                Column("without_reflection", None, LLM),
            ),
        ),
        Experiment(
            "table10",
            "Length of the rollouts",
            "table10_rollout_param",
            tuple(
                Column(f"value{i}", _arm("fisor", True, "--rollout_length", k, name=f"k{k}"))
                for i, k in enumerate(("1", "5", "10"), start=1)
            ),
            (
                "the text of the paper that was at hand has lost the three lengths; ours are 1, 5 and 10, so the "
                "columns need not be of the same length",
                f"its second half, three language models, was not run: {LLM}",
            ),
        ),
        Experiment(
            "fig5",
            "With 10, 20, 50 and 100 % of the unsafe data",
            "fig5",
            _figure5(),
            ("the paper shows a picture; table6 has its numbers for 10 %",),
        ),
        Experiment(
            "fig2",
            "What FISOR, PROCO and an oracle with all data call feasible",
            "fig2",
            _CRITICS,
            ("the paper shows pictures of one layout, without numbers",),
            ("AntCircle",),
            critics=True,
        ),
        Experiment(
            "fig4b",
            "The critics' signs against those of an oracle with all data",
            "fig4b",
            _CRITICS,
            ("the paper shows a picture, of PROCO alone", "the states are all recorded ones that are not unsafe"),
            critics=True,
        ),
    )
}


def experiment(name: str) -> Experiment:
    """The table called `name`. Raises UserError with the nearest names."""
    if name not in EXPERIMENTS:
        known = list(EXPERIMENTS)
        raise UserError(f"reproduce: no table {name!r} (there are {', '.join(known)}){nearest(name, known)}")
    return EXPERIMENTS[name]


def paper_numbers(table: str) -> dict[tuple[str, str, str], tuple[float, float | None]]:
    """(task's short name, method, reward or cost) -> mean and standard deviation over seeds, as printed."""
    text = read_text(Path(__file__).with_name("paper.csv"))
    return {
        (row["task"].removesuffix("V1"), row["method"], row["metric"]): (
            float(row["mean"]),
            float(row["std"]) if row["std"] else None,
        )
        for row in csv.DictReader(io.StringIO(text))
        if row["table"] == table
    }

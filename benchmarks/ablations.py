"""What each part of FISOR's twin is worth, the paper's parts and ours, and what unsafe data bring: docs/ablations.md.

    python benchmarks/ablations.py --out runs/ablations --jobs 2

As docs/proof.md's runs but for the training seed, 2, on which nothing was chosen, and its evaluation seeds. Goes on
where it was stopped; `--report` trains nothing.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path

from proof import APART, STUDY
from rawrows import RawRows

from osrl_proco.comparison.grid import Arm
from osrl_proco.tasks.task import load_task

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "ablations.md"
IDS = {name: load_task(name).id for name in ("AntVelocity", "BallCircle", "CarGoal1", "CarRun")}
ROWS = RawRows("ablations", sorted(IDS.values()))
OURS = ("--critic", "ours")


def _ours(name: str, *flags: str) -> Arm:
    return Arm(name, "fisor", True, (*OURS, *flags))


ABLATIONS = replace(
    STUDY,
    arms=[
        Arm("stock", "fisor", False),
        _ours("twin"),
        # The paper's form, and its table 9.
        Arm("paper", "fisor", True, ("--critic", "paper")),
        _ours("no-model", "--ablation", "without_model"),
        _ours("full-model", "--ablation", "full_model", "--hold", "1"),
        _ours("no-relabel", "--ablation", "without_relabel"),
        _ours("deterministic", "--ablation", "deterministic_rollout"),
        # What is ours, each away by itself.
        _ours("no-margins", "--label", "observation", "--reads", "observation"),
        _ours("no-way-back", "--recover", "null", "--select", "minqc"),
        _ours("raw", "--standardise", "false"),
        _ours("h-25", "--h_max", "25", "--cost_temperature", "5"),
        # The paper's figure 5: shares of the unsafe data.
        Arm("stock-10", "fisor", False, ("--unsafe_share", "0.1")),
        _ours("twin-10", "--unsafe_share", "0.1"),
        Arm("stock-100", "fisor", False, ("--unsafe_share", "1")),
        _ours("twin-100", "--unsafe_share", "1"),
    ],
    looking=[],
    model="twin",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/ablations"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[2])
    parser.add_argument("--tasks", nargs="+", default=list(IDS), choices=list(IDS))
    parser.add_argument("--arms", nargs="+", default=ABLATIONS.names(), choices=ABLATIONS.names(), help="default: all")
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time")
    parser.add_argument("--report", action="store_true", help="train nothing")
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"  # of the processes that evaluate
    for seed in () if arguments.report else arguments.seeds:
        study = replace(ABLATIONS, first_seed=ABLATIONS.first_seed + APART * seed)
        for name in arguments.tasks:
            if missing := study.missing(ROWS.read(), IDS[name], seed) & set(arguments.arms):
                ROWS.merge(study.rows(IDS[name], seed, arguments.out, arguments.jobs, missing))
    ROWS.write_into(DOCUMENT)


if __name__ == "__main__":
    main()

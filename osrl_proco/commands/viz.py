"""`osrl-proco viz`."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..core.errors import UserError


def main(argv: list[str]) -> int:
    """Draw the feasible set or the dynamics model's errors of a run; the numbers go beside the picture as CSV."""
    arguments = _parser().parse_args(argv)
    from ..run.folder import RunFolder

    folder = RunFolder(Path(arguments.path))
    out = arguments.out or folder.path / f"{arguments.what}.png"
    if out.suffix.lower() != ".png":
        raise UserError(f"--out {out}: the name must end in .png")
    from ..run import pictures

    if arguments.what == "feasibility":
        oracle = RunFolder(Path(arguments.oracle)) if arguments.oracle else None
        lines = pictures.feasibility(folder, out, oracle, arguments.seed)
    else:
        if arguments.horizon < 1:
            raise UserError(f"--horizon: {arguments.horizon} must be 1 or more")
        lines = pictures.dynamics(folder, out, arguments.horizon)
    for line in lines:
        print(line)
    beside = sorted(p.name for p in out.parent.glob(f"{out.stem}*.csv"))
    print(f"{out} (numbers: {', '.join(beside)})")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="osrl-proco viz", description="Pictures of what a run has learned, with their numbers as CSV beside."
    )
    kinds = parser.add_subparsers(dest="what", required=True, metavar="feasibility | dynamics")
    feasibility = kinds.add_parser(
        "feasibility",
        help="what the critic calls feasible",
        description="Embedded tasks: V <= 0 beside the truth, data on top. Navigation and Circle tasks: V over the "
        "robot's positions in one layout. All: V before recorded violations, and the share of states on which the "
        "critic agrees with the truth or with an oracle (types 1, 2, 3 of the paper's figure 4(b)).",
    )
    feasibility.add_argument("--oracle", metavar="DIR", help="a run trained on all data (--safe_only false)")
    feasibility.add_argument("--seed", type=int, default=0, metavar="S", help="layout of the map (default: 0)")
    dynamics = kinds.add_parser(
        "dynamics",
        help="the model's error over the rollout horizon",
        description="Error of the observation and of what the cost function compares, after 1 to K steps of the "
        "recorded actions, against standing still.",
    )
    dynamics.add_argument("--horizon", type=int, default=10, metavar="K", help="steps (default: 10)")
    for kind in (feasibility, dynamics):
        kind.add_argument("--path", required=True, metavar="DIR", help="folder of the run")
        kind.add_argument("--out", type=Path, metavar="FILE.png", help="picture (default: in the run's folder)")
    return parser

"""What twins earn and cost by how their critic is told of danger and asked about it: docs/critic.md.

    python benchmarks/frontier.py --out runs/frontier --jobs 2

Safe-only data, the last checkpoint, 20 episodes; a training seed and evaluation seeds that docs/proof.md does not
report. Goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from rawrows import RawRows
from unwatched import Unwatched

from osrl_proco.comparison.grid import Arm
from osrl_proco.comparison.tables import markdown
from osrl_proco.tasks.task import load_task

IDS = {
    name: load_task(name).id
    for name in ("PointGoal1", "CarGoal1", "PointCircle1", "CarCircle1", "DroneRun", "BallCircle", "AntVelocity")
}
ROWS = RawRows("frontier", sorted(IDS.values()))
OURS = ("--critic", "ours")
BC = (*OURS, "--update_steps", "6000")
NO_LOST = (*BC, "--lost_alpha", "null")
HELD = (*OURS, "--recover", "null", "--select", "minqc")
STEP = (
    *HELD, "--hold", "1", "--feasibility_gamma", "0.9", "--expectile", "0.9", "--h_max", "25", "--model_share", "0.5",
    "--rollout_every", "2000", "--rollout_batch", "2000", "--rollout_length", "3",
)  # fmt: skip
LABEL = (*STEP, "--graded", "none", "--h_of", "left")
AT_ACTIONS = (*OURS, "--recover_where", "action")
# Inputs as they are and in deviations of the data, and an h_max of 25, 3 or 1, the last with weights of the same range:
# their temperatures are for differences of up to 26.
SCALES = [
    Arm(
        f"{algo}-{seen}-{h_max}",
        algo,
        True,
        (*AT_ACTIONS, "--standardise", standardise, "--h_max", h_max, "--cost_temperature", f"{temperature:g}"),
    )
    for algo, tuned in (("fisor", 5.0), ("lspc", 2.0), ("caps", 3.0))
    for h_max, temperature in (("25", tuned), ("3", tuned), ("1", tuned * 26 / 2))
    for seen, standardise in (("raw", "false"), ("standardised", "true"))
]
STUDY = Unwatched(
    arms=[
        Arm("reached", "fisor", True, (*LABEL, "--h_of", "reached")),
        Arm("expectile-.7", "fisor", True, (*LABEL, "--expectile", "0.7")),
        Arm("tau-.02", "fisor", True, (*LABEL, "--feasibility_tau", "0.02")),
        Arm("all", "fisor", True, (*STEP, "--graded", "all")),
        Arm("step", "fisor", True, STEP),
        # FISOR's temperature of 5 is for an h between -1 and 25: the same weights for another range.
        Arm("step-100", "fisor", True, (*STEP, "--h_max", "100", "--cost_temperature", "1.29")),
        Arm("step-.7", "fisor", True, (*STEP, "--expectile", "0.7")),
        Arm("caution-.3", "fisor", True, (*STEP, "--caution", "0.3")),
        Arm("caution-.6", "fisor", True, (*STEP, "--caution", "0.6")),
        # What comes below differs at test time only, but for the number of updates.
        Arm("held", "fisor", True, HELD),
        Arm("held-first", "fisor", True, (*HELD, "--select", "first")),
        Arm("held-recover", "fisor", True, (*OURS, "--select", "minqc")),
        Arm("ours", "fisor", True, OURS),
        Arm("held-10000", "fisor", True, (*HELD, "--update_steps", "10000")),
        Arm("ours-10000", "fisor", True, (*OURS, "--update_steps", "10000")),
        Arm("bc-none", "bc", True, (*NO_LOST, "--recover", "null")),
        Arm("bc-action", "bc", True, (*NO_LOST, "--recover_where", "action")),
        Arm("bc-lost", "bc", True, (*NO_LOST, "--recover_where", "lost")),
        Arm("bc-ours", "bc", True, BC),
        Arm("bc-ours-none", "bc", True, (*BC, "--recover", "null")),
        *SCALES,
    ],
    looking=[],
    model="ours",
    flags=("--preset", "laptop", "--update_steps", "3000", "--eval_every", "0", "--eval_episodes", "1"),
    first_seed=40_000,
    recorded=100,
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/frontier"), help="folder of the runs")
    parser.add_argument("--seeds", type=int, nargs="+", default=[7])
    parser.add_argument("--tasks", nargs="+", default=list(IDS), choices=list(IDS))
    parser.add_argument("--arms", nargs="+", default=STUDY.names(), choices=STUDY.names(), help="default: all")
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time")
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"  # of the processes that evaluate
    for seed in arguments.seeds:
        for name in arguments.tasks:
            if missing := STUDY.missing(ROWS.read(), IDS[name], seed) & set(arguments.arms):
                ROWS.merge(STUDY.rows(IDS[name], seed, arguments.out, arguments.jobs, missing))
    print(markdown(ROWS.read()))


if __name__ == "__main__":
    main()

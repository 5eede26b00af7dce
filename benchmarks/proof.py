"""PROCO's promise, fewer violations from data that have none, on every simulator task: `docs/proof.md`.

    python benchmarks/proof.py --out runs/proof --jobs 2 --seeds 0

Behaviour cloning, FISOR and others with their twins on the safe-only part of recordings of the scripted drivers; the
clone and FISOR's twin also with look-ahead, which is ours. The last checkpoint, 20 episodes. One task and seed after
the other, the paper's 17 tasks first; rows are written after each, and those that are there are not made again, so it
may be stopped at any time and goes on from the rows. `--report` trains nothing.
"""

from __future__ import annotations

import argparse
import math
import os
from dataclasses import replace
from pathlib import Path
from statistics import mean

from rawrows import RESULTS, RawRows
from unwatched import EPISODES, Unwatched

from osrl_proco.comparison.experiments import TASKS as PAPER
from osrl_proco.comparison.grid import Arm
from osrl_proco.comparison.rows import Row, read_rows
from osrl_proco.comparison.statistics import Cell, cells
from osrl_proco.comparison.tables import markdown
from osrl_proco.tasks.task import load_task

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "proof.md"
OTHERS = (
    "BallRun", "CarRun", "DroneRun", "AntRun", "BallCircle", "CarCircle", "DroneCircle", "AntCircle", "PointCircle1",
    "PointCircle2", "CarCircle1", "CarCircle2",
)  # fmt: skip
IDS = {name: load_task(name).id for name in (*PAPER, *OTHERS)}
ROWS = RawRows("proof", sorted(IDS.values()))
TWIN = "fisor-proco"
AHEAD = 15  # steps of the look-ahead
APART = 10_000  # each training seed is judged on evaluation seeds of its own
STUDY = Unwatched(
    arms=[
        Arm("bc-stock", "bc", False, ("--update_steps", "6000")),
        Arm("fisor-stock", "fisor", False),
        Arm(TWIN, "fisor", True, ("--critic", "ours")),
        Arm("fisor-oracle", "fisor", False, ("--safe_only", "false")),
        Arm("bcql-stock", "bcql", False),
        Arm("bcql-proco", "bcql", True, ("--critic", "ours")),
        Arm("bc-proco", "bc", True, ("--critic", "ours", "--update_steps", "6000")),
        # What critic and clone make of the same data with their violations.
        Arm("bc-oracle", "bc", True, ("--critic", "ours", "--update_steps", "6000", "--safe_only", "false")),
        Arm("caps-stock", "caps", False),
        Arm("caps-proco", "caps", True, ("--critic", "ours")),
        Arm("lspc-stock", "lspc", False),
        Arm("lspc-proco", "lspc", True, ("--critic", "ours")),
    ],
    looking=[("bc-stock", AHEAD), (TWIN, AHEAD), ("bc-proco", AHEAD)],
    model="bc-proco",  # that of all twins
    flags=("--preset", "laptop", "--update_steps", "3000", "--eval_every", "0", "--eval_episodes", "1"),
    first_seed=50_000,
    recorded=100,
)

NOTES = """## What is behind it

- **FISOR's twin** judges actions that are held for 15 steps on navigation tasks, takes the first of its samples that
  the critic lets pass, and where none passes another action, from all over the action space ([why](critic.md)). **The
  price is reward.** On the two Goal1 tasks it earns more by this than it did when it took the safest of 16 samples
  (`held` below); on the Push tasks it earns less: there FISOR's actor by itself, trained so short, runs away from the
  box, stock or twin, and the safest sample stood still instead (PointPush1, evaluation seeds from 40,000 on: the
  first sample -1.47 at a cost of .57, with the way back -1.16 at .00, the safest sample with it -.16 at .00; no rows
  kept).
- **BC's twin** (6,000 updates, as the clone), by the same critic, earns more than FISOR's nearly everywhere.
  *bc-proco-no-lost* is its form of before, which did not clone lost states ([why it does now](critic.md)), run on
  nearly all tasks; *bc-proco* as it is, run so far on those that have it: better on DroneRun (.54 at .00, it was .58
  at 7.39), CarCircle (.30 at .00, .23 at .06) and, with seed 1, Swimmer (.22 at .01, .19 at .20), worse in reward at
  no cost on BallCircle (.45, .50), CarRun (.57, .61) and AntRun (.19, .22); one training each, and on Bullet's tasks
  the critic's inputs are cut, too (below), so that the two cannot be told apart. The former costs more than FISOR's
  on the Button tasks, PointCircle1 and PointPush2. On navigation tasks its action gives way only where V warns too
  (`--recover_where lost`), a choice made on seed 7. On the tasks of this page that was no clear gain: over the twelve
  that were also judged with the action giving way wherever Q warns (`action` below) the mean reward is .01 and not
  -.02, the mean cost 1.36 and not 1.05. Car gains by it (CarGoal1 .28 and not .19, CarGoal2 .20 and not .07), Point
  pays (PointGoal1 .38 and not .00; PointPush2 2.86, one episode of 20 with 494 unsafe steps, and not .00).
- **Where they fail.** On the Button tasks half of the episodes of level 1 have danger: the cost function joins more
  than a dozen comparisons, with moving things among them, and the model foresees two thirds of that danger
  ([critic.md](critic.md)). FISOR's twin **earns next to nothing, or less than nothing**, but on a few tasks (Hopper,
  CarRun, CarGoal1). On AntVelocity it earned .27 without the way back and was as safe: none of 16 actions of eight
  torques is like the policy's, and a gait is lost with one of them. A twin that is sent back from a hazard often
  stands before it for the rest of the episode. A policy that draws among the actions that pass, and keeps to one for
  15 steps, earned .25 and not .13 on PointGoal1 (seed 7, 12 episodes) and cost 1.78 and not .12; with drawn actions
  of a Q of at most -.6, or only after 25 steps of being sent back, it earned .16 and still cost 1.45 to 1.71: whoever
  wanders before a hazard now and then gets into it, and stays (no rows kept). On Walker2d the way back makes the twin
  fall: an episode lasts 160 steps of 1,000 and earns .09, without it .57 at a cost of 3.7. There neither actions near
  the policy's own nor its own mixed with others helped (.09 to .17, the latter at a cost of 4.9; seed 7, no rows
  kept): a gait is slowed down over strides, not by one torque.
- **DroneRun** had both twins drive into danger where the clone did not (*-no-lost*, *-far*). The limit of y is six
  spreads of the data away, so that y's margin, cut as the critic reads it, hardly varied: .0007. What the model
  imagined near the limit was thousands of such deviations away, Q grew without end (loss 7,379 after 6,000 updates on
  seed 0), and no sign of it meant anything. Now inputs are cut at ten deviations, as the dynamics model's always were
  (loss .007; no rows kept), and training warns of a Q that leaves the range which h allows. To clone lost states had
  mended it on seed 7 (critic.md), on seed 0 not (.57 at 8.11; its rows were overwritten); the cut alone does
  ([critic.md](critic.md)). BC's twin is safe there now. FISOR's is not: its actor,
  trained so short, lets the drone drift and tilt, and what one step of the critic sees comes 10 steps too late for a
  drone; the way back did not help (3.7 without, 4.3 with it, 8 episodes on seeds from 40,000 on; no rows kept). In
  the recorded states of other tasks none (Swimmer) to 1 % (Walker2d; PointGoal1 .7 %) have an input beyond ten, on
  Hopper a third; there Q did not grow: the losses of BC's twins end at .12 or less (no rows kept).
- **The way back on other tasks**, a threshold of 0, is younger than on navigation tasks; `alone` below are the same
  trainings (BC and FISOR on Bullet's tasks, BC on the velocity tasks) or earlier ones (FISOR on the velocity tasks)
  without it, FISOR with the safest of 16 samples. It costs clones reward where they were safe without (AntVelocity
  .42 to .32, Hopper .59 to .54) and brings to safety what was not (Swimmer 22.4, Walker2d 4.1, CarCircle 1.6 and,
  FISOR, 13.9), at a half of the reward and more.
- **Other hosts** have the same way back. On CarGoal1 and PointGoal1 with seed 7, evaluation seeds from 40,000 on, 100
  recorded episodes, without the way back to with it (cost; reward; no rows kept; at this stage it took the safest of
  the 16, not the most similar that passes): CAPS 2.30 to .00 and .44 to .29 on CarGoal1, LSPC 3.91 to .04 and .46 to
  .24. BCQ-Lag and CAPS in the table, on the same two tasks: they too cost a third of their stock or less, and earn a
  third of it or less.
- **The oracle** is stock FISOR on all of the data, violations included (`--safe_only false`), as in the paper. After
  3,000 updates it is no oracle: it too costs and earns little, so what bounds FISOR's reward here is FISOR at this
  size, not the missing violations. What one may earn safely is better seen by the clones.
- **What was seen before.** All settings were found on seed 7 and evaluation seeds from 40,000 on of PointGoal1 and
  CarGoal1, and the way back was also tried on the models of seed 0 of PointGoal2, PointButton1 and PointPush1 and,
  with a threshold of 0, of Swimmer, Hopper, CarCircle, BallCircle, BallRun, CarRun and DroneCircle, there with
  evaluation seeds from 40,000 or 45,000 on. That a new form was needed was known from the rows of earlier ones,
  below, on the evaluation seeds of training seed 0: its tasks are no blind test, DroneRun least of all. Of training
  seed 1 the rows without the way back were seen before the last detail of it, the most similar action, was chosen.
- **Earlier forms** of the critic on the same data and seeds, and what depends on their models (rows in
  `benchmarks/results/proof-earlier.csv`; `wide`, commit 5348f15: margins read to 10 spreads, model and critic learn
  their jumps; `narrow`, 633c43d: cut at one spread; `three-widths`, 01ef286: both and .3; `inside`, 0dd5d06: also
  graded inside danger; all these judge single steps; `held`: the present twins without the way back and, FISOR, with
  the safest of 16 samples; `alone`, `action`: see above; `far`: the present form before the critic's inputs were
  cut). `wide` called more states lost than the forms after it, cost less than they on PointGoal1 and Swimmer, and
  paid with reward. Its rows on Swimmer were overwritten: .10 alone, 1.86 with look-ahead, the clone .61. One training
  each, and trainings differ: `inside` cost .74 on CarGoal1 on this seed and 1.77 on another.

@@EARLIER@@

- **How the rows came.** Twins that were trained before their way back was there were judged again with it:
  `--recover`, `--recover_where` and `--select` change what a policy does, not how it is trained. Their commit is that
  of the training. Training seed 1 has been run on those tasks whose numbers have intervals; two seeds make wide ones.
  The critic's inputs are cut at ten deviations in the rows of Bullet's twins (but FISOR's on BallRun) and of Hopper's
  with seed 1; the other twins are of before, as their commits say. BC's twin of the earlier form was run with seed 0
  only (Swimmer also 1), *bc-proco* with seed 1 on the paper's tasks and seed 0 on Bullet's. The other hosts were run
  on two tasks. The twin's look-ahead on PointGoal2 was stopped, and so were the runs of HalfCheetah with seed 1 and
  of BallRun anew.
- Stock rows of nine tasks are of earlier commits than the twins'; the code of stock runs did not change between, but
  the commit of the first four tasks' stock rows, 90383dd, is what their code lay on top of, uncommitted.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/proof"), help="folder of the runs")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--tasks", nargs="+", default=list(IDS), choices=list(IDS), help="default: all 29")
    parser.add_argument("--arms", nargs="+", default=STUDY.names(), choices=STUDY.names(), help="default: all")
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time")
    parser.add_argument("--report", action="store_true", help="train nothing")
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"  # of the processes that evaluate
    for seed in arguments.seeds:
        study = replace(STUDY, first_seed=STUDY.first_seed + APART * seed)
        for name in arguments.tasks:
            missing = study.missing(ROWS.read(), IDS[name], seed) & set(arguments.arms)
            if missing and not arguments.report:
                ROWS.merge(study.rows(IDS[name], seed, arguments.out, arguments.jobs, missing))
                DOCUMENT.write_text(document(ROWS.read()))
    DOCUMENT.write_text(document(ROWS.read()))


def goals(found: dict[tuple[str, str], Cell]) -> str:
    """How far each goal is, on those of the paper's tasks that the twin has been run on."""
    tasks = [task for name in PAPER if ((task := IDS[name]), TWIN) in found]
    if not tasks:
        return "None of the paper's 17 tasks has been run yet."
    lines = []
    for arm in dict.fromkeys(arm for task, arm in found if task in tasks):
        own = [found[task, arm] for task in tasks if (task, arm) in found]
        safe = sum(c.safe for c in own)
        lines.append(f"- {arm}: safe on {safe} of {len(own)}, mean cost {mean(c.cost for c in own):.2f}, "
                     f"mean reward {mean(c.reward for c in own):.2f}")  # fmt: skip
    stock, twin = (mean(found[task, arm].cost for task in tasks) for arm in ("fisor-stock", TWIN))
    ratio = twin / stock if stock else math.nan
    goal = f"There the twin's mean cost is {ratio:.2f} of stock's (the goal: at most .20, and safe on 12 of 17)."
    return "\n".join([*lines, "", goal])


def document(rows: list[Row]) -> str:
    """The results page."""
    if not rows:
        return "# The proof\n\nNothing has been run yet.\n"
    seeds, tasks = sorted({row["seed"] for row in rows}), list(dict.fromkeys(row["task"] for row in rows))
    twins = len({row["task"] for row in rows if row["arm"] == TWIN and row["task"] in map(IDS.get, PAPER)})
    absent = [name for name, task in IDS.items() if task not in tasks]
    note = f"\nNot run yet: {', '.join(absent)}.\n" if absent else ""
    return f"""# Does PROCO cut the cost in the simulators?

Written by `python benchmarks/proof.py`; the raw rows, one for each episode, are in
`benchmarks/results/proof_<task>.csv`. Machine: 2 cores, CPU; {rows[0]["versions"]}. Data: {STUDY.recorded} episodes of
the scripted drivers for each task (`data collect`, seed 0), not DSRL's; every transition that touches an unsafe state
is taken out. Settings: `--preset laptop`, 3,000 updates (the clone 6,000), the twins with `--critic ours` ([what that
is](critic.md)), the cost functions of the library, the last checkpoint, training seed{"s" * (len(seeds) > 1)}
{", ".join(map(str, seeds))}, {EPISODES} episodes on seeds from {STUDY.first_seed} on, with each further training seed
{APART} higher. *-ahead{AHEAD}: the same policy with `--lookahead {AHEAD}`, which is ours and not the paper's. Reward is
in DSRL's scale, cost over 10; ± is half of the 95 % interval over seeds (Student's t; none for one seed); bold: safe (a
cost of 1 or less).

On those of the paper's 17 tasks that the twin has been run on ({twins}):

{goals(cells(rows))}

{ROWS.table()}
{note}
{NOTES.replace("@@EARLIER@@", markdown(read_rows(RESULTS / "proof-earlier.csv")))}"""


if __name__ == "__main__":
    main()

"""Arms trained on one task with one seed and judged on evaluation seeds of their own, with and without look-ahead."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from osrl_proco.comparison.grid import Arm, Grid, Run
from osrl_proco.comparison.rows import Row, rows_of
from osrl_proco.run.evaluation import evaluate_run

EPISODES = 20


@dataclass(frozen=True)
class Unwatched:
    """What is trained and how it is judged.

    Args:
        looking: (arm, steps): judged again with so many steps of look-ahead, through the arm's own dynamics model.
        model: the arm whose model an arm without one looks through.
        first_seed: of the evaluation's episodes.
        recorded: episodes that the scripted drivers record where a task has no dataset yet.
    """

    arms: Sequence[Arm]
    looking: Sequence[tuple[str, int]]
    model: str
    flags: Sequence[str]
    first_seed: int
    recorded: int

    def names(self) -> list[str]:
        """Every arm that has rows in the end."""
        return [arm.name for arm in self.arms] + [ahead(name, steps) for name, steps in self.looking]

    def missing(self, rows: Iterable[Row], task: str, seed: int) -> set[str]:
        """Those of them that have no rows yet."""
        return set(self.names()) - {row["arm"] for row in rows if (row["task"], row["seed"]) == (task, seed)}

    def rows(self, task: str, seed: int, out: Path, jobs: int, arms: set[str]) -> list[Row]:
        """The rows of these arms; of a run that failed there are none."""
        looking = [(name, k) for name, k in self.looking if ahead(name, k) in arms]
        twins = {arm.name for arm in self.arms if arm.proco}
        through = {name: name if name in twins else self.model for name, _ in looking}
        trained = [arm for arm in self.arms if arm.name in {*arms, *through, *through.values()}]
        grid = Grid(trained, [task], [seed], self.flags, out, collect=self.recorded)
        try:
            print("\n".join(grid.train(jobs)), flush=True)
        except KeyboardInterrupt:
            raise SystemExit("Stopped; the same command goes on from here.") from None
        runs = {run.arm.name: run for run in grid.runs if run.finished()}
        wanted: list[tuple[Run, str, int, str | None]] = [
            (run, name, 0, None) for name, run in runs.items() if name in arms
        ]
        models = {run.arm.name: _flag(run.words, "--dynamics") for run in grid.runs if run.arm.name in through.values()}
        for name, k in looking:
            model = models[through[name]]
            if name in runs and Path(model).exists():
                wanted.append((runs[name], ahead(name, k), k, model))
        with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
            judged = [pool.submit(_judged, *one, self.first_seed) for one in wanted]
            return [row for one in judged for row in one.result()]


def ahead(arm: str, steps: int) -> str:
    """What an arm is called with look-ahead."""
    return f"{arm}-ahead{steps}"


def _judged(run: Run, arm: str, steps: int, model: str | None, first_seed: int) -> list[Row]:
    """Rows of a finished run's last checkpoint."""
    head = rows_of(run)[0]
    done = evaluate_run(
        run.folder,
        episodes=EPISODES,
        seed=first_seed,
        workers=0,
        lookahead=steps,
        dynamics=model,
        device="cpu",
        progress=False,
    )
    own = ("episode_seed", "return", "cost", "normalized_reward", "normalized_cost", "length")
    return [{**head, "arm": arm, **{name: row[name] for name in own}} for row in done.rows]


def _flag(words: Iterable[str], name: str) -> str:
    """The value of a flag in a command line."""
    words = list(words)
    return words[words.index(name) + 1]

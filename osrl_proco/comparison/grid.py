"""The grid of algorithms x tasks x seeds: what is missing is trained, what is there is reused.

Each run is a process of its own (`osrl-proco train`), so a crash costs one run; an interrupted one is resumed from its
checkpoint. Runs that need the same dataset or dynamics model share it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..core.errors import UserError
from ..core.files import make_folder
from ..run import settings
from ..run.folder import RunFolder
from .configuration import asked, differences, dynamics_key
from .datasets import Datasets
from .jobs import Engine, Job, Outcome, work
from .progress import Display

OWN = ("algo", "task", "seed", "proco", "logdir", "dynamics", "resume")  # flags that the grid itself gives each run


@dataclass(frozen=True)
class Arm:
    """One column of a comparison: an algorithm, stock or with PROCO, with its own flags.

    name: what tables call it; also part of the runs' folders. flags: `--name value`, above those of all runs.
    """

    name: str
    algo: str
    proco: bool
    flags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Run:
    """One cell of the grid: its command line, its settings, its folder."""

    arm: Arm
    task: str
    seed: int
    folder: RunFolder
    words: tuple[str, ...] = field(repr=False)
    settings: dict[str, Any] = field(repr=False, hash=False)
    needs: tuple[str, ...] = field(default=(), repr=False)

    @property
    def label(self) -> str:
        return f"{self.arm.name} on {self.task}, seed {self.seed}"

    def finished(self) -> bool:
        """Whether the run has made its last update and all episodes of its last evaluation."""
        if not (self.folder.path / "config.yaml").is_file():
            return False
        config = self.folder.read_config()
        last, wanted = str(config["update_steps"]), int(config["eval_episodes"])
        if sum(row["step"] == last for row in self.folder.table("eval.csv")) >= wanted:
            return True
        return any(row["step"] == last for row in self.folder.table("heldout.csv"))

    def started(self) -> bool:
        """Whether there is a checkpoint to go on from."""
        return self.folder.checkpoint.exists()


class Grid:
    """The runs of a comparison under one folder.

    Args:
        flags: words given to every run (`--preset laptop` ...), below an arm's own; `{task}` in them is the task's
            short name.
        out: folder of the comparison: `runs/`, `dynamics/`, `data/`, `logs/`.
        collect: episodes that scripted drivers record where a task has no dataset here (0: train fetches DSRL's).

    `notices`: a line for each thing that is done otherwise than one may expect. Raises UserError for any mistake in
    what is asked, before anything runs.
    """

    def __init__(
        self,
        arms: Sequence[Arm],
        tasks: Sequence[str],
        seeds: Sequence[int],
        flags: Sequence[str],
        out: Path,
        collect: int = 0,
    ) -> None:
        self.out, self.flags = out.resolve(), tuple(flags)
        self.runs: list[Run] = []
        self.notices: list[str] = []
        self.outcomes: dict[str, Outcome] = {}  # label -> how the run ended, of this call's jobs
        self.datasets = Datasets(self.out, self.flags, collect)
        self._models: dict[Path, tuple[str, tuple[str, ...], tuple[str, ...]]] = {}
        for seed in seeds:  # seeds outermost: after a third of the time there is a whole table of one seed
            for task in tasks:
                for arm in arms:
                    self.runs.append(self._run(arm, task, seed))
        twice = {run.label for run in self.runs if sum(run.label == other.label for other in self.runs) > 1}
        if twice:
            raise UserError(f"{min(twice)} is asked for twice; name every algorithm, task and seed once")

    def _run(self, arm: Arm, task: str, seed: int) -> Run:
        words = ["--algo", arm.algo, "--task", task, "--seed", str(seed), "--proco", str(arm.proco).lower()]
        words += ["--threads", "1", *self.flags, *arm.flags]
        dataset, needs = self.datasets.of(task)
        words = [word.replace("{task}", Path(task).stem) for word in words] + dataset
        config = settings.parse(words)  # a mistake is found before anything runs
        values = dataclasses.asdict(config)
        if arm.proco and config.model_share > 0 and config.ablation != "without_model" and not config.dynamics:
            label = f"dynamics model of {config.task}, seed {seed}"
            model = self.out / "dynamics" / f"{_short(config.task)}-seed{seed}-{dynamics_key(values)}.pt"
            self._models.setdefault(model, (f"{label} ({model.stem[-8:]})", tuple(words), needs))
            words += ["--dynamics", str(model)]
            needs = (*needs, self._models[model][0])
        folder = self._folder(arm, config.task, seed, values)
        words += ["--logdir", str(folder.path)]
        return Run(arm, config.task, seed, folder, tuple(words), values, needs)

    def _folder(self, arm: Arm, task: str, seed: int, values: dict[str, Any]) -> RunFolder:
        """The run's folder; another one, with a line that says so, where its own holds a run of other settings."""
        plain = RunFolder(self.out / "runs" / _short(task) / f"{arm.name}-seed{seed}")
        if not (plain.path / "config.yaml").exists():
            return plain
        other = differences(plain.read_config(), values)
        if not other:
            return plain
        folder = RunFolder(plain.path.with_name(f"{plain.path.name}-{asked(values)}"))
        shown = "; ".join(other[:3]) + (f"; {len(other) - 3} more" if len(other) > 3 else "")
        self.notices.append(
            f"{arm.name} on {task}, seed {seed}: the run in {self.relative(plain.path)} has other settings ({shown}); "
            f"it is kept and not used, this one is in {folder.path.name}"
        )
        return folder

    def relative(self, path: Path) -> str:
        """A path as seen from the comparison's folder."""
        return str(path.relative_to(self.out)) if path.is_relative_to(self.out) else str(path)

    def missing(self) -> list[Run]:
        """The runs that are not finished."""
        return [run for run in self.runs if not run.finished()]

    def jobs(self, slots: int = 1) -> list[Job]:
        """What is to be done: every run behind the dataset and the dynamics model that it is the first to need."""
        models = {
            label: self._job(
                label, ("dynamics", "fit", *words, "--out", str(path)), f"dynamics-{path.stem}", needs=needs
            )
            for path, (label, words, needs) in self._models.items()
            if not path.exists()
        }
        data = {
            label: self._job(label, words, f"data-{path.stem}") for label, path, words in self.datasets.missing(slots)
        }
        there = data | models
        jobs: dict[str, Job] = {}

        def add(job: Job) -> None:
            if job.label in jobs:
                return
            needs = _among(job.needs, there)
            for label in needs:
                add(there[label])
            jobs[job.label] = dataclasses.replace(job, needs=needs)

        for run in self.missing():
            add(self._training(run))
        return list(jobs.values())

    def _training(self, run: Run) -> Job:
        again = ["train", "--resume", str(run.folder.path)]
        for flag in ("--dynamics", "--dataset", "--threads"):  # the folder may have moved since
            value = _last(run.words, flag)
            again += [flag, value] if value is not None else []
        return self._job(
            run.label, ("train", *run.words), log_name(run), run.folder.checkpoint, tuple(again), run.needs
        )

    def _job(
        self,
        label: str,
        words: tuple[str, ...],
        log: str,
        checkpoint: Path | None = None,
        again: tuple[str, ...] = (),
        needs: tuple[str, ...] = (),
    ) -> Job:
        threads = int(_last(words, "--threads") or 1)
        file = self.out / "logs" / f"{log}.log"
        return Job(label, words, file, Path.cwd(), checkpoint, again, threads, needs)

    def train(self, jobs: int = 1, engine: Engine | None = None) -> list[str]:
        """Train what is missing, `jobs` runs at a time (or as `engine` does); a line for each run that failed.

        Raises KeyboardInterrupt after Ctrl-C, when the runs have saved their checkpoints. `outcomes` says how each
        ended in both cases.
        """
        from .local import LocalEngine

        for name in ("logs", "dynamics", "data"):
            make_folder(self.out / name, "--out")
        engine = engine or LocalEngine(jobs)
        todo = self.jobs(engine.slots)
        with Display(self.runs, todo) as display:
            try:
                self.outcomes = work(todo, engine, display.show)
            except KeyboardInterrupt as stop:
                self.outcomes = stop.args[0] if stop.args else {}
                raise
        return [
            f"{job.label}: {self.outcomes[job.label].reason} (see {self.relative(job.log)})"
            for job in todo
            if self.outcomes[job.label].status == "failed"
        ]


def log_name(run: Run) -> str:
    """The name of a run's log, without its ending."""
    return f"{_short(run.task)}-{run.folder.path.name}"


def _last(words: Iterable[str], flag: str) -> str | None:
    """The value of `flag` that counts: the last one."""
    left, value = list(words), None
    while True:
        left, found = settings.take(left, flag)
        if found is None:
            return value
        value = found


def arms(algos: Sequence[str], stock: str = "both") -> list[Arm]:
    """The arms of the named algorithms: `stock` is both, only or no. Raises UserError for an unknown name."""
    from ..algorithms.registry import algorithm

    if stock not in ("both", "only", "no"):
        raise UserError(f"--stock: {stock!r} is not both, only or no")
    found: list[Arm] = []
    for name in algos:
        spec = algorithm(name)
        if stock != "no" or not spec.twin:
            found.append(Arm(spec.name if not spec.twin else f"{spec.name}-stock", spec.name, False))
        if stock != "only" and spec.twin:
            found.append(Arm(f"{spec.name}-proco", spec.name, True))
    return found


def _short(task: str) -> str:
    """A task as part of a file's name: its id, or the name of its file."""
    return Path(task).stem if task.endswith((".yaml", ".yml")) else task


def _among(labels: tuple[str, ...], there: Container[str]) -> tuple[str, ...]:
    return tuple(label for label in labels if label in there)

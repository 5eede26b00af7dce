"""The grid of algorithms x tasks x seeds: what is missing is trained, what is there is reused.

Each run is a process of its own (`osrl-proco train`), so a crash costs one run; an interrupted one is resumed from its
checkpoint. Runs that need the same dynamics model share it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path

from tqdm.auto import tqdm

from ..core.errors import UserError
from ..core.files import make_folder
from ..run import settings
from ..run.folder import RunFolder


@dataclass(frozen=True)
class Arm:
    """One column of a comparison: an algorithm, stock or with PROCO, with its own flags.

    name: what tables call it; also part of the runs' folders.
    """

    name: str
    algo: str
    proco: bool
    flags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Run:
    """One cell of the grid: its command line and its folder."""

    arm: Arm
    task: str
    seed: int
    folder: RunFolder
    words: tuple[str, ...] = field(repr=False)

    @property
    def label(self) -> str:
        return f"{self.arm.name} on {self.task}, seed {self.seed}"

    def finished(self) -> bool:
        """Whether the run has made its last update and its evaluation."""
        if not (self.folder.path / "config.yaml").is_file():
            return False
        last = int(self.folder.read_config()["update_steps"])
        return any(row["step"] == str(last) for row in self.folder.table("eval.csv"))


class Grid:
    """The runs of a comparison under one folder.

    Args:
        flags: words given to every run (`--preset laptop` ...), below an arm's own.
        out: folder of the comparison: `runs/`, `dynamics/`, `logs/`.
    """

    def __init__(
        self, arms: Sequence[Arm], tasks: Sequence[str], seeds: Sequence[int], flags: Sequence[str], out: Path
    ) -> None:
        self.out, self.flags = out, tuple(flags)
        self.runs: list[Run] = []
        self._models: dict[tuple[str, int], Path] = {}
        for seed in seeds:  # seeds outermost: after a third of the time there is a whole table of one seed
            for task in tasks:
                for arm in arms:
                    self.runs.append(self._run(arm, task, seed))

    def _run(self, arm: Arm, task: str, seed: int) -> Run:
        words = ["--algo", arm.algo, "--task", task, "--seed", str(seed), "--proco", str(arm.proco).lower()]
        words += ["--threads", "1", *self.flags, *arm.flags]
        config = settings.parse(words)  # a mistake is found before anything runs
        folder = RunFolder(self.out / "runs" / config.task / f"{arm.name}-seed{seed}")
        if arm.proco and config.model_share > 0 and config.ablation != "without_model" and not config.dynamics:
            model = self.out / "dynamics" / f"{config.task}-seed{seed}.pt"
            self._models[(config.task, seed)] = model
            words += ["--dynamics", str(model)]
        return Run(arm, config.task, seed, folder, (*words, "--logdir", str(folder.path)))

    def missing(self) -> list[Run]:
        """The runs that are not finished."""
        return [run for run in self.runs if not run.finished()]

    def train(self, jobs: int = 1) -> list[str]:
        """Train what is missing, `jobs` runs at a time; the labels of the runs that failed, with the reason."""
        make_folder(self.out / "logs", "--out")
        make_folder(self.out / "dynamics", "--out")
        failed: list[str] = []
        missing = self.missing()
        with (
            ThreadPoolExecutor(jobs) as pool,
            tqdm(total=len(self.runs), initial=len(self.runs) - len(missing), desc="Runs") as bar,
        ):
            models = {pool.submit(self._fit, task, seed, path) for (task, seed), path in self._needed(missing)}
            for future in as_completed(models):
                failed += future.result()
            pending = {pool.submit(self._train, run): run for run in missing}
            try:
                for future in as_completed(pending):
                    failed += future.result()
                    bar.update()
            except KeyboardInterrupt:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        return failed

    def _needed(self, missing: Sequence[Run]) -> Iterator[tuple[tuple[str, int], Path]]:
        for key, path in self._models.items():
            if not path.exists() and any((r.task, r.seed) == key and r.arm.proco for r in missing):
                yield key, path

    def _fit(self, task: str, seed: int, path: Path) -> list[str]:
        words = ["dynamics", "fit", "--task", task, "--seed", str(seed), "--threads", "1", "--out", str(path)]
        return self._call([*words, *self.flags], f"dynamics-{path.stem}", f"dynamics model of {task}, seed {seed}")

    def _train(self, run: Run) -> list[str]:
        name = f"{run.task}-{run.folder.path.name}"
        if run.folder.checkpoint.exists():
            return self._call(["train", "--resume", str(run.folder.path)], name, run.label)
        return self._call(["train", *run.words], name, run.label)

    def _call(self, words: list[str], log: str, label: str) -> list[str]:
        """Run `osrl-proco words` with its output in a log file; what went wrong, if anything."""
        file = self.out / "logs" / f"{log}.log"
        with file.open("a") as handle:
            done = subprocess.run(
                [sys.executable, "-W", "ignore", "-m", "osrl_proco", *words],
                stdout=handle,
                stderr=handle,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
                check=False,
            )
        if done.returncode == 0:
            return []
        lines = file.read_text(errors="replace").strip().splitlines()
        return [f"{label}: exit status {done.returncode} ({lines[-1] if lines else 'no output'}); see {file}"]


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

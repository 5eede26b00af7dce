"""Which data each task of a comparison is learned from; recordings that are missing are made once and shared."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..core.errors import UserError
from ..run import settings
from ..tasks.task import load_task

COLLECT_SEED = 0


class Datasets:
    """The datasets under one comparison's folder.

    Args:
        flags: flags of all runs; a `--dataset` among them settles it.
        collect: episodes to record where a simulated task has no dataset on this machine; 0: never.
    """

    def __init__(self, out: Path, flags: Sequence[str], collect: int) -> None:
        self.out, self.collect = out, collect
        self.given = settings.take(list(flags), "--dataset")[1]
        self.sources: dict[str, str] = {}  # task -> what its data are, in words
        self._files: dict[str, Path] = {}

    def of(self, task: str) -> tuple[list[str], tuple[str, ...]]:
        """Flags that name a task's data, and the label of the job that must make them first."""
        known = load_task(task)
        if self.given is not None:
            self.sources[known.id] = Path(self.given.replace("{task}", Path(task).stem)).name
            return [], ()
        if known.simulator == "embedded":
            self.sources[known.id] = "recorded in its own simulator when a run starts"
            return [], ()
        if not self.collect or known.simulator == "none" or _dsrl_is_here(known.id):
            self.sources[known.id] = "DSRL's"
            return [], ()
        file = self._files.setdefault(known.id, self.out / "data" / f"{known.id}-{self.collect}.hdf5")
        self.sources[known.id] = f"{self.collect} episodes of the scripted drivers (data collect), not DSRL's"
        return ["--dataset", str(file)], (_label(known.id),)

    def missing(self, slots: int) -> list[tuple[str, Path, tuple[str, ...]]]:
        """(label, file, command) of every recording that is to be made; they share `slots` processes."""
        files = {task: file for task, file in self._files.items() if not file.exists()}
        workers = max(1, min(slots, 64) // max(1, len(files)))
        return [
            (
                _label(task),
                file,
                (
                    *("data", "collect", "--task", task, "--episodes", str(self.collect)),
                    *("--seed", str(COLLECT_SEED), "--workers", str(workers), "--out", str(file)),
                ),
            )
            for task, file in files.items()
        ]


def _label(task: str) -> str:
    return f"dataset of {task}"


def _dsrl_is_here(task: str) -> bool:
    from ..data.download import dataset_file, dataset_folder

    try:
        return (dataset_folder() / dataset_file(task)).is_file()
    except (UserError, ImportError):
        return False

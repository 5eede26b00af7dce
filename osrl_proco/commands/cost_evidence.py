"""The states that a cost function is held against, from a dataset."""

from __future__ import annotations

from ..core.errors import UserError
from ..core.files import require_regular
from ..costs.writing.evidence import Evidence
from ..data.load import load_dataset, load_file, unsafe_file
from ..data.split import safe_only
from ..envs.make import make_env
from ..tasks.task import Task


def gather(task: Task, dataset: str | None, keep_unsafe: int | None = None, seed: int = 0) -> Evidence:
    """The states of a dataset: those of its safe-only part, and its violations (or `keep_unsafe` of them).

    A safe-only file has its violations beside it, in FILE with the ending .unsafe.hdf5.
    """
    if keep_unsafe is not None and keep_unsafe < 0:
        raise UserError(f"--keep_unsafe: {keep_unsafe} must not be negative")
    if not 0 <= seed < 2**32:
        raise UserError(f"--seed: {seed} must be from 0 to {2**32 - 1}")
    if dataset:
        require_regular(dataset, "--dataset")
    # A file needs no simulator; without a file the environment has the data.
    data = load_file(dataset, task) if dataset else load_dataset(make_env(task), task.id)
    parts = safe_only(data, len(data) if keep_unsafe is None else keep_unsafe, seed)
    if len(parts.unsafe) == 0 and keep_unsafe != 0 and dataset and unsafe_file(dataset).is_file():
        return Evidence.of(parts.safe, load_file(unsafe_file(dataset), task))
    return Evidence.of(parts.safe, parts.unsafe)

"""From a file that somebody else may have written to a cost function that may run here."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from ...core.errors import UserError
from ...core.files import read_text
from ...core.resources import COST_LIBRARY
from ...tasks.task import Task
from ..language.function import CostFunction
from ..language.operations import LanguageError
from .trial import Trial, try_out

TRIED_ON = 2_000  # states on which a text runs in the sandbox before it labels whole datasets here


def load_tried(path: str | Path, task: Task, states: Tensor) -> tuple[CostFunction, Trial]:
    """The cost function in a file, after it has passed the sandbox on some of `states` (N, obs_dim).

    Raises UserError if the file cannot be read, or what it holds was stopped, or the sandbox could not be set up.
    """
    source = read_text(path)
    order = torch.randperm(len(states), generator=torch.Generator().manual_seed(0))[:TRIED_ON]
    trial = try_out(source, task, states[order.to(states.device)])
    if not trial.ok:
        raise UserError(f"{path}: {trial.reason} (stopped by: {trial.stopped_by})")
    return CostFunction(source, task), trial


def load_cost_function(path: str | Path, task: Task) -> CostFunction:
    """The cost function in a file, tried once; in the sandbox, on noise, where it is not one of the library's.

    Raises UserError if the file cannot be read, or what it holds is not in the language or fails.
    """
    if Path(path).parent != COST_LIBRARY:
        return load_tried(path, task, torch.randn(64, task.obs_dim, generator=torch.Generator().manual_seed(0)))[0]
    try:
        function = CostFunction(read_text(path), task)
        function.raw(torch.zeros(3, task.obs_dim))
    except LanguageError as error:  # the library's function for another task's observation
        raise UserError(f"{path}: {error}") from None
    return function

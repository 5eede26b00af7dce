"""From a file that somebody else may have written to a cost function that may run here."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from ...core.errors import UserError
from ...tasks.task import Task
from ..language.function import CostFunction
from .trial import Trial, try_out

TRIED_ON = 2_000  # states on which a text runs in the sandbox before it labels whole datasets here


def read_text(path: Path) -> str:
    """The text of a cost function's file. Raises UserError where it cannot be read."""
    try:
        return path.read_text()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror} (cost function)") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: not a text file; a cost function is one function: def cost(obs)") from None


def load_tried(path: Path, task: Task, states: Tensor) -> tuple[CostFunction, Trial]:
    """The cost function in a file, after it has passed the sandbox on some of `states` (N, obs_dim).

    Raises UserError if the file cannot be read, or what it holds was stopped.
    """
    source = read_text(path)
    order = torch.randperm(len(states), generator=torch.Generator().manual_seed(0))[:TRIED_ON]
    trial = try_out(source, task, states[order.to(states.device)])
    if not trial.ok:
        raise UserError(f"{path}: {trial.reason} (stopped by: {trial.stopped_by})")
    return CostFunction(source, task), trial

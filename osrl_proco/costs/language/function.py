"""A cost function: text in the language of cost functions, bound to a task's observation layout."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from torch import Tensor

from ...core.errors import UserError
from ...tasks.task import Task
from .grammar import parse
from .interpreter import Evaluation
from .operations import LanguageError

BLOCK = 65_536  # states evaluated at a time; what one block may compute is bounded, so memory is


class CostFunction:
    """observations (..., obs_dim) -> 1 where unsafe, 0 where safe (...,), float32, on the observations' device.

    The text is interpreted, never executed by Python. Fails closed: a state with an entry that is not finite, and
    one for which the text gives anything but 0 or 1, is unsafe. Raises LanguageError for a text that is not in the
    language (at construction) or whose result has the wrong shape (when called).
    """

    def __init__(self, source: str, task: Task) -> None:
        self.source, self.task = source, task
        self.tree = parse(source)
        self.sha256 = hashlib.sha256(source.encode()).hexdigest()

    @property
    def provenance(self) -> str:
        """The comment lines at the head of the text: who wrote it, from what."""
        lines = []
        for line in self.source.splitlines():
            if not line.startswith("#"):
                break
            lines.append(line.lstrip("# ").rstrip())
        return "\n".join(lines)

    @torch.no_grad()
    def raw(self, observations: Tensor) -> Tensor:
        """What the text itself returns, checked for shape and kind only; never a view of the observations."""
        if observations.shape[-1] != self.task.obs_dim:
            raise ValueError(
                f"observations have {observations.shape[-1]} entries, {self.task.id} has {self.task.obs_dim}"
            )
        observations = observations.detach()
        states = observations.reshape(-1, observations.shape[-1])
        labels = torch.cat([self._block(block, observations) for block in states.split(BLOCK)])
        return labels.reshape(observations.shape[:-1])

    def _block(self, states: Tensor, observations: Tensor) -> Tensor:
        result = Evaluation(self.task, states).run(self.tree)
        if not isinstance(result, Tensor):
            raise LanguageError(self.tree, "return a tensor with one value per state, not a number")
        batch = observations.shape[:-1]
        if result.shape != states.shape[:1]:
            shape = (*batch, *result.shape[1:]) if result.dim() else ()
            raise LanguageError(
                self.tree,
                f"returned shape {tuple(shape)} for states of shape {tuple(batch)}: one value "
                "per state is needed; reduce the entry's own axis with x[..., 0] or dim=-1",
            )
        return result

    def __call__(self, observations: Tensor) -> Tensor:
        result = self.raw(observations).float()
        # The sum of a state is not finite where any entry is not; one pass, a twentieth of the time of asking each.
        safe = (result == 0) & torch.isfinite(observations.sum(-1))
        return (~safe).float()


def load_cost_function(path: Path, task: Task) -> CostFunction:
    """The cost function in a file, tried once. Raises UserError if it is missing, not in the language, or fails."""
    try:
        function = CostFunction(path.read_text(encoding="utf-8"), task)
        function.raw(torch.zeros(3, task.obs_dim))
        return function
    except OSError as error:
        raise UserError(f"{path}: {error.strerror} (--cost_function)") from None
    except (LanguageError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: {error}") from None

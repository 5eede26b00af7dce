"""A cost function: text in the language of cost functions, bound to a task's observation layout."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

from ...tasks.task import Task
from .grammar import parse
from .interpreter import Evaluation
from .operations import LanguageError

BLOCK = 8_192  # states evaluated at a time, each with 32 KiB of results at most: a quarter of a GiB


class CostFunction:
    """observations (..., obs_dim) -> 1 where unsafe, 0 where safe (...,), float32, on the observations' device.

    The text is interpreted, never executed by Python. Fails closed: a state is unsafe that has an entry which is not
    finite, for which any intermediate result is not finite (even where a comparison hides it), or for which the text
    gives anything but 0 or 1. Raises LanguageError for a text that is not in the language (at construction) or whose
    result has the wrong shape (when called).
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
        """What the text itself returns, checked for shape and kind only; never a view of the observations.

        Where it returns a number although one on the way was not finite, that is 1.
        """
        if observations.shape[-1] != self.task.obs_dim:
            raise ValueError(
                f"observations have {observations.shape[-1]} entries, {self.task.id} has {self.task.obs_dim}"
            )
        observations = observations.detach()
        blocks = observations.reshape(-1, observations.shape[-1]).split(BLOCK)
        batch = observations.shape[:-1]
        results, doubts = zip(*(self._block(block, batch) for block in blocks), strict=True)
        # One look at all blocks at the end, so that a GPU is waited for once.
        unsound = torch.stack(doubts).isnan().tolist()
        labels = [
            self._closed(block, batch) if again else result
            for block, result, again in zip(blocks, results, unsound, strict=True)
        ]
        return torch.cat(labels).reshape(batch)

    def _closed(self, states: Tensor, batch: torch.Size) -> Tensor:
        """The results with a 1 for the states where something on the way was not finite."""
        result, unsound = self._block(states, batch, by_state=True)
        hidden = unsound.isnan() & result.isfinite()
        return result | hidden if result.dtype == torch.bool else result.masked_fill(hidden, 1)

    def _block(self, states: Tensor, batch: torch.Size, by_state: bool = False) -> tuple[Tensor, Tensor]:
        """The results, and NaN where a number was not finite (see Evaluation)."""
        evaluation = Evaluation(self.task, states, by_state)
        result = evaluation.run(self.tree)
        if not isinstance(result, Tensor):
            raise LanguageError(self.tree, "return a tensor with one value per state, not a number")
        if result.shape != states.shape[:1]:
            shape = (*batch, *result.shape[1:]) if result.dim() else ()
            raise LanguageError(
                self.tree,
                f"returned shape {tuple(shape)} for states of shape {tuple(batch)}: one value "
                "per state is needed; reduce the entry's own axis with x[..., 0] or dim=-1",
            )
        return result, evaluation.unsound

    def __call__(self, observations: Tensor) -> Tensor:
        return (self.raw(observations) != 0).float()

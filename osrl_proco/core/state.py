"""What a checkpoint holds of an object: a declared list of parts that training changes, never a guess.

Hyperparameters (learning rates, discounts, limits) are no state: a resumed run takes them from its settings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

Parts = Mapping[str, Any]  # name -> module, optimizer, tensor, anything with state_dict, or again such a mapping


class Attributes:
    """Plain attributes that training changes: numbers and tensors, `owner.name` or deeper (`controller.error_old`)."""

    def __init__(self, owner: Any, names: Sequence[str]) -> None:
        self._owner, self._names = owner, names

    def _find(self, name: str) -> tuple[Any, str]:
        *path, leaf = name.split(".")
        owner = self._owner
        for step in path:
            owner = getattr(owner, step)
        return owner, leaf

    def state_dict(self) -> dict[str, Any]:
        values = {name: getattr(*self._find(name)) for name in self._names}
        return {k: _saved(v) for k, v in values.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        for name in self._names:
            owner, leaf = self._find(name)
            now = getattr(owner, leaf)
            if isinstance(now, Tensor) and isinstance(state[name], (Tensor, int)):
                now.data.copy_(torch.as_tensor(state[name]))  # in place: an optimizer may hold it
            else:
                setattr(owner, leaf, state[name])


def optimizers_of(parts: Parts) -> list[torch.optim.Optimizer]:
    """Every optimizer among the parts."""
    found: list[torch.optim.Optimizer] = []
    for part in parts.values():
        if isinstance(part, torch.optim.Optimizer):
            found.append(part)
        elif isinstance(part, Mapping):
            found += optimizers_of(part)
    return found


def _saved(value: Any) -> Any:
    if isinstance(value, Tensor):
        counter = value.dim() == 0 and value.dtype == torch.int64
        return int(value) if counter else value.detach().clone()  # a count is one wherever it is kept
    return value


def state_of(parts: Parts) -> dict[str, Any]:
    """The state of all parts: tensors and plain values only."""
    return {name: _state(part) for name, part in parts.items()}


def restore(parts: Parts, state: Mapping[str, Any]) -> None:
    """Put `state` back. Raises KeyError, RuntimeError or ValueError where it is of other parts."""
    for name, part in parts.items():
        _restore(part, state[name])


def _state(part: Any) -> Any:
    if isinstance(part, Mapping):
        return state_of(part)
    if isinstance(part, torch.optim.Optimizer):
        return part.state_dict()["state"]
    if isinstance(part, nn.Module):
        return dict(part.state_dict())
    if isinstance(part, Tensor):
        return part.detach().clone()
    return part.state_dict()


def _restore(part: Any, state: Any) -> None:
    if isinstance(part, Mapping):
        restore(part, state)
    elif isinstance(part, torch.optim.Optimizer):
        part.load_state_dict({"state": state, "param_groups": part.state_dict()["param_groups"]})
    elif isinstance(part, Tensor):
        part.data.copy_(state)
    else:
        part.load_state_dict(state)

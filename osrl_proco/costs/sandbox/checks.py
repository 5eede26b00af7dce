"""What a cost function must do on real observations before it is believed. Everything else is a rejection."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

SINGLE_ROWS = 8  # states that are also labelled one by one


class Rejected(ValueError):
    """The function ran, but what it did is not one label per state."""


def check(call: Callable[[Tensor], Tensor], observations: Tensor) -> Tensor:
    """The labels of `observations` (N, obs_dim), N > 0: float32 (N,), each 0 or 1.

    Raises Rejected where `call` returns anything but one 0 or 1 per finite state, changes the observations, returns
    a view of them or one number spread over all, answers differently when asked again, or lets the label of a state
    depend on the order, the number or the arrangement of the others.
    """
    result = _ask(call, observations)
    if len(result) > 1 and result.stride(0) == 0:
        raise Rejected("returned one number spread over all states")
    finite = torch.isfinite(observations).all(-1)
    wrong = finite & ~((result == 0) | (result == 1))  # NaN is neither
    if wrong.any():
        example = float(result[wrong][0].real)
        raise Rejected(f"{int(wrong.sum())} of {len(result)} states are neither 0 nor 1, for example {example:.4g}")
    labels = ((result != 0) | ~finite).float()
    for name, rows, shape in _arrangements(*observations.shape):
        again = _ask(call, observations[rows].reshape(*shape, observations.shape[1]))
        differ = ((again.reshape(-1) != 0) | ~finite[rows]).float() != labels[rows]
        if differ.any():
            raise Rejected(f"{int(differ.sum())} of {len(rows)} labels change for {name}")
    return labels


def _ask(call: Callable[[Tensor], Tensor], batch: Tensor) -> Tensor:
    """What `call` returns for `batch` (..., obs_dim): one value per state of its own, the batch as it was."""
    before = batch.clone()
    result = call(batch)
    if not isinstance(result, Tensor):
        raise Rejected("returned a number, not one label per state")
    if result.shape != batch.shape[:-1]:
        raise Rejected(f"returned shape {tuple(result.shape)} for states of shape {tuple(batch.shape[:-1])}")
    if not torch.equal(batch.contiguous().view(torch.uint8), before.contiguous().view(torch.uint8)):  # NaN is itself
        raise Rejected("changed the observations in place")
    if batch.numel() and _storage(result) == _storage(batch):
        raise Rejected("returned a part of the observations themselves")
    return result


def _arrangements(count: int, width: int) -> Iterator[tuple[str, Tensor, tuple[int, ...]]]:
    """The same states in other batches: (what is different, their rows, the shape of the batch)."""
    every = torch.arange(count)
    shuffled = torch.randperm(count, generator=torch.Generator().manual_seed(0))
    yield "the same states a second time", every, (count,)
    yield "the same states in another order", shuffled, (count,)
    yield "the same states in two rows", every[: count // 2 * 2], (2, count // 2)
    yield "an empty batch", every[:0], (0,)
    for i in torch.linspace(0, count - 1, min(count, SINGLE_ROWS)).long().tolist():
        yield "a state on its own", every[i : i + 1], ()
    for size in range(1, min(count, width + 1) + 1):  # where the batch is as long as an entry is wide, axes can mix
        yield f"the first {size} states", every[:size], (size,)


def _storage(x: Tensor) -> int:
    storage = x.untyped_storage() if hasattr(x, "untyped_storage") else x.storage()  # torch 1.13 has the latter only
    return storage.data_ptr()

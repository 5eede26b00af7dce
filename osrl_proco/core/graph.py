"""One update as one CUDA graph: the CPU starts it as a whole, not kernel after kernel.

An update of small networks is some hundred kernels of a few microseconds each, and to start one takes the CPU longer
than the GPU needs to run it. A graph holds the addresses that its kernels read and write, so what is given to an update
is copied to where the captured one found its own, and what an update counts must be on the device
(`Agent.count_on_device`). Random generators that it draws from are registered, and go on as in plain updates.

Never run on a GPU yet. Tests replay updates of every algorithm that says it can be captured, on the CPU, operation by
operation on the very memory of one recorded update (tests/algorithms/test_captured.py): the same numbers, bit for bit.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from .errors import UserError, first_line

WARM_UP = 3  # plain updates before the capture: libraries set themselves up, optimizers make their averages


class Recording(Protocol):
    """What runs a function once more without its Python: a CUDA graph, in tests a stand-in."""

    def warm(self, function: Callable[[], Any]) -> Any:
        """Run it plainly; its answer."""

    def capture(self, function: Callable[[], Any]) -> Any:
        """Record it, which need not run it; its answer, whose tensors each `replay` fills."""

    def replay(self) -> None:
        """Run what was recorded."""


class CudaGraph:
    """A CUDA graph on `device` in which `generators` are drawn from and `optimizers` stepped.

    Raises UserError where the device or this PyTorch cannot.
    """

    def __init__(
        self,
        device: torch.device | str,
        generators: Sequence[torch.Generator],
        optimizers: Sequence[torch.optim.Optimizer],
    ) -> None:
        self._device = torch.device(device)
        if self._device.type != "cuda":
            raise UserError(f"--cuda_graph: needs a CUDA device, not {device}; leave it out or give --device cuda")
        if not hasattr(torch.cuda.CUDAGraph, "register_generator_state"):
            raise UserError(f"--cuda_graph: PyTorch {torch.__version__} cannot draw in a graph; 2.4 and newer can")
        self._optimizers = optimizers
        self._graph = torch.cuda.CUDAGraph()
        for generator in generators:
            self._graph.register_generator_state(generator)

    def warm(self, function: Callable[[], Any]) -> Any:
        with torch.cuda.device(self._device):
            side, main = torch.cuda.Stream(), torch.cuda.current_stream()
            side.wait_stream(main)
            with torch.cuda.stream(side):
                answer = function()
            main.wait_stream(side)
        return answer

    def capture(self, function: Callable[[], Any]) -> Any:
        for group in (group for optimizer in self._optimizers for group in optimizer.param_groups):
            group["capturable"] = True  # PyTorch asks for it; a fused step is anyway
        try:
            with torch.cuda.device(self._device), torch.cuda.graph(self._graph):
                return function()
        except RuntimeError as error:
            raise UserError(f"--cuda_graph: the update was not captured ({first_line(error)}); leave it out") from None

    def replay(self) -> None:
        self._graph.replay()


class Captured:
    """`update(*inputs)`, from the fourth call on replayed.

    Args:
        update: a function of tensors, and of dataclasses, tuples and dictionaries of them, or None; its answer maps
            names to tensors of one element each, or to numbers, which stay those of the capture.
        recording: what replays.

    Inputs of other shapes than the captured update's, as the first imagined batches may have, are updated with plainly.
    """

    def __init__(self, update: Callable[..., dict[str, Any]], recording: Recording) -> None:
        self._update, self._recording = update, recording
        self._calls = 0
        self._places: list[Tensor] | None = None  # where the captured update reads its inputs
        self._names: list[str] = []
        self._constants: dict[str, Any] = {}
        self._figures: Tensor | None = None

    def __call__(self, *inputs: Any) -> dict[str, Any]:
        given = list(tensors(inputs))
        self._calls += 1
        if self._calls <= WARM_UP:
            return self._recording.warm(lambda: self._update(*inputs))  # type: ignore[no-any-return]
        if self._places is None:
            self._capture(inputs)
        assert self._places is not None
        assert self._figures is not None
        if [t.shape for t in given] != [t.shape for t in self._places]:
            return self._update(*inputs)
        torch._foreach_copy_(self._places, given)
        self._recording.replay()
        # The next replay writes over them, so one copy of all.
        return {**self._constants, **dict(zip(self._names, self._figures.clone().unbind(), strict=True))}

    def _capture(self, inputs: tuple[Any, ...]) -> None:
        def recorded() -> Tensor:
            info = self._update(*inputs)
            self._constants = {k: v for k, v in info.items() if not isinstance(v, Tensor)}
            self._names = [k for k in info if k not in self._constants]
            return torch.stack([info[k].detach().reshape(()).float() for k in self._names])

        self._places = list(tensors(inputs))
        self._figures = self._recording.capture(recorded)


def tensors(of: Any) -> Iterator[Tensor]:
    """The tensors in dataclasses, tuples and dictionaries of them, in order."""
    if isinstance(of, Tensor):
        yield of
    elif dataclasses.is_dataclass(of):
        for field in dataclasses.fields(of):
            yield from tensors(getattr(of, field.name))
    elif isinstance(of, dict):
        yield from tensors(tuple(of.values()))
    elif isinstance(of, (tuple, list)):
        for one in of:
            yield from tensors(one)

"""The loop: cadence only. Refreshing, logging, evaluating and saving are callbacks."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

from ..algorithms.agent import Agent, Info
from ..core.errors import UserError
from ..core.random import Streams
from ..data.samplers import Sampler
from ..proco.source import FeasibilityData


class Callback:
    """Something that happens now and then. Its state is part of the checkpoint, under its `name`."""

    name: str

    def before(self, fit: Fit) -> None:
        """Before update number `fit.step + 1`."""

    def after(self, fit: Fit, info: Info) -> None:
        """After update number `fit.step`, of which `info` is what the agent logs."""

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        pass


class Fit:
    """The updates of one run, from wherever it stands to `update_steps`.

    Args:
        source: what the feasibility learner learns from; None for a stock algorithm.
        callbacks: called in this order; the one that saves comes last.
        update: what stands for the agent's own update, such as a captured one.
    """

    def __init__(
        self,
        agent: Agent,
        sampler: Sampler,
        streams: Streams,
        update_steps: int,
        source: FeasibilityData | None = None,
        callbacks: Sequence[Callback] = (),
        update: Callable[..., Info] | None = None,
    ) -> None:
        self.agent, self.sampler, self.streams, self.source = agent, sampler, streams, source
        self.update_steps, self.callbacks = update_steps, callbacks
        self._update = update or agent.update
        self.step = 0
        self.stopping = False  # a signal came: save and leave after this update
        self.postfix: dict[str, str] = {}  # shown beside the progress bar

    @property
    def last(self) -> bool:
        """Whether the update just made was the last one."""
        return self.step >= self.update_steps

    def run(self, name: str = "", progress: bool = True) -> None:
        """Make the updates. On the first Ctrl-C or SIGTERM the update under way is finished and saved; then
        KeyboardInterrupt is raised."""
        rows = None
        with (
            _stop_after_step() as caught,
            tqdm(
                total=self.update_steps,
                initial=self.step,
                desc=name,
                mininterval=0.1 if sys.stderr.isatty() else 30.0,
                disable=not progress,
            ) as bar,
        ):
            while not self.last:
                for callback in self.callbacks:
                    callback.before(self)
                if self.source is not None:
                    size = self.agent.feasibility_batch_size or self.agent.batch_size
                    rows = self.source.batch(size, self.streams["imagination"])
                info = self._update(self.sampler.sample(self.streams["batches"]), rows)
                self.step += 1
                self.stopping = bool(caught)
                bar.update()
                for callback in self.callbacks:
                    callback.after(self, info)
                if self.postfix:
                    bar.set_postfix(self.postfix, refresh=False)
                if self.stopping and not self.last:
                    raise KeyboardInterrupt

    def state_dict(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "agent": self.agent.state_dict(),
            "streams": self.streams.state_dict(),
            "callbacks": {c.name: c.state_dict() for c in self.callbacks},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> bool:
        """Go on where `state` stood; whether the random streams could (see Streams)."""
        self.step = int(state["step"])
        self.agent.load_state_dict(state["agent"])
        for callback in self.callbacks:
            callback.load_state_dict(state["callbacks"].get(callback.name, {}))
        return self.streams.load_state_dict(state["streams"], self.step)


def require_finite(what: Mapping[str, Tensor], step: int) -> None:
    """Raise UserError that names the first quantity that is NaN or infinite."""
    if not what:
        return
    bad = torch.stack([~torch.isfinite(v).all() for v in what.values()]).tolist()
    if any(bad):
        name = list(what)[bad.index(True)]
        raise UserError(
            f"{name} is not finite any more at update {step}; nothing after the last checkpoint can be trusted. "
            "Look at the data (osrl-proco data check) or lower the learning rates"
        )


@contextmanager
def _stop_after_step() -> Iterator[list[int]]:
    """A list that fills on the first Ctrl-C or SIGTERM; a second one interrupts at once."""
    caught: list[int] = []
    previous = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)}

    def handler(number: int, _frame: Any) -> None:
        if caught:
            raise KeyboardInterrupt
        caught.append(number)

    try:
        for number in previous:
            signal.signal(number, handler)
    except ValueError:  # not the main thread: the caller handles signals
        previous = {}
    try:
        yield caught
    finally:
        for number, old in previous.items():
            signal.signal(number, old)

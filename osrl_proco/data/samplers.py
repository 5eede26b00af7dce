"""What a batch is: samplers over recorded data. They store indices, never copies of the data."""

from __future__ import annotations

import sys
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from ..core.errors import UserError
from .trajectories import Trajectories, prefix_sums
from .transitions import Transitions

SHORTEST_SEGMENT = 8


class Sampler(Protocol):
    """Draws the batches of one algorithm."""

    def sample(self, generator: torch.Generator) -> Any:
        """The next batch, drawn with `generator` (on the data's device)."""


class TransitionSampler:
    """Batches of `size` transitions, uniform with replacement; of the given rows (M,) only, where there are any."""

    def __init__(self, data: Transitions, size: int, rows: Tensor | None = None) -> None:
        self.data, self.size, self.rows = data, size, rows

    def sample(self, generator: torch.Generator) -> Transitions:
        return self.data.index(self.draw(generator))

    def draw(self, generator: torch.Generator) -> Tensor:
        """The row numbers (size,) of the next batch."""
        count = len(self.data) if self.rows is None else len(self.rows)
        drawn = torch.randint(count, (self.size,), generator=generator, device=self.data.rewards.device)
        return drawn if self.rows is None else self.rows[drawn]


class Marked(NamedTuple):
    """Transitions with one more number each."""

    rows: Transitions
    mark: Tensor  # (B,)


class MarkedSampler(TransitionSampler):
    """As TransitionSampler, the same rows for the same generator, each with its entry of `marks` (N,)."""

    def __init__(self, data: Transitions, size: int, marks: Tensor, rows: Tensor | None = None) -> None:
        super().__init__(data, size, rows)
        self.marks = marks

    def sample(self, generator: torch.Generator) -> Marked:  # type: ignore[override]
        rows = self.draw(generator)
        return Marked(self.data.index(rows), self.marks[rows])


class Windows(NamedTuple):
    """B stretches of K steps, in the order of OSRL's `CDTTrainer.train_one_step`; zeros after a trajectory's end."""

    states: Tensor  # (B, K, obs_dim)
    actions: Tensor  # (B, K, act_dim)
    returns: Tensor  # (B, K) to go, scaled
    costs_return: Tensor  # (B, K) to go, scaled
    time_steps: Tensor  # (B, K) step within the trajectory, counted on beyond its end
    mask: Tensor  # (B, K) in {0, 1}: the trajectory is still running; float64, as OSRL's loader makes it
    episode_cost: Tensor  # (B,) cost return of the trajectory, scaled
    costs: Tensor  # (B, K) of each step, unscaled


class WindowSampler:
    """Windows for sequence models: a trajectory by weight, a start in it uniformly, K steps, padded at the end.

    An entry is a trajectory, or a copy of one whose returns- and costs-to-go are shifted (CDT's augmentation); copies
    share the data's rows.

    Args:
        trajectories: of the data.
        size: windows in a batch.
        length: K.
        source: trajectory of each entry (M,); by default each once.
        weights: how often each entry is drawn (M,), in proportion; by default all alike.
        return_shift, cost_shift: added to the to-go sums of each entry (M,), before the scaling.
        reward_scale, cost_scale: factors on the to-go sums.
    """

    def __init__(
        self,
        trajectories: Trajectories,
        size: int,
        length: int,
        *,
        source: Tensor | None = None,
        weights: Tensor | None = None,
        return_shift: Tensor | None = None,
        cost_shift: Tensor | None = None,
        reward_scale: float = 1.0,
        cost_scale: float = 1.0,
    ) -> None:
        start, device = trajectories.start, trajectories.start.device
        self.size = size
        self._data, self._scales = trajectories.data, (reward_scale, cost_scale)
        self._steps = torch.arange(length, device=device)
        source = torch.arange(len(start), device=device) if source is None else source
        self._start, self._end = start[source], trajectories.end[source]
        self._weights = weights
        shifts = [torch.zeros(len(source), device=device) if s is None else s for s in (return_shift, cost_shift)]
        self._return_shift, self._cost_shift = shifts
        self._episode_cost = (trajectories.cost_returns[source] + self._cost_shift).float()
        self._returns, self._costs = trajectories.returns_to_go(), trajectories.costs_to_go()

    def sample(self, generator: torch.Generator) -> Windows:
        count, device = len(self._start), self._start.device
        if self._weights is None:
            entries = torch.randint(count, (self.size,), generator=generator, device=device)
        else:
            entries = torch.multinomial(self._weights, self.size, replacement=True, generator=generator)
        lengths = self._end[entries] - self._start[entries]
        return self.windows(entries, _uniform_below(lengths, generator))

    def windows(self, entries: Tensor, first: Tensor) -> Windows:
        """The windows of the given entries (B,) that begin `first` (B,) steps into their trajectories."""
        data, end = self._data, self._end[entries][:, None]
        time_steps = first[:, None] + self._steps
        rows = self._start[entries][:, None] + time_steps
        inside = rows < end
        rows = torch.minimum(rows, end - 1)

        def column(values: Tensor) -> Tensor:
            here = inside if values.dim() == 1 else inside[..., None]
            return torch.where(here, values[rows], values.new_zeros(()))

        def to_go(values: Tensor, shift: Tensor, scale: float) -> Tensor:
            shifted = (values[rows] + shift[entries][:, None]).float() * scale
            return torch.where(inside, shifted, shifted.new_zeros(()))

        return Windows(
            column(data.observations),
            column(data.actions),
            to_go(self._returns, self._return_shift, self._scales[0]),
            to_go(self._costs, self._cost_shift, self._scales[1]),
            time_steps,
            inside.double(),
            self._episode_cost[entries] * self._scales[1],
            column(data.costs),
        )


class Exchanged:
    """Batches of the sampler `now`, which may be replaced between updates: what is drawn changes with the stage."""

    def __init__(self, now: Sampler) -> None:
        self.now = now

    def sample(self, generator: torch.Generator) -> Any:
        return self.now.sample(generator)


class Segments(NamedTuple):
    """B stretches of L steps, each within one trajectory."""

    which: Tensor  # (B,) which of the sampler's segments they are
    observations: Tensor  # (B, L, obs_dim)
    actions: Tensor  # (B, L, act_dim)


class SegmentSampler:
    """Batches of `size` out of a fixed set of segments, uniform with replacement (TraC, PreSa).

    Args:
        data: what the segments are of.
        starts: first row of each segment (M,), for example by `segment_starts`.
        length: L.
        size: segments in a batch.

    `among` may be set to the only ones drawn (K,).
    """

    def __init__(self, data: Transitions, starts: Tensor, length: int, size: int) -> None:
        self.data, self.starts, self.length, self.size = data, starts, length, size
        self.among: Tensor | None = None

    def sums(self, values: Tensor) -> Tensor:
        """Sum of `values` (N,) over each of the segments (M,), undiscounted: what they are labelled by."""
        sums = prefix_sums(values)
        return sums[self.starts + self.length] - sums[self.starts]

    def sample(self, generator: torch.Generator) -> Segments:
        which = self.draw(generator)
        rows = self.rows(which)
        return Segments(which, self.data.observations[rows], self.data.actions[rows])

    def rows(self, which: Tensor) -> Tensor:
        """The rows of the data (B, L) that the segments `which` (B,) are made of."""
        return self.starts[which][:, None] + torch.arange(self.length, device=self.starts.device)

    def draw(self, generator: torch.Generator) -> Tensor:
        """Which segments the next batch holds (B,)."""
        count = len(self.starts) if self.among is None else len(self.among)
        drawn = torch.randint(count, (self.size,), generator=generator, device=self.starts.device)
        return drawn if self.among is None else self.among[drawn]


class PairSampler(SegmentSampler):
    """Batches of `size` pairs: segments number 2p and 2p + 1 make pair p. A batch has all firsts, then all seconds."""

    def draw(self, generator: torch.Generator) -> Tensor:
        pairs = torch.randint(len(self.starts) // 2, (self.size,), generator=generator, device=self.starts.device)
        return torch.cat([2 * pairs, 2 * pairs + 1])


def segment_length(trajectories: Trajectories, wanted: int) -> int:
    """Length L of the segments: `wanted`, but at most what at least half of the rows' trajectories reach.

    Never below 8. Fragments of a split are shorter than episodes; without the cap few rows, or none, would be used.
    A line on stderr says where L is not the published length.
    """
    by_length = trajectories.of_rows(trajectories.lengths).sort(descending=True).values
    reached = int(by_length[(len(by_length) + 1) // 2 - 1])
    length = max(SHORTEST_SEGMENT, min(wanted, reached))
    if length != wanted:
        print(f"segments of {length} steps, not {wanted}: the data's trajectories are that short", file=sys.stderr)
    return length


def segment_starts(trajectories: Trajectories, count: int, length: int, generator: torch.Generator) -> Tensor:
    """First rows of `count` segments: a trajectory uniformly among those long enough, a start in it uniformly.

    A generator on the CPU gives the same segments on every device. Raises UserError where no trajectory has `length`
    steps.
    """
    enough = torch.nonzero(trajectories.lengths >= length).squeeze(1)
    if not len(enough):
        longest = int(trajectories.lengths.max())
        raise UserError(f"segments of {length} steps: the longest trajectory of the data has {longest}")
    drawn = torch.randint(len(enough), (count,), generator=generator, device=generator.device)
    chosen = enough[drawn.to(enough.device)]
    room = trajectories.lengths[chosen] - length + 1
    return trajectories.start[chosen] + _uniform_below(room, generator)


def _uniform_below(bounds: Tensor, generator: torch.Generator) -> Tensor:
    """An integer in [0, bounds) for each of the bounds (B,)."""
    share = torch.rand(len(bounds), generator=generator, device=generator.device, dtype=torch.float64)
    return torch.minimum((share.to(bounds.device) * bounds).long(), bounds - 1)

"""Samplers: batches stay within trajectories, are drawn as told, and copy no data."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_trajectories import data, recorded

from osrl_proco.core.errors import UserError
from osrl_proco.data.samplers import (
    MarkedSampler,
    PairSampler,
    SegmentSampler,
    TransitionSampler,
    WindowSampler,
    segment_length,
    segment_starts,
)
from osrl_proco.data.trajectories import Trajectories
from osrl_proco.data.transitions import Transitions


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_transitions_of_some_rows_and_with_a_mark():
    rows = recorded([0, 1, 0, 1, 0, 0])
    some = torch.tensor([1, 3])
    drawn = TransitionSampler(rows, 50, some).sample(seeded())
    assert set(drawn.observations[:, 0].tolist()) == {1.0, 3.0}
    marks = torch.arange(6.0) * 10
    batch = MarkedSampler(rows, 50, marks).sample(seeded())
    plain = TransitionSampler(rows, 50).sample(seeded())
    assert torch.equal(batch.rows.observations, plain.observations)  # the same rows for the same generator
    assert torch.equal(batch.mark, batch.rows.observations[:, 0] * 10)


@settings(deadline=None)
@given(data(), st.integers(1, 6), st.integers(0, 1000))
def test_windows_never_leave_their_trajectory(rows, length, seed):
    found = Trajectories.of(rows)
    sampler = WindowSampler(found, 20, length, reward_scale=0.1, cost_scale=2.0)
    window = sampler.sample(seeded(seed))
    place = {float(o): i for i, o in enumerate(rows.observations[:, 0])}
    number = found.of_rows(torch.arange(len(found)))
    to_go, costs_to_go = found.returns_to_go(), found.costs_to_go()
    for b in range(20):
        t = place[float(window.states[b, 0, 0])]
        which = number[t]
        first = t - int(found.start[which])
        assert window.time_steps[b].tolist() == list(range(first, first + length))
        assert float(window.episode_cost[b]) == 2 * float(found.cost_returns[which])
        for k in range(length):
            inside = t + k < int(found.end[which])
            assert float(window.mask[b, k]) == inside
            if inside:
                assert number[t + k] == which
                assert torch.equal(window.states[b, k], rows.observations[t + k])
                assert float(window.returns[b, k]) == pytest.approx(float(to_go[t + k]) * 0.1, rel=1e-5, abs=1e-6)
                assert float(window.costs_return[b, k]) == 2 * float(costs_to_go[t + k])
                assert float(window.costs[b, k]) == float(rows.costs[t + k])
            else:
                for column in (window.states, window.actions, window.returns, window.costs_return, window.costs):
                    assert (column[b, k] == 0).all()


def test_windows_are_drawn_by_weight_and_begin_anywhere():
    rows = recorded([0] * 6, timeouts=[0, 1, 0, 0, 0, 1])
    sampler = WindowSampler(Trajectories.of(rows), 4000, 3, weights=torch.tensor([0.25, 0.75]).double())
    first = sampler.sample(seeded()).states[:, 0, 0]
    share = [float((first == o).float().mean()) for o in range(6)]
    assert share == pytest.approx([0.125, 0.125] + [0.75 / 4] * 4, abs=0.03)
    even = WindowSampler(Trajectories.of(rows), 4000, 3).sample(seeded()).states[:, 0, 0]
    assert float((even < 2).float().mean()) == pytest.approx(0.5, abs=0.03)
    assert torch.equal(even, WindowSampler(Trajectories.of(rows), 4000, 3).sample(seeded()).states[:, 0, 0])


@settings(deadline=None)
@given(data(), st.integers(1, 5), st.integers(0, 1000))
def test_segments_never_leave_their_trajectory(rows, length, seed):
    found = Trajectories.of(rows)
    if int(found.lengths.max()) < length:
        with pytest.raises(UserError, match=f"segments of {length} steps"):
            segment_starts(found, 10, length, seeded(seed))
        return
    starts = segment_starts(found, 10, length, seeded(seed))
    number = found.of_rows(torch.arange(len(found)))
    assert torch.equal(number[starts], number[starts + length - 1])
    sampler = SegmentSampler(rows, starts, length, 15)
    for start, total in zip(starts, sampler.sums(rows.costs), strict=True):
        assert float(total) == float(rows.costs[start : start + length].sum())
    batch = sampler.sample(seeded(seed))
    assert batch.observations.shape == (15, length, 1)
    for which, observations in zip(batch.which, batch.observations, strict=True):
        assert torch.equal(observations, rows.observations[starts[which] : starts[which] + length])


def pieces(*lengths):
    ends = torch.zeros(sum(lengths))
    ends[torch.tensor(lengths).cumsum(0) - 1] = 1
    return Trajectories.of(recorded([0] * sum(lengths), timeouts=ends.numpy()))


@pytest.mark.parametrize(
    ("lengths", "expected"),
    [
        ((100, 100), 75),  # as wanted
        ((100,) + (10,) * 5, 75),  # 100 of 150 rows lie in a trajectory of 100 steps
        ((60,) + (20,) * 4, 20),  # less than half of the rows do: what half of them reach
        ((100,) + (20,) * 5, 75),  # exactly half
        ((3,) * 20, 8),  # never below 8
    ],
)
def test_the_length_of_segments(lengths, expected, capsys):
    assert segment_length(pieces(*lengths), 75) == expected
    told = capsys.readouterr().err
    assert (f"segments of {expected} steps, not 75" in told) is (expected != 75)


def test_only_some_segments_are_drawn_where_told():
    rows = recorded([0] * 30)
    sampler = SegmentSampler(rows, torch.arange(10), 8, 50)
    sampler.among = torch.tensor([2, 7])
    assert set(sampler.sample(seeded()).which.tolist()) == {2, 7}


def test_pairs_are_neighbours_and_come_firsts_before_seconds():
    rows = recorded([0] * 30)
    batch = PairSampler(rows, torch.arange(10), 8, 40).sample(seeded())
    first, second = batch.which.chunk(2)
    assert torch.equal(second, first + 1)
    assert set(first.tolist()) == {0, 2, 4, 6, 8}
    assert batch.observations[:, :, 0].tolist() == [list(range(w, w + 8)) for w in batch.which.tolist()]


def tensors(thing, seen):
    """All tensors reachable from an object, by their storage."""
    if isinstance(thing, torch.Tensor):
        seen[thing.data_ptr()] = thing.numel() * thing.element_size()
    elif dataclasses.is_dataclass(thing):
        for field in dataclasses.fields(thing):
            tensors(getattr(thing, field.name), seen)
    elif hasattr(thing, "__dict__"):
        for value in vars(thing).values():
            tensors(value, seen)
    elif isinstance(thing, (list, tuple)):
        for value in thing:
            tensors(value, seen)
    return seen


def test_samplers_store_indices_and_not_copies():
    # 2,000 episodes of 1,000 steps; narrow rows, so that the indices weigh more than they would.
    count = 2_000_000
    last = torch.zeros(count)
    last[999::1000] = 1.0
    zeros = [torch.zeros(count) for _ in range(5)]
    wide = [torch.zeros(count, n) for n in (3, 1, 3)]
    rows = Transitions(*wide, *zeros[:3], last, zeros[3], last.clone())
    size = sum(tensors(rows, {}).values())
    found = Trajectories.of(rows)
    starts = segment_starts(found, 42 * 2000, 750, seeded())  # TraC's number: (1000 - 750) // 6 per episode
    segments = SegmentSampler(rows, starts, 750, 2)
    windows = WindowSampler(found, 4, 10)
    for sampler in (segments, windows):
        sampler.sample(seeded())
        assert sum(tensors(sampler, {}).values()) < 1.4 * size
    assert sum(tensors([segments, windows, found], {}).values()) < 2.2 * size

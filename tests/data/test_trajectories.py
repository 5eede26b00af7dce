"""Trajectories: the sums of a python loop, over the pieces of a split too."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from osrl_proco.data.split import safe_only
from osrl_proco.data.trajectories import Trajectories, pareto_front
from osrl_proco.data.transitions import Transitions


def recorded(costs, terminals=None, timeouts=None, rewards=None):
    count = len(costs)
    ends = np.zeros(count)
    return Transitions.from_arrays(
        {
            "observations": np.arange(count)[:, None],
            "next_observations": np.arange(count)[:, None] + 1,
            "actions": np.zeros((count, 1)),
            "rewards": np.zeros(count) if rewards is None else rewards,
            "costs": costs,
            "terminals": ends if terminals is None else terminals,
            "timeouts": ends if timeouts is None else timeouts,
        }
    )


bits = st.integers(0, 1)


@st.composite
def data(draw):
    """A few rows with ends anywhere, whole or with rows taken out."""
    count = draw(st.integers(1, 30))
    column = st.lists(bits, min_size=count, max_size=count)
    rewards = draw(st.lists(st.floats(-100, 100, width=32), min_size=count, max_size=count))
    rows = recorded(*(np.array(draw(column), float) for _ in range(3)), np.array(rewards))
    keep = torch.tensor(draw(column), dtype=torch.bool)
    return rows.keep(keep) if bool(keep.any()) and draw(st.booleans()) else rows


@settings(deadline=None)
@given(data())
def test_against_a_loop_over_the_rows(rows):
    found = Trajectories.of(rows)
    returns_to_go, (budget, after) = found.returns_to_go(), found.budgets()
    start = number = 0
    begins = True
    for t in range(len(rows)):
        if rows.last[t] == 0:
            continue
        piece = slice(start, t + 1)
        assert (int(found.start[number]), int(found.end[number])) == (start, t + 1)
        rewards, costs = rows.rewards[piece].double(), rows.costs[piece]
        assert float(found.returns[number]) == pytest.approx(float(rewards.sum()), abs=1e-6)
        assert float(found.cost_returns[number]) == float(costs.sum())
        for i in range(len(costs)):
            assert float(returns_to_go[piece][i]) == pytest.approx(float(rewards[i:].sum()), rel=1e-5, abs=1e-4)
            assert float(budget[piece][i]) == float(costs[i:].sum())
            assert float(after[piece][i]) == float(costs[i + 1 :].sum())
        flagged = bool(rows.terminals[t] + rows.timeouts[t] > 0)
        assert bool(found.begins[number]) == begins
        assert bool(found.finished[number]) == flagged
        assert found.initial()[piece].tolist() == [float(begins)] + [0.0] * (len(costs) - 1)
        begins, start, number = flagged, t + 1, number + 1
    assert number == len(found)
    assert start == len(rows)  # the last row always ends a trajectory
    numbers = [i for i, length in enumerate(found.lengths) for _ in range(int(length))]
    assert found.of_rows(torch.arange(len(found))).tolist() == numbers


def test_the_budgets_of_the_sheet():
    found = Trajectories.of(recorded([0, 1, 0, 1]))
    budget, after = found.budgets()
    assert budget.tolist() == [2, 2, 1, 1]
    assert after.tolist() == [2, 1, 1, 0]


def test_pieces_of_a_safe_only_split():
    rows = recorded([0, 0, 1, 0, 0, 0, 0], timeouts=[0, 0, 0, 0, 0, 1, 1], rewards=np.arange(7.0))
    pieces = Trajectories.of(safe_only(rows).safe)
    assert pieces.data.observations[:, 0].tolist() == [0, 1, 4, 5, 6]
    assert pieces.lengths.tolist() == [2, 2, 1]
    assert pieces.returns.tolist() == [1, 9, 6]
    # The second piece goes on with an episode; the third begins one.
    assert pieces.begins.tolist() == [True, False, True]
    assert pieces.finished.tolist() == [False, True, True]


def test_what_a_split_leaves_untold_of_beginnings():
    # The second episode lost its first rows: its piece still counts as a beginning.
    rows = recorded([0, 0, 1, 0, 0], timeouts=[0, 1, 0, 0, 1])
    assert Trajectories.of(safe_only(rows).safe).begins.tolist() == [True, True]
    # The first episode lost its last row: what follows does not.
    rows = recorded([0, 1, 0, 0], timeouts=[0, 1, 0, 1])
    assert Trajectories.of(safe_only(rows).safe).begins.tolist() == [True, False]


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(-3, 3)), min_size=0, max_size=25))
def test_the_front_is_what_no_other_point_beats(points):
    costs, returns = (torch.tensor([p[i] for p in points], dtype=torch.float64) for i in range(2))

    def beaten(p):
        return any(q[0] <= p[0] and q[1] >= p[1] and q != p for q in points)

    assert pareto_front(costs, returns).tolist() == [i for i, p in enumerate(points) if not beaten(p)]


def test_four_million_rows_take_seconds():
    count = 4_000_000
    ones = torch.ones(count)
    last = torch.zeros(count)
    last[999::1000] = 1.0
    column = torch.zeros(count, 1)
    rows = Transitions(column, column, column, ones, ones, torch.zeros(count), last, torch.zeros(count), last)
    found = Trajectories.of(rows)
    assert (found.returns == 1000).all()
    assert (found.costs_to_go().view(-1, 1000)[:, 0] == 1000).all()

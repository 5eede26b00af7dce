"""Theorem 4.8 on the embedded tasks: whatever the model's error, a violation imagined calls no lost state feasible.

A tabular form: the states that drivers visit fall into cells; Q of a recorded transition is its backup, V of a cell the
reverse expectile of its Qs, solved to the fixed point. The imagined transitions are of the wildest model there is: they
begin in any cell and end in a violation, as every branch that PROCO keeps does.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from osrl_proco.envs import BrakeEnv, PointRobotEnv
from osrl_proco.proco.danger import signed
from osrl_proco.proco.feasibility import FeasibilityBatch, backup

CELLS = 12  # along each of two entries


def recorded(env):
    """Recorded transitions as (cell left, cell reached, label of each)."""
    data = env.get_dataset()
    states = data["observations"][:, :2]
    low, high = states.min(0), states.max(0) + 1e-6

    def cell(values):
        place = np.clip(((values[:, :2] - low) / (high - low) * CELLS).astype(int), 0, CELLS - 1)
        return place[:, 0] * CELLS + place[:, 1]

    columns = cell(data["observations"]), cell(data["next_observations"])
    labels = env.is_unsafe(data["observations"]), env.is_unsafe(data["next_observations"])
    return [torch.as_tensor(np.asarray(c)[::7]) for c in (*columns, *labels)]


DATA = {
    "brake": recorded(BrakeEnv(episodes=30)),
    "point robot": recorded(PointRobotEnv(episodes=30)),
}


def value(left, reached, unsafe, next_unsafe, tau, gamma, h_max):
    """V of each cell at the fixed point of eq. 12."""
    zeros = torch.zeros(len(left), 1)
    batch = FeasibilityBatch(
        zeros,
        zeros,
        zeros,
        signed(unsafe).double(),
        signed(next_unsafe).double(),
        torch.zeros(len(left), dtype=torch.float64),
    )
    v = torch.full((CELLS * CELLS,), -1.0, dtype=torch.float64)
    for _ in range(150):
        q = backup(batch, v[reached], gamma, h_max)
        for _ in range(30):
            weight = torch.where(q > v[left], 1.0 - tau, tau).double()
            sums = torch.zeros_like(v).index_add_(0, left, weight)
            means = torch.zeros_like(v).index_add_(0, left, weight * q) / sums.clamp_min(1e-12)
            v = torch.where(sums > 0, means, v)
    return v


@pytest.mark.parametrize("task", DATA)
@given(
    branches=st.lists(st.tuples(st.integers(0, CELLS * CELLS - 1), st.booleans()), min_size=1, max_size=12),
    tau=st.sampled_from([0.6, 0.9]),
    gamma=st.sampled_from([0.9, 0.99]),
    h_max=st.sampled_from([1.0, 25.0]),
)
@settings(deadline=None, max_examples=12)
def test_imagined_violations_call_no_lost_state_feasible(task, branches, tau, gamma, h_max):
    left, reached, unsafe, next_unsafe = DATA[task]
    without = value(left, reached, unsafe, next_unsafe, tau, gamma, h_max)
    # As every kept branch: its last step ends in a violation, backed up as h alone.
    extra = torch.tensor([c for c, _ in branches])
    own = torch.tensor([u for _, u in branches])
    with_them = value(
        torch.cat([left, extra]),
        torch.cat([reached, extra]),
        torch.cat([unsafe, own]),
        torch.cat([next_unsafe, torch.ones(len(extra), dtype=torch.bool)]),
        tau,
        gamma,
        h_max,
    )
    assert (with_them >= without - 1e-6).all()
    assert (with_them[without > 1e-6] > 0).all()


def test_the_table_itself_tells_lost_from_feasible():
    """Without this the property would hold of a value that is the same everywhere."""
    v = value(*DATA["brake"], 0.9, 0.9, 1.0)
    assert 0.02 < (v > 0).double().mean() < 0.6

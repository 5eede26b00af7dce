"""FISOR scales rewards by the range of returns."""

from __future__ import annotations

from dataclasses import replace

import iql_hosts as hosts
import pytest
import torch


def fisor(the_problem=None, **changes):
    return hosts.agent("fisor", the_problem, **changes)


def test_rewards_are_scaled_by_the_reference_returns_or_by_the_datas():
    batch = replace(hosts.data(100), rewards=torch.ones(100))
    assert fisor().rewards(batch)[0].item() == pytest.approx(hosts.EPISODE / 100.0)
    assert fisor(reward_scale=2.0).rewards(batch)[0].item() == pytest.approx(2.0 * hosts.EPISODE / 100.0)
    one = fisor(hosts.problem(reference_returns=None))
    runs = replace(
        hosts.data(6), rewards=torch.tensor([1.0, 1.0, 5.0, 2.0, 0.0, 0.0]), last=torch.tensor([0.0, 1, 0, 1, 0, 1])
    )
    one.prepare(runs)  # returns 2, 7 and 0
    assert one.rewards(batch)[0].item() == pytest.approx(hosts.EPISODE / 7.0)
    again = fisor(hosts.problem(reference_returns=None))
    again.load_state_dict(one.state_dict())
    assert again.rewards(batch)[0].item() == pytest.approx(hosts.EPISODE / 7.0)
    one.prepare(runs.index(torch.tensor([0, 1])))  # a single episode has no range
    assert one.rewards(batch)[0].item() == 1.0

"""FISOR's scales: rewards by their range, observations by the data where it is asked."""

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


@pytest.mark.parametrize("standardise", [True, False])
def test_standardised_neither_unit_nor_origin_of_an_observation_matters(standardise):
    """A twin of the data in other units acts as one of the data in theirs; without, it does not."""

    def acted(unit, origin):
        data = hosts.data()
        now, then = (x * unit + origin for x in (data.observations, data.next_observations))
        moved = replace(data, observations=now, next_observations=then)
        one, again = (fisor(proco=True, standardise=standardise) for _ in range(2))
        one.prepare(moved)
        hosts.trained(one, 5, moved)
        again.load_state_dict(one.state_dict())
        again.select = "allowed"  # asks actor, feasibility and reward
        noise = torch.randn(64, 4, 5, hosts.ACT, generator=torch.Generator().manual_seed(2))
        return again.choose(moved.observations[:64], noise)

    unit, origin = torch.tensor([0.25, 1.0, 4.0, 64.0, 1.0]), torch.tensor([0.0, 2.0, -1.0, 8.0, 0.0])
    same = torch.allclose(acted(unit, origin), acted(1.0, 0.0), atol=1e-3)
    assert same == standardise


def test_standardised_inputs_are_cut_at_ten_deviations():
    one = fisor(standardise=True)
    one.prepare(hosts.data())
    far = one.seen(torch.full((1, hosts.OBS), 1e6))
    assert far.tolist() == [[10.0] * hosts.OBS]

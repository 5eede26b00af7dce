"""With `standardise` the networks of FISOR, LSPC and CAPS see observations in deviations of the data."""

from __future__ import annotations

from dataclasses import replace

import iql_hosts as hosts
import pytest
import torch

from osrl_proco.algorithms.seen import Seen

UNIT, ORIGIN = torch.tensor([0.25, 1.0, 4.0, 64.0, 1.0]), torch.tensor([0.0, 2.0, -1.0, 8.0, 0.0])


@pytest.mark.parametrize("standardise", [True, False])
@pytest.mark.parametrize(
    ("name", "proco"),  # not stock FISOR, whose cost critic sees observations as they are
    [("fisor", True), ("lspc", True), ("lspc", False), ("caps", True), ("caps", False)],
)
def test_standardised_neither_unit_nor_origin_of_an_observation_matters(name, proco, standardise):
    """An agent of the data in other units acts as one of the data in theirs; without, it does not."""

    def acted(unit, origin):
        data = hosts.data()
        now, then = (x * unit + origin for x in (data.observations, data.next_observations))
        moved = replace(data, observations=now, next_observations=then)
        one, again = (hosts.agent(name, proco=proco, standardise=standardise) for _ in range(2))
        one.prepare(moved)
        hosts.trained(one, 5, moved)
        again.load_state_dict(one.state_dict())
        if name == "fisor":
            again.select = "allowed"  # asks actor, feasibility and reward
            noise = torch.randn(64, 4, 5, hosts.ACT, generator=torch.Generator().manual_seed(2))
            return again.choose(moved.observations[:64], noise)
        policy = again.policy()
        policy.reset(range(64), range(64))
        return policy.act(moved.observations[:64])

    same = torch.allclose(acted(UNIT, ORIGIN), acted(1.0, 0.0), atol=1e-3)
    assert same == standardise


def test_standardised_inputs_are_cut_at_ten_deviations():
    seen = Seen(hosts.OBS, standardise=True, device="cpu")
    seen.fit(hosts.data().observations)
    assert seen(torch.full((1, hosts.OBS), 1e6)).tolist() == [[10.0] * hosts.OBS]

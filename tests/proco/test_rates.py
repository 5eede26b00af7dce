"""Margins that change by the chain rule, against rules that are known."""

from dataclasses import replace

import pytest
import torch

from osrl_proco.costs import CostFunction
from osrl_proco.data.transitions import Transitions
from osrl_proco.proco.danger import Danger
from osrl_proco.proco.dynamics import Dynamics, fit
from osrl_proco.proco.rates import Rates, lasting
from osrl_proco.tasks.task import load_task

POINT = load_task("PointGoal1")
ENTRIES = {entry.name: slice(entry.start, entry.start + entry.size) for entry in POINT.entries}
LIDAR, SPEED = ENTRIES["hazards_lidar"], ENTRIES["velocimeter"].start


def test_rates_are_found_that_make_the_changes():
    draw = torch.Generator().manual_seed(0)
    x, slopes = torch.randn(4000, 3, generator=draw), torch.randn(4000, 5, generator=draw)
    owner, w = torch.tensor([0, 0, 1, 1, 1]), torch.randn(5, 4, generator=draw)
    rates = Rates(5, 3, 2)
    truth = Rates(5, 3, 2)
    truth.w.copy_(w)
    changes = truth(x, slopes, owner, 2)
    by_hand = sum(slopes[7, k] * (w[k, :3] @ x[7] + w[k, 3]) for k in (0, 1))
    assert changes[7, 0].item() == pytest.approx(by_hand.item(), rel=1e-5)
    counts = torch.rand(4000, 2, generator=draw) < 0.8
    rates.fit(x, slopes, owner, torch.where(counts, changes, 100.0), counts)
    assert torch.allclose(rates.w, w, atol=1e-3)


def test_a_margin_of_too_few_rows_is_left_to_the_networks():
    rates = Rates(2, 3, 2)
    x, slopes, changes = torch.randn(100, 3), torch.randn(100, 2), torch.randn(100, 2)
    counts = torch.ones(100, 2, dtype=torch.bool)
    counts[3:, 1] = False
    rates.fit(x, slopes, torch.tensor([0, 1]), changes, counts)
    assert (rates.w != 0).any(1).tolist() == [True, False]


def test_what_goes_on_lasts_and_errors_do_not():
    """A motion that turns in every tenth step leaves .8 of itself, noise nothing; jumps and ends do not count."""
    draw = torch.Generator().manual_seed(0)
    moving = torch.tensor([1.0] * 10 + [-1.0] * 10).repeat(200)
    noise = torch.randn(4000, generator=draw)
    follows = torch.ones(3999, dtype=torch.bool)
    found = lasting(torch.stack([moving, noise], 1), follows)
    assert found[0].item() == pytest.approx(0.8, abs=0.01)
    assert found[1] < 0.05
    follows[9::10] = False
    assert lasting(moving[:, None], follows).item() == pytest.approx(1.0)
    moving[::50] = 100.0
    assert lasting(moving[:, None], follows).item() == pytest.approx(1.0)
    assert lasting(torch.zeros(10, 1), torch.zeros(9, dtype=torch.bool)).item() == 0.0


def approached(count=16_000, seed=0):
    """Steps toward or along a hazard in bin `k` at a distance of 0.5 to 2 m: it comes nearer by the speed along the bin
    over 50. Every tenth row a jump to somewhere else."""
    draw = torch.Generator().manual_seed(seed)
    states = torch.zeros(count, POINT.obs_dim)
    speed = 2.0 * torch.rand(count, 2, generator=draw) - 1.0
    states[:, SPEED : SPEED + 2] = speed
    after = states.clone()
    k, row = torch.randint(16, (count,), generator=draw), torch.arange(count)
    distance = 0.5 + 1.5 * torch.rand(count, generator=draw)
    angle = (k + 0.5) * torch.pi / 8
    nearer = (speed * torch.stack([angle.cos(), angle.sin()], 1)).sum(1) / 50
    jumped = row % 10 == 0
    reached = torch.where(jumped, 0.5 + 1.5 * torch.rand(count, generator=draw), distance - nearer)
    states[row, LIDAR.start + k] = 1.0 - distance / 3.0
    after[row, LIDAR.start + k] = 1.0 - reached / 3.0
    last = torch.zeros(count)
    last[49::50] = 1.0
    zeros = torch.zeros(count)
    actions = 2.0 * torch.rand(count, 2, generator=draw) - 1.0
    return Transitions(states, actions, after, zeros, zeros, zeros, last, zeros, last), ~jumped


def fitted(chain):
    data, _ = approached()
    cost = CostFunction('def cost(obs):\n    return obs["hazards_lidar"].amax(-1) >= 0.9\n', POINT)
    danger = Danger.fitted(cost, data.observations, graded="none", margins=True)
    torch.manual_seed(0)
    slopes = len(danger.changing)
    model = Dynamics(POINT.obs_dim + 1, 2, (32, 32), 3, 2, margins=1, slopes=slopes, chain=chain)
    model.spread.copy_(danger.spread)
    model.changing.copy_(danger.changing)
    danger.serve(model)
    seen = replace(
        data, observations=danger.state(data.observations), next_observations=danger.state(data.next_observations)
    )
    fit(model, seen, epochs=3, progress=False)
    return model, danger


def test_the_speed_along_the_nearest_hazards_bin_is_how_fast_it_comes_nearer():
    test, goes_on = approached(seed=1)
    wrong = {}
    for chain in (False, True):
        model, danger = fitted(chain)
        states, after = danger.state(test.observations), danger.state(test.next_observations)
        counts = goes_on & (states[:, -1].abs() < 1.0) & (after[:, -1].abs() < 1.0)
        found = model.predict(states, test.actions, noise=False)[0].mean(0)
        ways = model.follow(states.expand(2, -1, -1), test.actions)
        assert torch.allclose(ways.mean(0), found, atol=1e-5)
        still = (after - states)[counts, -1].abs().mean()
        wrong[chain] = float((found - after)[counts, -1].abs().mean() / still)
    assert wrong[True] < 0.15
    assert wrong[False] > 2 * wrong[True]


def test_a_margin_that_is_cut_stays_where_it_is_but_for_the_networks():
    model, danger = fitted(True)
    states = danger.state(approached(200, seed=2)[0].observations)
    slopes = model.slopes(states)
    rule = model.by_rule(model.standard_inputs(states, torch.zeros(200, 2), slopes), slopes)
    assert not rule[:, :-1].any()
    assert 0 < (rule[:, -1] != 0).sum() < 200
    assert torch.equal(rule[:, -1] != 0, states[:, -1].abs() < 0.97)


def test_the_rule_is_kept_with_the_model(tmp_path):
    model, danger = fitted(True)
    model.save(tmp_path / "m.pt")
    again, _ = Dynamics.load(tmp_path / "m.pt")
    danger.serve(again)
    states, actions = danger.state(approached(50)[0].observations), torch.zeros(50, 2)
    assert torch.equal(*(one.predict(states, actions, noise=False)[0] for one in (model, again)))

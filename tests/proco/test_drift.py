"""What moves by itself goes on as it was seen to."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from osrl_proco.proco.danger import Danger
from osrl_proco.proco.drift import Drift
from osrl_proco.proco.lookahead import LookAhead
from osrl_proco.proco.recovery import Recovering
from osrl_proco.proco.ways import Ways


class Standing:
    """Margins change by the action alone, so the model says; the state is (gap, margin)."""

    elites = torch.arange(2)
    rates = object()
    target_std = torch.tensor([1.0, 0.02, 1.0])
    lasting = torch.tensor([0.0, 0.5])
    left_by_rule = target_std[:-1] * lasting

    def follow(self, state, actions):
        return state + actions * torch.tensor([-1.0, 1.0])


class Gap(Danger):
    """Unsafe where the gap is 0; its margin is cut at one."""

    def __init__(self):
        super().__init__(lambda x: x[..., 0] <= 0.0, 1, spread=torch.ones(1), graded="all", margins=True)

    def state(self, observations):
        return torch.cat([observations, -observations.clamp(-1.0, 1.0)], -1)


def drifts(*gaps, action=0.0):
    """What is seen to drift in each step of a row whose gaps are these."""
    drift = Drift(Standing(), Gap())
    found = []
    for gap in gaps:
        found.append(drift.seen(torch.tensor([[gap]]))[0].tolist())
        drift.acted(torch.tensor([[action]]))
    return [margin for other, margin in found if other == 0.0]


def test_of_what_the_model_did_not_expect_the_lasting_share_goes_on():
    assert drifts(0.5, 0.45, 0.47) == pytest.approx([0.01, 0.025, -0.01])
    assert drifts(0.5, 0.45, 0.47, action=0.05) == pytest.approx([0.01, 0.0, -0.035])


def test_a_jump_says_nothing_nor_does_a_margin_at_its_cut():
    assert drifts(0.5, 0.3, 0.5) == pytest.approx([0.01] * 3)
    assert drifts(1.5, 0.95, 0.97, 1.0) == pytest.approx([0.01] * 4)


def test_an_episode_begins_with_what_is_usual_and_rows_do_not_touch():
    drift = Drift(Standing(), Gap())
    one, two = torch.tensor([[0.5], [0.5]]), torch.tensor([[0.45], [0.47]])
    drift.seen(one)
    drift.acted(torch.zeros(2, 1))
    drift.reset([0])
    assert drift.seen(two)[:, 1].tolist() == pytest.approx([0.01, 0.015])
    drift.acted(torch.zeros(2, 1))
    assert drift.seen(two[:1])[:, 1].tolist() == pytest.approx([0.0])
    drift.acted(torch.zeros(1, 1))
    assert drift.seen(two)[:, 1].tolist() == pytest.approx([0.0, 0.01])


def test_a_model_without_the_rule_says_of_nothing_that_it_drifts():
    model = Standing()
    model.rates, model.left_by_rule = None, torch.zeros(2)
    drift = Drift(model, Gap())
    for gap in (0.5, 0.45):
        assert (drift.seen(torch.tensor([[gap]])) == 0.0).all()
        drift.acted(torch.zeros(1, 1))


def test_what_a_policy_saw_around_which_another_looks_ahead_is_what_was_done():
    """The policy drives on and would go unopposed; look-ahead brakes, and neither calls its own braking a drift."""
    warned = SimpleNamespace(target=SimpleNamespace(q=lambda observations, actions: torch.ones(len(observations))))
    own = SimpleNamespace(act=lambda observations: torch.full((len(observations), 1), 0.7), reset=lambda *_: None)
    model, danger = Standing(), Gap()
    ways = Ways(model, danger, 3)
    inside = Recovering(own, warned, 2.0, 1.0, ways=ways)
    policy = LookAhead(inside, model, danger, Ways(model, danger, 3, ways.drift), max_action=1.0)
    policy.reset([0], [1])
    gap = torch.tensor([[0.5]])
    acts = policy.act(gap)
    assert acts.item() < 0.5
    assert ways.drift.seen(gap - acts)[0, 1].item() == pytest.approx(0.0, abs=1e-6)

"""Ways in the dynamics model: what the way back asks where the critic lets no action pass."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from osrl_proco.proco.danger import Danger
from osrl_proco.proco.recovery import FAR, Recovering, all_over
from osrl_proco.proco.ways import Ways


class Sliding:
    """Two elites: a gap that an action closes by itself, and by twice itself; the state is (gap, margin)."""

    elites = torch.arange(2)
    rates = None
    left_by_rule = torch.zeros(2)

    def follow(self, state, actions):
        gap = state[..., :1] - torch.tensor([1.0, 2.0])[:, None, None] * actions
        return torch.cat([gap, 1.0 - gap], -1)


class Gap(Danger):
    def __init__(self):
        super().__init__(lambda x: x[..., 0] <= 1.0, 1, spread=torch.ones(1), graded="all", margins=True)

    def state(self, observations):
        return torch.cat([observations, 1.0 - observations], -1)


class Still:
    """Nothing drifts."""

    def seen(self, observations):
        return torch.zeros(len(observations), 2)

    def acted(self, actions):
        pass


def ways(gap, *actions, steps=3, left=0.0):
    drift = torch.tensor([[0.0, left]])
    return Ways(Sliding(), Gap(), steps)(torch.tensor([[gap]]), torch.tensor(actions)[None, :, None], drift)[0].tolist()


def test_an_action_is_as_dangerous_as_the_worst_elite_finds_its_way():
    away, on, still = ways(1.5, -1.0, 0.2, 0.0)
    assert away == pytest.approx(-1.0)  # -1, as far as danger goes
    assert still == pytest.approx(-0.5)
    # The second elite is at 1.1, .7 and .3: margins -.1, .3, .7.
    assert on == pytest.approx(1.0 + 2 / 3 + 0.5 * (0.3 + 0.7) / 3)


def test_out_of_danger_in_one_step_is_better_than_to_stay_at_its_edge():
    (out,), (stay,) = ways(0.5, -0.3), ways(0.95, 0.0)  # the slower elite of the first is still .2 inside, then outside
    assert out == pytest.approx(1.0 + 1 / 3 + 0.5 * 0.2 / 3)
    assert stay == pytest.approx(1.0 + 1.0 + 0.5 * 0.05)
    assert ways(0.9, 0.0)[0] > stay  # of equally many steps the shallower


def test_margins_are_raised_at_every_step_by_what_drifts():
    assert ways(1.5, 0.0, left=0.1)[0] == pytest.approx(-(0.4 + 0.3 + 0.2) / 3)
    assert ways(1.5, 0.0, left=0.3)[0] == pytest.approx(1.0 + 2 / 3 + 0.5 * (0.1 + 0.4) / 3)


def test_where_no_action_passes_the_way_back_is_the_models_if_it_is_asked():
    blind = SimpleNamespace(q=lambda observations, actions: torch.where(observations[:, 0] > 5.0, -1.0, 1.0))
    learner = SimpleNamespace(target=blind, critic=None)

    class Own:
        def act(self, observations):
            return torch.full((len(observations), 1), 0.5)

    asked = Recovering(Own(), learner, 0.0, 1.0, ways=Ways(Sliding(), Gap(), 3))
    at = torch.tensor([[1.2], [9.0], [0.9]])
    acts = asked.act(at)[:, 0]
    far = all_over(FAR, 1, 1.0)[:, 0]
    assert acts[1] == 0.5  # the critic lets it pass
    assert acts[0] < 0.0
    assert acts[2] == far.min()
    assert torch.equal(asked.act(at)[:, 0], acts)
    assert Recovering(Own(), learner, 0.0, 1.0).act(at)[:, 0].tolist() == [0.5] * 3


def test_an_action_is_kept_to_while_nearly_as_good_but_no_longer_than_it_was_judged_for():
    blind = SimpleNamespace(q=lambda observations, actions: torch.ones(len(observations)))
    found = [{3: 0.0}, {5: 0.0, 3: 0.1}, {5: 0.0, 3: 0.1}, {5: 0.0, 3: 0.1}, {5: 0.5, 3: 0.0}]

    def dangers(observations, actions, drift):
        answer = torch.full(actions.shape[:2], 2.0)
        for action, danger in found.pop(0).items():
            answer[:, action] = danger
        return answer

    dangers.steps, dangers.drift = 3, Still()
    own = SimpleNamespace(act=lambda observations: torch.zeros(len(observations), 1), reset=lambda rows, seeds: None)
    policy = Recovering(own, SimpleNamespace(target=blind, critic=None), 0.0, 1.0, ways=dangers)
    far = all_over(FAR, 1, 1.0)[:, 0]
    acts = [policy.act(torch.zeros(1, 1)).item() for _ in range(5)]
    assert acts == [far[i].item() for i in (2, 2, 2, 4, 2)]


def test_a_row_acts_alike_whatever_the_others_do():
    """Row 0's action passes in the second and third step; beside it a row of which none ever does, or no row."""

    def acts(beside):
        step = 0

        def q(observations, actions):
            found = torch.ones(len(observations))
            found[3] = -1.0 if step in (1, 2) else 1.0
            return found

        def dangers(observations, actions, drift):
            answer = torch.full(actions.shape[:2], 2.0)
            answer[:, 3], answer[:, 5] = (0.0, 1.0) if step == 0 else (0.1, 0.0)
            return answer

        dangers.steps, dangers.drift = 2, Still()
        own = SimpleNamespace(act=lambda observations: torch.zeros(len(observations), 1))
        policy = Recovering(own, SimpleNamespace(target=SimpleNamespace(q=q), critic=None), 0.0, 1.0, ways=dangers)
        taken = []
        for step in range(6):  # noqa: B007 (q and dangers read it)
            taken.append(policy.act(torch.zeros(1 + beside, 1))[0].item())
        return taken

    far = all_over(FAR, 1, 1.0)[:, 0]
    assert acts(0) == acts(1) == [far[i].item() for i in (2, 2, 2, 2, 2, 4)]

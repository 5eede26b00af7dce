"""Actions held for several steps, on models with a known answer."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from osrl_proco.core.errors import UserError
from osrl_proco.data.transitions import Transitions
from osrl_proco.envs import BrakeEnv
from osrl_proco.proco.danger import Danger
from osrl_proco.proco.feasibility import FeasibilityBatch, ProcoSettings, backup
from osrl_proco.proco.held import along, held_on, held_rollout, hold
from osrl_proco.proco.source import FeasibilityData, SourceSettings
from osrl_proco.run import settings


def drawing(seed=0):
    return torch.Generator().manual_seed(seed)


def line(*shifts, left=0.0):
    """Positions that move by the action, and in each elite by a shift of its own; unsafe from 3 on. left: what moves by
    itself in a step."""
    apart = torch.tensor(shifts)[:, None, None]
    model = SimpleNamespace(
        elites=torch.arange(len(shifts)), follow=lambda state, actions: state + actions + apart, left_by_rule=left
    )
    return model, Danger(lambda s: (s[..., 0] >= 3).float(), 1)


def column(*values):
    return torch.tensor(values, dtype=torch.float32)[:, None]


def test_every_elite_goes_its_own_way_and_the_worst_says_what_is_dangerous():
    ends, ways = hold(*line(0.0, 0.5), column(0.0, -9.0), column(1.0, 1.0), 3, drawing())
    assert ways.tolist() == [[-1.0, 1.0, 1.0], [-1.0, -1.0, -1.0]]  # the second passes 3 a step earlier
    assert ends[0].item() in (3.0, 4.5)
    assert ends[1].item() in (-6.0, -4.5)


def test_what_moves_by_itself_counts_on_the_way_and_not_where_it_ends():
    ends, ways = hold(*line(0.0, left=0.6), column(0.0), column(0.5), 3, drawing())
    assert ways.tolist() == [[-1.0, -1.0, 1.0]]  # 1.1, 2.2, 3.3
    assert ends.item() == 1.5


def test_blocks_change_nothing(monkeypatch):
    states, actions = torch.randn(50, 1, generator=drawing()), torch.rand(50, 1, generator=drawing(1))
    whole = hold(*line(0.0), states, actions, 4, drawing())
    monkeypatch.setattr("osrl_proco.proco.held.BLOCK", 7)
    assert all(map(torch.equal, whole, hold(*line(0.0), states, actions, 4, drawing())))


def test_danger_along_the_way_by_hand():
    ways = torch.tensor(
        [[-1.0, -1.0, -1.0, -1.0], [-1.0, -1.0, -1.0, 1.0], [2.0, 2.0, 2.0, 2.0], [-0.5, -1.0, -1, -0.5]]
    )
    assert along(ways).tolist() == [-1.0, 1.125, 2.0, -0.75]


@given(st.lists(st.floats(-1, 2, width=32).filter(lambda x: x != 0), min_size=1, max_size=20))
def test_the_way_is_unsafe_exactly_where_a_step_is_and_leaving_danger_sooner_is_better(steps):
    way = torch.tensor([steps])
    found = along(way).item()
    assert (found > 0) == any(x > 0 for x in steps)
    assert -1 <= found <= 2
    last = max((i for i, x in enumerate(steps) if x > 0), default=None)
    if last is not None:
        way[0, last] = -1.0
        assert along(way).item() <= found


def test_recorded_steps_come_first_and_ends_of_the_task_stay():
    batch = FeasibilityBatch(
        column(0.0, 0.0, 0.0), column(1.0, 1.0, 1.0), column(0.5, 0.5, 0.5),
        torch.full((3,), -1.0), torch.tensor([-1.0, 1.0, -1.0]), torch.tensor([0.0, 0.0, 1.0]),
    )  # fmt: skip
    held = held_on(batch, *line(0.0), 3, drawing())
    assert held.next_observations.flatten().tolist() == [2.5, 2.5, 0.5]
    # The second was unsafe in its recorded step: one of three.
    assert held.next_danger.tolist() == pytest.approx([-1.0, 1.0 + 0.5 / 3, -1.0])
    assert torch.equal(held.observations, batch.observations)


def test_after_danger_the_rollout_goes_on_and_elsewhere_it_ends():
    rows, figures = held_rollout(
        *line(0.0), lambda s: torch.ones_like(s), column(2.5, -99.0), length=2, steps=2, noise=0.0, max_action=1.0,
        generator=drawing(),
    )  # fmt: skip
    assert rows.observations.flatten().tolist() == [2.5, -99.0, 4.5]
    assert rows.danger.tolist() == [-1.0, -1.0, 1.0]
    assert rows.actions.abs().max() <= 1
    assert figures == {"rollout/violating": 0.5, "rollout/lasting": 0.5}


class Brake:
    """The cart of OfflineBrake, exactly."""

    elites = torch.arange(1)
    left_by_rule = 0.0

    def __init__(self, env):
        self.env = env

    def follow(self, state, actions):
        after, _ = self.env.advance(state[0].numpy(), actions.numpy())
        return torch.from_numpy(after)[None]


def held_values(env, states, steps, decisions, gamma=0.99, h_max=3.0):
    """V (N,) of the held backup by exhaustion: full throttle, none and full braking, `decisions` times."""
    if decisions == 0:
        return torch.full((len(states),), -1.0)
    danger = Danger(lambda s: (s[..., 0] <= 0).float(), 2)
    found = []
    for throttle in (-1.0, 0.0, 1.0):
        actions = torch.full((len(states), 1), throttle)
        ends, ways = hold(Brake(env), danger, states, actions, steps, drawing())
        own = danger.recorded(states)
        batch = FeasibilityBatch(states, actions, ends, own, along(ways), torch.zeros_like(own))
        following = held_values(env, ends, steps, decisions - 1, gamma, h_max)
        found.append(backup(batch, following, gamma**steps, h_max, "reached"))
    return torch.stack(found).amin(0)


def test_what_is_feasible_by_actions_held_is_feasible_and_on_the_cart_all_of_it():
    """Full braking is the best there is on the cart, and may be held, so both sets are the closed form's."""
    env = BrakeEnv()
    gap, speed = np.meshgrid(np.linspace(0.13, 10, 34), np.linspace(-2, 5, 29))
    states = np.stack([gap.ravel(), speed.ravel()], 1).astype(np.float32)
    values = held_values(env, torch.from_numpy(states), steps=5, decisions=5)
    assert np.array_equal(values.numpy() <= 0, env.is_feasible(states))


def test_the_critics_data_are_held_recorded_and_imagined():
    zeros = np.zeros(4, np.float32)
    data = Transitions.from_arrays(
        {
            "observations": np.array([[0.0], [1.0], [2.0], [-9.0]], np.float32),
            "next_observations": np.array([[1.0], [2.0], [2.9], [-8.0]], np.float32),
            "actions": np.ones((4, 1), np.float32),
            "rewards": zeros, "costs": zeros, "terminals": zeros, "timeouts": zeros,
        }
    )  # fmt: skip
    model, danger = line(0.0)
    own = SourceSettings(hold=2, rollout_batch=50, rollout_repeats=2, rollout_length=1, model_share=1.0)
    source = FeasibilityData(data, danger, model, own, max_action=1.0)
    figures = source.refresh(torch.ones_like, drawing())
    assert figures["rollout/kept"] == 100
    rows = source.batch(400, drawing())
    recorded = FeasibilityBatch(*(part[:400] for part in rows))
    unsafe = recorded.observations.flatten() + 2.0 >= 3.0
    assert torch.equal(recorded.next_danger > 0, unsafe | (recorded.observations.flatten() == 2.0))
    assert torch.equal(recorded.next_observations > -5, recorded.observations > -5)
    assert len(rows.danger) == 800


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (("--model_share", "0"), "--model_share"),
        (("--conservative_backup", "max"), "--conservative_backup"),
        (("--ablation", "full_model"), "--ablation"),
    ],
)
def test_what_cannot_be_held_is_said(flags, named):
    with pytest.raises(UserError, match=named):
        settings.parse(["--algo", "fisor", "--task", "OfflineBrake", "--hold", "5", *flags])


def test_without_the_model_nothing_is_held():
    config = settings.parse(
        ["--algo", "fisor", "--task", "PointGoal1", "--critic", "ours", "--ablation", "without_model"]
    )
    assert config.hold == 15
    assert SourceSettings.of(config).hold == ProcoSettings.of(config).hold == 1

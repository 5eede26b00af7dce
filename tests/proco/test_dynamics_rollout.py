"""The dynamics ensemble on systems with a known law, and rollouts on models with a known answer."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from osrl_proco.core.errors import UserError
from osrl_proco.data.transitions import Transitions
from osrl_proco.proco.danger import Danger
from osrl_proco.proco.dynamics import Dynamics, _WeightedLikelihood, fit, floored
from osrl_proco.proco.feasibility import FeasibilityBatch
from osrl_proco.proco.rollout import ImaginedBuffer, branched_rollout


def linear_data(count=2000, noise=0.0, seed=0):
    rng = np.random.default_rng(seed)
    s, a = rng.normal(size=(count, 3)), rng.uniform(-1, 1, (count, 2))
    change = s @ np.array([[0, 0.1, 0], [0, 0, 0.1], [-0.1, 0, 0]]) + a @ np.array([[0.2, 0, 0], [0, 0, 0.3]])
    zeros = np.zeros(count)
    return Transitions.from_arrays(
        {
            "observations": s, "actions": a, "next_observations": s + change + noise * rng.normal(size=s.shape),
            "rewards": s[:, 0], "costs": zeros, "terminals": zeros, "timeouts": zeros,
        }
    )  # fmt: skip


def small(**changes):
    torch.manual_seed(0)
    return Dynamics(3, 2, hidden=(32, 32), **{"members": 4, "elites": 2, **changes})


def test_it_learns_a_linear_law_and_keeps_the_best_members():
    model = small()
    report = fit(model, linear_data(), epochs=30, progress=False)
    assert report.elite_mse < 0.02
    assert sorted(report.elites) == sorted(np.argsort(report.holdout_mse)[:2].tolist())
    fresh = linear_data(200, seed=1)
    expected, rewards = model.predict(fresh.observations, fresh.actions, noise=False)
    assert expected.shape == (2, 200, 3)
    assert (expected - fresh.next_observations).abs().mean() < 0.03
    assert (rewards - fresh.rewards).abs().mean() < 0.1


def test_noise_in_the_data_becomes_noise_in_the_samples():
    model = small()
    fit(model, linear_data(4000, noise=0.2), epochs=15, progress=False)
    state, action = torch.zeros(4000, 3), torch.zeros(4000, 2)
    samples, _ = model.predict(state, action)
    assert samples[0].std(0).mean().item() == pytest.approx(0.2, rel=0.3)


def test_a_batched_layer_is_its_members_one_by_one():
    model = small()
    x = torch.randn(4, 5, 5)
    mean, logvar = model.distribution(x)
    for m in range(4):
        one_mean, one_logvar = model.distribution(x[m : m + 1], torch.tensor([m]))
        torch.testing.assert_close(one_mean[0], mean[m])
        torch.testing.assert_close(one_logvar[0], logvar[m])


def test_fitting_is_deterministic_and_survives_saving(tmp_path):
    first, second = small(), small()
    for model in (first, second):
        fit(model, linear_data(600), epochs=3, progress=False)
    for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    first.save(tmp_path / "m.pt", task="x")
    loaded, about = Dynamics.load(tmp_path / "m.pt")
    state, action = torch.randn(9, 3), torch.randn(9, 2)
    assert torch.equal(loaded.predict(state, action, noise=False)[0], first.predict(state, action, noise=False)[0])
    assert about == {"task": "x"}


def test_early_stopping_stops():
    report = fit(small(), linear_data(600), epochs=500, patience=2, progress=False)
    assert report.epochs < 500


@pytest.mark.parametrize("content", [b"", b"not a model", b"PK\x03\x04 half a zip"])
def test_a_damaged_model_is_one_line(tmp_path, content):
    (tmp_path / "m.pt").write_bytes(content)
    with pytest.raises(UserError, match=r"m\.pt: not a dynamics model"):
        Dynamics.load(tmp_path / "m.pt")


def test_too_few_transitions_is_one_line():
    with pytest.raises(UserError, match="more data"):
        fit(small(), linear_data(100), progress=False)


def test_numerical_noise_is_not_blown_up():
    values = torch.stack([torch.randn(500), torch.randn(500) * 1e-9, torch.zeros(500), 3 * torch.randn(500)], 1)
    scale = floored(values.std(0))
    assert scale[0].item() == pytest.approx(1, rel=0.1)
    assert scale[1] >= 0.005
    assert scale[2] >= 0.005


class Known(torch.nn.Module):
    """Elite e moves the state by action + shift[e]."""

    def __init__(self, shifts):
        super().__init__()
        self.shifts = torch.tensor(shifts)
        self.elites = torch.arange(len(shifts))

    def predict(self, observations, actions, noise=True):
        moved = observations + actions + self.shifts[:, None, None]
        return moved, torch.zeros(moved.shape[:2])


def beyond_three(states):
    return (states[..., 0] >= 3).float()


def labels(cost):
    return Danger(cost, 1)


def walk(starts, horizon, shifts=(0.0, 0.0), step=1.0, keep_all=False):
    return branched_rollout(
        Known(list(shifts)), labels(beyond_three), lambda s: torch.full_like(s, step), torch.tensor(starts)[:, None],
        horizon=horizon, noise=0.0, max_action=1.0, generator=torch.Generator().manual_seed(0), keep_all=keep_all,
    )  # fmt: skip


def test_branches_are_cut_at_the_first_violation_and_the_others_thrown_away():
    # From 0.5 the walk passes 3 at its third step, from 2.5 at its first; from -5 never.
    branches, _, figures = walk([0.5, 2.5, -5.0], horizon=4)
    got = sorted(zip(branches.observations[:, 0].tolist(), branches.next_danger.tolist(), strict=True))
    assert got == [(0.5, -1.0), (1.5, -1.0), (2.5, 1.0), (2.5, 1.0)]
    assert figures["rollout/violating"] == pytest.approx(2 / 3)
    assert figures["rollout/steps_to_violation"] == pytest.approx((3 + 1) / 2)


def test_the_horizon_bounds_the_walk():
    assert len(walk([0.5], horizon=2)[0].danger) == 0


def test_any_elite_in_danger_labels_the_state():
    branches, *_ = walk([1.5], horizon=1, shifts=(0.0, 0.0, 0.6))
    assert branches.next_danger.tolist() == [1.0]


def test_actions_stay_in_bounds_whatever_the_noise():
    branches, *_ = branched_rollout(
        Known([0.0]), labels(lambda s: torch.ones(s.shape[:-1])), torch.zeros_like, torch.zeros(500, 2),
        horizon=1, noise=5.0, max_action=0.7, generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    assert branches.actions.abs().max() <= 0.7


def test_the_full_model_keeps_the_branches_that_stay_safe_too():
    branches, rewards, figures = walk([2.5, -5.0], horizon=2, keep_all=True)
    got = sorted(zip(branches.observations[:, 0].tolist(), branches.next_danger.tolist(), strict=True))
    assert got == [(-5.0, -1.0), (-4.0, -1.0), (2.5, 1.0)]
    assert len(rewards) == 3
    assert figures["rollout/violating"] == pytest.approx(1 / 2)


def transitions(values):
    v = torch.tensor(values, dtype=torch.float32)
    return FeasibilityBatch(v[:, None], v[:, None], v[:, None], v, v, v), 10 * v


def drawn(buffer, count):
    batch, rewards = buffer.sample(count, torch.Generator().manual_seed(0))
    assert torch.equal(rewards, 10 * batch.danger)
    return set(batch.danger.tolist())


def test_the_buffer_overwrites_the_oldest_and_comes_back():
    buffer = ImaginedBuffer(4, 1, 1, "cpu")
    buffer.add(*transitions([1, 2, 3]))
    buffer.add(*transitions([4, 5]))
    assert drawn(buffer, 200) == {2, 3, 4, 5}
    again = ImaginedBuffer(4, 1, 1, "cpu")
    again.load_state_dict(buffer.state_dict())
    buffer.add(*transitions([6]))
    again.add(*transitions([6]))
    assert drawn(again, 200) == drawn(buffer, 200) == {3, 4, 5, 6}


def test_the_buffer_takes_the_last_of_a_batch_too_large():
    buffer = ImaginedBuffer(2, 1, 1, "cpu")
    buffer.add(*transitions([1, 2, 3, 4]))
    assert drawn(buffer, 100) == {3, 4}


def test_a_buffer_of_another_size_is_refused():
    buffer = ImaginedBuffer(4, 1, 1, "cpu")
    buffer.add(*transitions([1, 2, 3, 4]))
    with pytest.raises(ValueError, match="do not fit"):
        ImaginedBuffer(2, 1, 1, "cpu").load_state_dict(buffer.state_dict())


def test_the_weighted_likelihood_is_what_autograd_makes_of_its_formula():
    draw = torch.Generator().manual_seed(0)
    mean, logvar, targets = (torch.randn(3, 7, 4, generator=draw, dtype=torch.float64) for _ in range(3))
    weights = torch.tensor([1.0, 2.0, 0.5, 0.5], dtype=torch.float64)
    inputs = mean.requires_grad_(), logvar.requires_grad_()
    terms = ((mean - targets) ** 2 * (-logvar).exp() + logvar) * logvar.detach().exp()
    by_formula = (terms * weights).mean((1, 2)).sum()
    found = _WeightedLikelihood.apply(mean, logvar, targets, weights)
    torch.testing.assert_close(found, by_formula)
    torch.testing.assert_close(torch.autograd.grad(3 * found, inputs), torch.autograd.grad(3 * by_formula, inputs))


def test_a_margin_that_jumps_is_learned_by_what_it_does_elsewise():
    """Two entries, the second a margin: it follows the action by 0.01, and jumps by 1 in every twentieth row."""
    count = 4000
    rng = np.random.default_rng(0)
    states = rng.uniform(-1, 1, (count, 2)).astype(np.float32)
    actions = rng.uniform(-1, 1, (count, 1)).astype(np.float32)
    change = 0.01 * actions[:, 0]
    jumps = np.arange(count) % 20 == 0
    after = states + np.stack([0.1 * actions[:, 0], np.where(jumps, 1.0, change)], 1)
    zeros = np.zeros(count, np.float32)
    columns = {"rewards": zeros, "costs": zeros, "terminals": zeros, "timeouts": zeros}
    data = Transitions.from_arrays({"observations": states, "next_observations": after, "actions": actions, **columns})
    torch.manual_seed(0)
    model = Dynamics(2, 1, (32,), 2, 1, margins=1)
    fit(model, data, epochs=12, progress=False)
    seen = model.follow(data.observations[None], data.actions)[0, :, 1] - data.observations[:, 1]
    # The mean with its jumps is at 0.05 above; the usual change deviates by 0.0058.
    assert float((seen - torch.from_numpy(change)).abs().mean()) < 0.004

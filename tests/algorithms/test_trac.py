"""TraC's labels, weights and loss by hand, its two stages, what they hold, and its twin."""

from __future__ import annotations

import copy
import dataclasses
import math

import pytest
import torch
from build import ACT, OBS, agent, living, transitions, updates
from torch import nn

from osrl_proco.algorithms.networks import DropoutMean
from osrl_proco.algorithms.trac import labels
from osrl_proco.core.errors import UserError
from osrl_proco.run.config import config_class
from osrl_proco.run.settings import parse

close = pytest.approx


def trac(proco=False, **changes):
    return agent("trac", proco, **changes)


def contrasting(proco=False, data=None, **changes):
    """An agent in its second stage, on data of 10 episodes of 30 steps."""
    data = data if data is not None else transitions()
    one = trac(proco, data=data, **{"segment_ratio": 0.2, **changes})
    updates(one, data, 2)
    assert one.judged is not None
    return one


# ---- labels


def test_weights_of_desirable_segments_and_of_those_of_low_return():
    returns, none = torch.tensor([2.0, 5.0, 10.0]), torch.zeros(3, dtype=torch.bool)
    assert labels(returns, none, 1.0, 0.0)[1].tolist() == close([0.7, 0.8125, 1.0])
    y, w = labels(returns, none, 0.0, 1.0)
    assert w.tolist() == close([1.0, 0.8875, 0.7])
    assert y.tolist() == [0, 0, 0]


def test_halves_are_rounded_up_and_the_unsafe_weigh_1():
    returns = torch.tensor([4.0, 0.0, 99.0, 1.0, 2.0])
    unsafe = torch.tensor([False, False, True, False, False])
    y, w = labels(returns, unsafe, 0.5, 0.5)
    assert y.tolist() == [1, 0, 0, 0, 1]
    assert w.tolist() == close([1.0, 1.0, 1.0, 0.7 + 0.3 * 0.75, 0.7 + 0.3 * 0.5])
    y, w = labels(returns[:3], torch.zeros(3, dtype=torch.bool), 0.5, 0.5)  # two each of three: the middle one is not
    assert y.tolist() == [0, 0, 1]
    y, w = labels(returns, unsafe, 0.25, 0.0)
    assert y.tolist() == [1, 0, 0, 0, 0]
    assert (w > 0).tolist() == [True, False, True, False, False]


def test_equal_returns_and_no_safe_segment_have_labels_too():
    equal = torch.ones(4)
    y, w = labels(equal, torch.zeros(4, dtype=torch.bool), 0.5, 0.5)
    assert y.sum() == 2
    assert torch.isfinite(w).all()
    y, w = labels(equal, torch.ones(4, dtype=torch.bool), 0.5, 0.5)
    assert (y.tolist(), w.tolist()) == ([0] * 4, [1] * 4)


def test_stock_a_segment_is_unsafe_above_its_share_of_the_limit():
    data = transitions(cost_rate=0.3)
    one = contrasting(data=data, cost_limit=12.0)  # segments of 12 of 60 steps: 2.4 each
    assert one.segments.length == 12
    costs = [data.costs[s : s + 12].sum().item() for s in one.segments.starts.tolist()]
    assert one.judged.tolist() == [c > 2.4 for c in costs]
    assert 0 < one.judged.sum() < len(costs)


def test_the_number_and_the_length_of_segments():
    one = trac(segment_ratio=0.2)
    segments = one.sampler(transitions())
    assert (segments.length, len(segments.starts)) == (12, 3 * 10)  # (30 - 12) // 6 for each of ten episodes
    whole = trac(segment_ratio=1.0, data=transitions(length=60)).sampler(transitions(length=60))
    assert (whole.length, len(whole.starts)) == (60, 10)  # no room: as many as there are trajectories


# ---- the loss


def by_hand(one, differences, y, w):
    """The loss on segments whose steps differ from the clone so much in log pi."""
    one.desirable, one.weights = torch.tensor(y), torch.tensor(w)
    scores = torch.stack([one.score(torch.tensor([d]), torch.zeros(1, len(d)))[0] for d in differences])
    return scores, one.loss(scores, torch.arange(len(y)))[0].item()


def test_loss_by_hand():
    one = trac()
    scores, loss = by_hand(one, [(1.0, -0.5), (0.8, 0.4)], [1.0, 0.0], [0.8125, 1.0])
    assert scores.tolist() == close([0.0505, 0.1196])
    assert torch.sigmoid(scores[0]).item() == close(0.512622, abs=1e-6)
    assert loss == close(0.460146, abs=1e-6)
    assert by_hand(one, [(1.0, -0.5)], [1.0], [0.8125])[1] == close(0.542925, abs=1e-6)
    assert 2 * loss - 0.542925 == close(0.377367, abs=1e-5)


def test_the_published_clamp_is_the_same_loss_without_a_gradient_for_the_worst():
    values = {}
    for clamp in (True, False):
        one = trac(clamp_score=clamp)
        one.desirable, one.weights = torch.tensor([1.0, 0.0]), torch.ones(2)
        near, far = torch.tensor([0.3, 0.2]), torch.tensor([-20.0, 20.0], requires_grad=True)
        values[clamp] = one.loss(near, torch.arange(2))[0].item()
        one.loss(far, torch.arange(2))[0].backward()
        assert bool((far.grad.abs() > 0).all()) is not clamp
    assert values[True] == close(values[False], abs=1e-6)


def test_a_batch_of_one_kind_is_finite():
    one = trac()
    one.weights = torch.ones(3)
    for y in (torch.ones(3), torch.zeros(3)):
        one.desirable = y
        loss, _ = one.loss(torch.tensor([0.1, 0.2, 0.3]), torch.arange(3))
        assert (loss.item() == 0) is bool(y.sum() == 0)  # undesirable alone: n_1 is 0, and so is their weight


def test_log_pi_is_minus_the_squared_distance_in_shares_of_the_largest_action():
    one = trac()
    one.problem = dataclasses.replace(one.problem, max_action=2.0)
    for p in one.actor.parameters():
        nn.init.zeros_(p)
    actions = torch.tensor([[[1.0, -0.5], [2.0, 0.0]]])
    found = one.log_probability(one.actor, torch.zeros(1, 2, OBS), actions)
    assert found.tolist() == [close([-(0.25 + 0.0625), -((1 - 1e-5) ** 2)])]


def test_dropout_draws_from_its_generator_alone_and_scales():
    net = DropoutMean(1, 1, [4000], 0.25)
    nn.init.ones_(net.layers[0].weight), nn.init.constant_(net.layers[1].weight, 1 / 40_000)
    x, seeded = torch.ones(1, 1), lambda: torch.Generator().manual_seed(3)
    before = torch.get_rng_state()
    assert torch.equal(net(x, seeded()), net(x, seeded()))
    assert torch.equal(before, torch.get_rng_state())
    assert net(x).item() == close(math.tanh(0.1), abs=1e-4)
    assert net(x, seeded()).item() == close(math.tanh(0.1), abs=0.01)
    assert net(x, seeded()).item() != net(x).item()


# ---- stages


def test_the_clone_becomes_the_reference_and_the_optimizer_is_new():
    one, data = trac(update_steps=10, bc_share=0.3), transitions()
    first, reference = one.optimizer, copy.deepcopy(one.reference.state_dict())
    info = updates(one, data, 2)
    assert "loss/clone" in info
    assert one.optimizer is first
    assert all(torch.equal(reference[k], v) for k, v in one.reference.state_dict().items())
    updates(one, data, 1)
    assert one.optimizer is not first
    assert all(torch.equal(v, one.reference.state_dict()[k]) for k, v in one.actor.state_dict().items())
    kept = copy.deepcopy(one.reference.state_dict())
    info = updates(one, data, 3)
    assert {"loss/actor", "trac/accuracy"} <= info.keys()
    assert all(torch.equal(kept[k], v) for k, v in one.reference.state_dict().items())
    assert not all(torch.equal(v, kept[k]) for k, v in one.actor.state_dict().items())


def test_the_learning_rate_is_a_tenth_after_a_warm_up():
    one, data, rates = trac(update_steps=10, bc_share=0.3, lr_warmup_steps=4), transitions(), []
    for _ in range(8):
        updates(one, data, 1)
        rates.append(one.optimizer.param_groups[0]["lr"])
    assert rates == close([1e-4, 1e-4, 1e-4, 2.5e-6, 5e-6, 7.5e-6, 1e-5, 1e-5])


def test_the_clones_log_probabilities_are_asked_once_and_anew_after_a_load():
    one = contrasting()
    which = torch.tensor([3, 0])
    rows = one.segments.rows(which)
    assert rows.tolist() == [list(range(s, s + 12)) for s in one.segments.starts[which].tolist()]
    data = one.segments.data

    def directly():
        return one.log_probability(one.reference, data.observations[rows], data.actions[rows])

    assert torch.allclose(one.reference_of(which), directly())
    other = contrasting(seed=9)
    one.load_state_dict(copy.deepcopy(other.state_dict()))
    assert torch.allclose(one.reference_of(which), directly())


@pytest.mark.parametrize("before", [1, 4])
def test_a_resumed_run_keeps_its_stage_and_its_labels(before):
    data = transitions(cost_rate=0.3)
    first = trac(segment_ratio=0.2, cost_limit=12.0)
    updates(first, data, before)
    second = trac(segment_ratio=0.2, cost_limit=12.0, seed=8)
    sampler = second.sampler(data)  # as a run does it: the sampler first, then the state
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    assert (second.judged is None) == (before == 1)
    if before == 4:
        assert torch.equal(first.segments.starts, sampler.starts)
        assert torch.equal(first.desirable, second.desirable)
        assert torch.equal(first.segments.among, sampler.among)


def test_a_lengthened_run_stays_in_its_second_stage():
    one = contrasting()
    longer = trac(segment_ratio=0.2, update_steps=1000)
    longer.load_state_dict(copy.deepcopy(one.state_dict()))
    assert "loss/actor" in updates(longer, transitions(), 1)


def test_what_is_left_out_is_not_drawn_any_more():
    one = contrasting(safe_top=0.2, safe_bottom=0.0, cost_limit=1000.0)
    kept = set(one.segments.among.tolist())
    assert len(kept) == 6  # a fifth of 30
    drawn = one.segments.sample(torch.Generator().manual_seed(0)).which
    assert set(drawn.tolist()) <= kept


def test_it_learns_to_avoid_what_unsafe_segments_do():
    """Half of the episodes do .8 and cost, half do -.8: the clone does something between, TraC leans to -.8."""
    data = transitions(episodes=20, cost_rate=0.0, constant_reward=1.0)
    bad = (torch.arange(600) // 30 % 2 == 0).float()
    data = dataclasses.replace(data, actions=(1.6 * bad - 0.8)[:, None].expand(-1, ACT).clone(), costs=bad)
    one = trac(
        data=data, segment_ratio=0.2, cost_limit=1.0, update_steps=400, bc_share=0.5, actor_lr=0.01, lr_warmup_steps=1,
        contrast_lr_factor=0.3, safe_top=1.0, safe_bottom=0.0, eta=1.0,
    )  # fmt: skip
    updates(one, data, 200)
    clone = one.act(data.observations, torch.Generator()).mean().item()
    updates(one, data, 200)
    assert one.act(data.observations, torch.Generator()).mean().item() < clone - 0.2
    assert abs(clone) < 0.3


# ---- the twin


def test_the_twin_calls_unsafe_what_the_critic_and_the_cost_function_do(monkeypatch):
    data = transitions(cost_rate=0.02)
    one = contrasting(True, data, least_safe=0.0)
    lost = torch.zeros(len(data), dtype=torch.bool)
    lost[[50, 130]] = True
    monkeypatch.setattr(one.feasibility.critic, "value", lambda s: torch.where(lost, 0.1, -1.0))
    marked = (data.costs > 0) | lost
    starts, length = one.segments.starts.tolist(), one.segments.length
    assert one.judge(one.segments).tolist() == [bool(marked[s : s + length].any()) for s in starts]


def test_on_data_without_costs_the_stock_form_has_no_unsafe_segment_and_the_twin_may():
    data = transitions(cost_rate=0.0)
    assert contrasting(data=data, cost_limit=0.0).judged.sum() == 0
    twin = contrasting(True, data)
    nn.init.constant_(twin.feasibility.critic.v_net[-1].bias, 9.0)
    assert twin.judge(twin.segments).all()


def test_where_nearly_all_segments_are_dangerous_those_with_the_fewest_such_steps_count_as_safe(monkeypatch, capsys):
    data = transitions(cost_rate=0.0)
    one = contrasting(True, data, least_safe=0.25)
    dangerous = torch.arange(len(data)) % 30 >= 10  # the last 20 steps of each episode: later segments have more
    monkeypatch.setattr(one.feasibility.critic, "value", lambda s: torch.where(dangerous, 0.1, -1.0))
    starts, length = one.segments.starts.tolist(), one.segments.length
    counts = torch.tensor([int(dangerous[s : s + length].sum()) for s in starts])
    safe = ~one.judge(one.segments)
    most = counts[safe].max()
    assert most > 0
    assert torch.equal(safe, counts <= most)
    assert (counts < most).float().mean() < 0.25 <= safe.float().mean()
    assert f"at most {most} of 12 count as safe" in capsys.readouterr().err
    one.config.least_safe = 0.0
    assert torch.equal(one.judge(one.segments), counts > 0)


# ---- memory


def test_segments_are_starts_and_not_copies():
    """Tensors held, all of them: data, agent and sampler, after updates of both stages."""
    before = living()
    data = transitions(episodes=200, length=1000)
    one = trac(True, data=data, batch_size=2, segment_ratio=1.0)
    one.problem = dataclasses.replace(one.problem, episode_len=1000)
    one.config.segment_ratio = 0.75
    updates(one, data, 4)
    assert len(one.segments.starts) == 41 * 200
    size = sum(getattr(data, f.name).numel() * 4 for f in dataclasses.fields(data))
    assert size < sum(n for at, n in living().items() if at not in before) < 2.2 * size


# ---- settings


def test_published_settings():
    c = config_class("trac")()
    assert (c.update_steps, c.bc_share, c.batch_size, c.actor_lr) == (100_000, 0.3, 96, 1e-4)
    assert (c.contrast_lr_factor, c.lr_warmup_steps, c.dropout, c.a_hidden_sizes) == (0.1, 10_000, 0.25, [256, 256])
    assert (c.segment_ratio, c.alpha, c.score_discount, c.eta) == (0.75, 0.1, 0.99, 0.5)
    assert (c.safe_top, c.safe_bottom, c.clamp_score) == (0.5, 0.5, False)
    bullet = parse(["--algo", "trac", "--task", "OfflineBallRun-v0"])
    assert (bullet.segment_ratio, bullet.alpha, bullet.eta, bullet.safe_bottom) == (1.0, 0.2, 0.25, 0.0)


@pytest.mark.parametrize(
    "flag", ["--segment_ratio=1.5", "--dropout=1", "--bc_share=-0.1", "--score_discount=0", "--safe_top=2"]
)
def test_settings_out_of_range_are_one_line(flag):
    with pytest.raises(UserError, match=flag.split("=")[0]):
        parse(["--algo", "trac", flag])


def test_the_full_model_has_no_segments():
    with pytest.raises(UserError, match="trac does not learn from single transitions"):
        parse(["--algo", "trac", "--ablation", "full_model"])

"""An update captured once and replayed is the plain one, bit for bit: what `--cuda_graph` relies on."""

from __future__ import annotations

import pytest
import torch
from build import agent, feasibility, flat, transitions
from tape import Tape

from osrl_proco.algorithms import algorithms
from osrl_proco.core.errors import UserError
from osrl_proco.core.graph import WARM_UP, Captured, CudaGraph
from osrl_proco.proco.optim import anneal, rates_on_device

CAPTURABLE = [name for name, spec in algorithms().items() if spec.twin and agent(name).capturable]
captured = pytest.mark.parametrize(
    ("name", "proco"), [(n, p) for n in CAPTURABLE for p in (False, True)], ids=lambda x: {True: "proco"}.get(x, str(x))
)


def batches(made, data, count):
    sampler, generator = made.sampler(data), torch.Generator().manual_seed(1)
    for _ in range(count):
        rows = torch.randint(len(data), (64,), generator=generator)
        yield sampler.sample(generator), feasibility(data, rows) if made.feasibility is not None else None


def same(found, wanted):
    assert list(found) == list(wanted)
    for key, value in wanted.items():
        torch.testing.assert_close(
            torch.as_tensor(found[key]).float(), torch.as_tensor(value).float(), rtol=0, atol=0, msg=key
        )


def test_three_algorithms_can_be_captured():
    assert CAPTURABLE == ["fisor", "lspc", "caps"]


@captured
def test_replayed_updates_are_plain_ones(name, proco):
    data, tape = transitions(), Tape()
    plain, made = agent(name, proco), agent(name, proco)
    plain.count_on_device()
    made.count_on_device()
    update, kept = Captured(made.update, tape), []
    for one, other in zip(batches(plain, data, 12), batches(made, data, 12), strict=True):
        kept.append((plain.update(*one), update(*other)))
    assert tape.replays == 12 - WARM_UP
    for wanted, found in kept:  # after the last one: no replay writes over what an earlier one said
        same({k: found[k] for k in wanted}, wanted)
    same(flat(made.state_dict()), flat(plain.state_dict()))


@captured
def test_counting_on_the_device_changes_rounding_only_and_checkpoints_not_at_all(name, proco):
    data = transitions()
    plain, made, resumed = (agent(name, proco) for _ in range(3))
    for batch in batches(plain, data, 6):
        plain.update(*batch)
    made.count_on_device()
    for batch in batches(made, data, 6):
        made.update(*batch)
    one, other = flat(plain.state_dict()), flat(made.state_dict())
    for key, value in one.items():
        assert type(other[key]) is type(value)
        torch.testing.assert_close(other[key], value, rtol=1e-4, atol=1e-6, msg=key)
    resumed.load_state_dict(made.state_dict())
    same(flat(resumed.state_dict()), other)
    made.load_state_dict(plain.state_dict())
    same(flat(made.state_dict()), one)


def test_batches_of_another_size_are_updated_with_plainly():
    data, tape = transitions(), Tape()
    plain, made = agent("lspc"), agent("lspc")
    update = Captured(made.update, tape)
    for number, (one, other) in enumerate(zip(batches(plain, data, 8), batches(made, data, 8), strict=True)):
        if number == 5:
            one, other = ((batch, feasibility(data, slice(0, 20))) for batch, _ in (one, other))
        plain.update(*one)
        update(*other)
    assert tape.replays == 8 - WARM_UP - 1
    same(flat(made.state_dict()), flat(plain.state_dict()))


def test_what_python_does_in_an_update_would_be_seen():
    counted = {"n": 0}

    def update(x):
        counted["n"] += 1
        return {"sum": x.sum() + counted["n"]}

    one = Captured(update, Tape())
    figures = [float(one(torch.ones(2))["sum"]) for _ in range(6)]
    assert figures == [3, 4, 5, 6, 6, 6]
    waiting = Captured(lambda x: {"sum": x * x.sum().item()}, Tape())
    for _ in range(WARM_UP):
        waiting(torch.ones(1))
    with pytest.raises(RuntimeError, match="a value is asked for"):
        waiting(torch.ones(1))


def test_rates_on_the_device_wait_for_nothing():
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.zeros(2, device="meta"))], lr=1e-3)
    rates_on_device(optimizer)
    anneal(optimizer, 1e-3, torch.tensor(5, device="meta"), 10)
    assert optimizer.param_groups[0]["lr"].is_meta


def test_a_cuda_graph_needs_a_cuda_device():
    with pytest.raises(UserError, match="--cuda_graph: needs a CUDA device, not cpu"):
        CudaGraph("cpu", [], [])

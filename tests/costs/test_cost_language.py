"""The language against plain Python: what it accepts, it evaluates to the same bits; and no state sees another."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from honest_programs import programs
from hypothesis import HealthCheck, given, settings

from osrl_proco.costs import CostFunction, LanguageError
from osrl_proco.costs.language import function
from osrl_proco.costs.language.operations import FUNCTIONS, MAX_NUMBERS, METHODS_ONLY
from osrl_proco.costs.sandbox import trial as sandbox
from osrl_proco.costs.sandbox.checks import check
from osrl_proco.costs.sandbox.trial import try_out
from osrl_proco.tasks.task import load_task

POINT = load_task("PointGoal1")
BATCH = Path(__file__).with_name("sandbox_workers") / "batch.py"
thorough = settings(deadline=None, max_examples=150, suppress_health_check=list(HealthCheck))


def observations(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(count, 60, generator=generator)
    x[:, 12:] = torch.rand(count, 48, generator=generator)
    x[::5] = (x[::5] * 2).round() / 2  # ties, zeros and whole numbers, too
    return x


def plain(text, states):
    """What Python makes of a text of ours."""
    names = {"torch": torch}
    exec(text, names)
    return names["cost"]({e.name: states[..., e.start : e.stop] for e in POINT.entries})


@given(programs(labels=False))
@thorough
def test_an_honest_function_is_accepted_and_is_its_plain_python_to_the_bit(text):
    states = observations(33)
    before = states.clone()
    result, expected = CostFunction(text, POINT).raw(states), plain(text, states)
    assert result.dtype == expected.dtype == torch.float32
    assert torch.equal(result.view(torch.int32), expected.contiguous().view(torch.int32))  # NaN and -0 are themselves
    assert torch.equal(states, before)


@given(programs())
@settings(thorough, max_examples=100)
def test_an_honest_label_is_plain_pythons_and_passes_every_check(text):
    states = observations(19, seed=1)
    labels = check(CostFunction(text, POINT).raw, states)
    assert torch.equal(labels, plain(text, states).float())


def test_honest_functions_pass_in_the_process_under_its_limits():
    texts = []

    @given(programs())
    @settings(thorough, max_examples=60)
    def collect(text):
        texts.append(text)

    collect()
    assert stages(texts) == "-" * len(texts)


OPERATIONS = {
    **{n: f"return torch.{n}(x[..., 0]) > 0.5" for n in FUNCTIONS},
    **{n: f"return x[..., 0].{n}() > 0.5" for n in METHODS_ONLY},
    **{n: f"return x.{n}(dim=-1) > 0.5" for n in ("sum", "mean", "amin", "amax", "prod", "min", "max", "norm")},
    **{n: f"return (x > 0.5).{n}(dim=-1)" for n in ("any", "all")},
    **{n: f"return torch.{n}(x[..., 0], x[..., 1]) > 0.5" for n in ("minimum", "maximum", "atan2", "hypot")},
    **{n: f"return torch.{n}(x[..., 0] > 0, x[..., 1] > 0)" for n in ("logical_and", "logical_or", "logical_xor")},
    "clamp": "return torch.clamp(x[..., 0], min=0.1, max=0.9) > 0.5",
    "clip": "return x[..., 0].clip(0.1, 0.9) > 0.5",
    "where": "return torch.where(x[..., 0] > 0.5, 1.0, 0.0)",
    "pow": "return torch.pow(x[..., 0], 2) > 0.5",
    "logical_not": "return torch.logical_not(x[..., 0] > 0.5)",
}


def stages(texts):
    """What stopped each text in the process, by first letter; "-" where nothing did."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sandbox, "WORKER", BATCH)
        return try_out(json.dumps(texts), POINT, observations(40), seconds=120).reason


def test_every_operation_works_in_the_process_under_its_limits():
    assert set(OPERATIONS) == {*FUNCTIONS, *METHODS_ONLY}
    texts = [f'def cost(obs):\n    x = obs["hazards_lidar"]\n    {line}' for line in OPERATIONS.values()]
    assert dict(zip(OPERATIONS, stages(texts), strict=True)) == dict.fromkeys(OPERATIONS, "-")


@pytest.mark.parametrize("shape", [(), (1,), (16,), (3, 16), (16, 16), (2, 3, 4), (0,), (4, 0)])
def test_the_arrangement_of_a_batch_changes_nothing(shape):
    text = 'def cost(obs):\n    x = obs["hazards_lidar"]\n    return (x > x.mean(dim=-1, keepdim=True)).sum(dim=-1) > 8'
    states = observations(torch.Size(shape).numel()).reshape(*shape, 60)
    expected = (states[..., 28:44] > states[..., 28:44].mean(-1, keepdim=True)).sum(-1) > 8
    assert torch.equal(CostFunction(text, POINT).raw(states), expected)


def test_many_states_are_labelled_block_by_block_as_one_batch_would_be(monkeypatch):
    sizes = []

    class Counting(function.Evaluation):
        def run(self, tree):
            sizes.append(len(self.observations))
            return super().run(tree)

    monkeypatch.setattr(function, "Evaluation", Counting)
    states = observations(function.BLOCK + 100)
    text = 'def cost(obs):\n    return obs["gyro"][..., 0] > 0.1'
    assert torch.equal(CostFunction(text, POINT).raw(states), states[:, 6] > 0.1)
    assert sizes == [function.BLOCK, 100]


def test_what_a_function_returns_is_never_a_view_of_the_observations():
    states = observations(5)
    CostFunction('def cost(obs):\n    return obs["gyro"][..., 0]', POINT).raw(states).zero_()
    assert torch.equal(states, observations(5))


MEANINGS = {  # where the language could silently mean something else than Python
    "x = 0 or 5\nreturn g > x - 4": lambda g: g > 1,
    "x = 3 and 2\nreturn g > x - 1": lambda g: g > 1,
    "return torch.minimum((g > 0) & (g < 9), g < 1) & (g > 0)": lambda g: (g > 0) & (g < 1),
    "n = (g > 0) + (g > 1)\nreturn torch.maximum(n, 0.5) > 0.7": lambda g: g > 0,
    "n = torch.where(g > 0, 1, 0)\nreturn torch.where(g < 1, n, 0.5) > 0.4": lambda g: (g > 0) | (g >= 1),
    "a = torch.where(g > 0, 1, 0)\nb = torch.where(g < 1, 1, 0)\nreturn a & b": lambda g: (g > 0) & (g < 1),
    "n = torch.where(g > 0, -7, 7) // 2\nreturn n == -4": lambda g: g > 0,
    "x = g.where(g > 0, 2.0)\nreturn x >= 2": lambda g: (g <= 0) | (g >= 2),
    "return (g > 0) & (torch.max(obs['gyro'], dim=-1).values > -99)": lambda g: g > 0,
    "return (g > 0) & (obs['gyro'].min(-1).values < 99)": lambda g: g > 0,
    "return g < torch.inf": lambda g: g < 99,
    "return torch.norm(obs['gyro'], 2, -1) > 1": None,
}


@pytest.mark.parametrize("body", MEANINGS)
def test_what_looks_like_python_means_what_python_means(body):
    text = "def cost(obs):\n    g = obs['gyro'][..., 0]\n    " + body.replace("\n", "\n    ")
    states = observations(500)
    expected = MEANINGS[body](states[:, 6]) if MEANINGS[body] else states[:, 6:9].norm(dim=-1) > 1
    assert torch.equal(CostFunction(text, POINT)(states), expected.float())


def test_the_smallest_whole_number_divided_by_minus_one_does_not_kill_the_process():
    lines = ["def cost(obs):", "n = (obs['gyro'] > -99).any(dim=-1) * 1", *["n = n * 2"] * 63]
    text = "\n    ".join([*lines, "return (n // -1 > 0) | (n % -1 > 0)"])
    assert CostFunction(text, POINT)(observations(3)).shape == (3,)


def test_the_budget_of_numbers_does_not_depend_on_the_number_of_states():
    line = "    x = x + 1\n"
    text = "def cost(obs):\n    x = obs['hazards_lidar']\n{}    return x[..., 0] > 1"
    most = (MAX_NUMBERS - 1) // 16
    fits, too_long = (
        text.format(f"    for i in range({most}):\n    {line}"),
        text.format(f"    for i in range({most + 1}):\n    {line}"),
    )
    for count in (0, 1, 7, 1000):
        CostFunction(fits, POINT).raw(observations(count))
        with pytest.raises(LanguageError, match="numbers computed per state"):
            CostFunction(too_long, POINT).raw(observations(count))


def test_a_message_that_quotes_the_text_stays_short():
    with pytest.raises(LanguageError) as raised:
        CostFunction(f"def cost(obs):\n    return {'a' * 15_000}", POINT).raw(observations(2))
    assert len(str(raised.value)) < 1_000

"""The language against plain Python: what it accepts, it evaluates to the same bits; and no state sees another."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from honest_programs import programs
from hypothesis import HealthCheck, given, settings
from torch.overrides import TorchFunctionMode

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


class Watch(TorchFunctionMode):
    """Notes the states (the first axis) for which PyTorch gives anything that is not finite."""

    def __init__(self, count):
        super().__init__()
        self.broken = torch.zeros(count, dtype=torch.bool)

    def __torch_function__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        with torch._C.DisableTorchFunction():
            if isinstance(result, torch.Tensor) and result.is_floating_point():
                broken = ~torch.isfinite(result)
                self.broken |= broken.flatten(1).any(1) if broken.dim() > 1 else broken
        return result


def fail_closed(text, states):
    """What Python makes of a text, and 1 where a number on the way was not finite but the result is."""
    with Watch(len(states)) as watch:
        result = plain(text, states)
    return torch.where(watch.broken & torch.isfinite(result), torch.ones_like(result), result), watch.broken


@given(programs(labels=False))
@thorough
def test_an_honest_function_is_accepted_and_is_its_plain_python_to_the_bit(text):
    states = observations(33)
    before = states.clone()
    result, (expected, _) = CostFunction(text, POINT).raw(states), fail_closed(text, states)
    assert result.dtype == expected.dtype == torch.float32
    assert torch.equal(result.view(torch.int32), expected.contiguous().view(torch.int32))  # NaN and -0 are themselves
    assert torch.equal(states, before)


@given(programs())
@settings(thorough, max_examples=100)
def test_an_honest_label_is_plain_pythons_and_passes_every_check(text):
    states = observations(19, seed=1)
    labels = check(CostFunction(text, POINT).raw, states)
    assert torch.equal(labels, fail_closed(text, states)[0].float())


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


# ---- what is not finite is not safe ---------------------------------------------------------------------------------

HIDING = {  # g is below 0 for some states, 0 for some, above 0 for some; where the second is true the text must say 1
    "return torch.where(torch.sqrt(g - 1000) > 0, 1.0, 0.0)": lambda g: g < 1000,
    "return torch.where(torch.sqrt(g) > 99, 1.0, 0.0)": lambda g: g < 0,
    "return torch.sqrt(g) > 99": lambda g: g < 0,
    "return torch.sqrt(g) < 0": lambda g: g < 0,
    "return torch.sqrt(g) == 99": lambda g: g < 0,
    "return 1 / g == 99": lambda g: g == 0,
    "return 1 / (1 / g) > 99": lambda g: g == 0,
    "return (g / g - 1).abs() > 9": lambda g: g == 0,
    "return g // 0 == 99": lambda g: g < 99,
    "return g % 0 == 99": lambda g: g < 99,
    "return torch.tanh(1 / g.abs()) > 1": lambda g: g == 0,
    "return torch.exp(g * 1000).clamp(max=1.0) > 1": lambda g: g * 1000 > 88.73,
    "return torch.maximum(g * 1000000000 * 1000000000 * 1000000000 * 1000000000 * 1000000000, 0.0) < 0": lambda g: (
        g != 0
    ),
    "x = torch.where(g > 0, torch.inf, 0.0)\nreturn x < 0": lambda g: g > 0,
    "x = torch.where(g > 0, torch.sqrt(g), 0.0)\nreturn x > 99": lambda g: g < 0,
    "x = torch.sqrt(g)\nreturn torch.isfinite(x) & (x > 99)": lambda g: g < 0,
    "x = torch.sqrt(g)\nreturn torch.logical_not(torch.isfinite(x)) & (g > 99)": lambda g: g < 0,
    "x = torch.sqrt(g)\nreturn g > 99": lambda g: g < 0,
    "return (torch.sqrt(obs['gyro'][..., :1]).amax(-1) > 99)": lambda g: g < 0,
    "return (torch.sqrt(obs['gyro'][..., :1] + 0 * obs['gyro'])[..., 1] > 99)": lambda g: g < 0,
    "x = g\nfor i in range(3):\n    x = torch.sqrt(x)\nreturn x > 99": lambda g: g < 0,
    "return torch.sqrt(-1.0) > g": lambda g: g < 99,
    "return torch.zeros_like(torch.sqrt(g)) > 0": lambda g: g < 0,
    "return torch.where(torch.sqrt(g) > 99, 1, 0)": lambda g: g < 0,
    "return torch.sqrt(g).bool() & (g > 99)": lambda g: g < 0,
    "return torch.sqrt(g).int() > 99": lambda g: g < 0,
    "return torch.square(g * 1000000000 * 1000000000 * 1000000000) < 0": lambda g: g != 0,
}


@pytest.mark.parametrize("body", HIDING)
@pytest.mark.parametrize("count", [7, 40])
def test_a_number_that_is_not_finite_makes_its_state_unsafe_however_it_is_hidden(body, count, monkeypatch):
    monkeypatch.setattr(function, "BLOCK", 16)
    text = "def cost(obs):\n    g = obs['gyro'][..., 0]\n    " + body.replace("\n", "\n    ")
    states = observations(count)
    states[::3, 6] = torch.tensor([-1.0, 0.0, 2.0]).repeat(20)[: len(states[::3])]
    expected = HIDING[body](states[:, 6]).float()
    assert expected.sum() > 0
    cost = CostFunction(text, POINT)
    assert cost(states).tolist() == expected.tolist()
    assert (cost.raw(states) != 0).float().tolist() == expected.tolist()
    assert check(cost.raw, states).tolist() == expected.tolist()
    assert [float(cost(s)) for s in states] == expected.tolist()


@given(programs())
@settings(thorough, max_examples=100)
def test_no_state_for_which_python_sees_anything_not_finite_is_safe(text):
    states = observations(19, seed=2)
    _, broken = fail_closed(text, states)
    assert (CostFunction(text, POINT)(states)[broken] == 1).all()


def test_large_finite_numbers_are_no_reason_to_call_a_state_unsafe():
    text = "def cost(obs):\n    x = obs['gyro'] * 1000000000 * 1000000000 * 1000000000 * 1000000000\n"
    text += "    return x.amax(-1) < 0"
    states = torch.full((5000, 60), 300.0)  # each is finite in float32, the sum over the batch is not
    states[7, 6] = -400.0
    assert CostFunction(text, POINT)(states).nonzero().flatten().tolist() == [7]


# ---- memory ---------------------------------------------------------------------------------------------------------

KEPT_LIVE = {
    "booleans times 1": "y{} = x * 1",
    "whole numbers": "y{} = x + (x * 1)",
    "sums of booleans": "y{} = x.sum(dim=-1, keepdim=True) * x",
    "numbers": "y{} = x * 0.5",
    "choices": "y{} = torch.where(x, 1, 0)",
    "booleans": "y{} = x & x",
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KEPT_LIVE)
def test_what_a_function_keeps_takes_no_more_memory_than_is_documented(kind):
    """As many results as the language lets a text keep, on many states, in a process that says how much it took."""
    script = (
        "import resource, sys, torch\n"
        "from osrl_proco.costs import CostFunction, LanguageError\n"
        "from osrl_proco.tasks.task import load_task\n"
        "torch.set_num_threads(1)\n"
        "states = torch.rand(70_000, 60)\n"
        "head = 'def cost(obs):\\n    x = obs[\"hazards_lidar\"]\\n    x = x[..., None] > x[..., None, :]\\n    '\n"
        "line = sys.argv[1] + '\\n    '\n"
        "def text(n): return head + ''.join(map(line.format, range(n))) + 'return y0[..., 0, 0] > 0'\n"
        "task, most = load_task('PointGoal1'), 0\n"
        "for n in range(1, 40):\n"
        "    try: CostFunction(text(n), task).raw(states[:1])\n"
        "    except LanguageError: break\n"
        "    most = n\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024\n"
        "CostFunction(text(1), task).raw(states[:100])\n"
        "before = peak()\n"
        "CostFunction(text(most), task).raw(states)\n"
        "print(most, peak() - before)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, KEPT_LIVE[kind]], capture_output=True, text=True, timeout=300, check=True
    )
    most, megabytes = map(int, done.stdout.split())
    assert most >= 5
    assert megabytes < 700  # 256 MiB of results kept; freed memory that the allocator cannot use again adds to that


def test_whole_numbers_count_twice_and_truths_once():
    text = "def cost(obs):\n    x = obs['hazards_lidar'] > 0.5\n"
    text += "    for i in range({}):\n        {}\n    return x[..., 0] > 0"
    for line, size in (("x = x & x", 16), ("x = x * 1", 32), ("x = x | (x > 0)", 32)):
        most = (MAX_NUMBERS - 2 * 16) // size
        CostFunction(text.format(most - 3, line), POINT).raw(observations(2))
        with pytest.raises(LanguageError, match="numbers computed per state"):
            CostFunction(text.format(most + 3, line), POINT).raw(observations(2))


def test_an_error_of_the_language_crosses_processes():
    with pytest.raises(LanguageError) as raised:
        CostFunction("def cost(obs):\n    import os", POINT)
    again = pickle.loads(pickle.dumps(raised.value))
    assert type(again) is LanguageError
    assert str(again) == str(raised.value) == "line 2: no imports; torch is there already"

"""Task files: names that people type, bounds of actions, and files from strangers."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from osrl_proco.core.errors import UserError
from osrl_proco.data import from_arrays
from osrl_proco.data.load import spaces_of
from osrl_proco.tasks import load_task, task_ids
from osrl_proco.tasks.task import canonical_id

FIELDS = {
    "id": "MyRobot",
    "name": "MyRobot",
    "simulator": "none",
    "goal": "g",
    "rule": "r",
    "observation": "\n  - {name: gap, size: 1, unit: m, meaning: gap}\n  - {name: speed, size: 1, meaning: speed}",
}


def text(**changes):
    fields = {**FIELDS, **changes}
    return "".join(f"{k}: {v}\n" for k, v in fields.items() if v is not None)


def load(content, name="t.yaml"):
    Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return load_task(name)


# ---- names ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "id_"),
    [
        ("PointGoal1", "OfflinePointGoal1Gymnasium-v0"),
        ("pointgoal1", "OfflinePointGoal1Gymnasium-v0"),
        ("OFFLINEPOINTGOAL1GYMNASIUM-V0", "OfflinePointGoal1Gymnasium-v0"),
        ("SafetyPointGoal1Gymnasium-v0", "OfflinePointGoal1Gymnasium-v0"),
        ("SafetyPointGoal1-v0", "OfflinePointGoal1Gymnasium-v0"),
        ("OfflinePointGoal1-v0", "OfflinePointGoal1Gymnasium-v0"),
        ("SafetyHalfCheetahVelocity-v1", "OfflineHalfCheetahVelocityGymnasium-v1"),
        ("SafetyCarCircle-v0", "OfflineCarCircle-v0"),
        ("carcircle1", "OfflineCarCircle1Gymnasium-v0"),
        ("OfflineBrake", "OfflineBrake-v0"),
        ("brake", "OfflineBrake-v0"),
    ],
)
def test_names_that_people_type_are_one_task(typed, id_):
    assert load_task(typed).id == canonical_id(typed) == id_


@given(st.sampled_from(task_ids()), st.randoms())
@settings(deadline=None)
def test_case_does_not_matter_and_every_id_is_its_own_name(id_, random):
    assert canonical_id(id_) == id_
    assert load_task("".join(random.choice((c.upper(), c.lower())) for c in id_)).id == id_


@pytest.mark.parametrize(
    "typed", ["PointGoal9", "SafetyPointGoal1-v7", "os:system", "module:Env", "../x", "", "a" * 500]
)
def test_what_is_no_task_is_one_line(typed):
    with pytest.raises(UserError, match="unknown task") as raised:
        load_task(typed)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 400


# ---- bounds of actions ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "low", "high"),
    [
        ({}, (-1.0,), (1.0,)),
        ({"max_action": 5}, (-5.0,), (5.0,)),
        ({"max_action": "[5.0, 0.785]"}, (-5.0, -0.785), (5.0, 0.785)),
        ({"max_action": "[5.0, 0.785]", "min_action": "[0, -0.785]"}, (0.0, -0.785), (5.0, 0.785)),
        ({"max_action": 3, "min_action": "[0, -1]"}, (0.0, -1.0), (3.0, 3.0)),
        ({"max_action": "[-1, 2]", "min_action": -9}, (-9.0, -9.0), (-1.0, 2.0)),
    ],
)
def test_bounds_for_each_entry(fields, low, high):
    task = load(text(**fields))
    assert (task.action_low, task.action_high) == (low, high)
    assert task.max_action == max(map(abs, (*low, *high)))
    arrays = {"actions": np.zeros((3, len(low) if len(low) > 1 else 2))}
    _, space = spaces_of(task, arrays)
    assert np.array_equal(space.low, np.broadcast_to(np.float32(low), space.shape))
    assert np.array_equal(space.high, np.broadcast_to(np.float32(high), space.shape))


def test_actions_are_clipped_to_the_bounds_of_their_entry():
    task = load(text(max_action="[5.0, 0.785]", min_action="[0, -0.785]"))
    rng = np.random.default_rng(0)
    states, n = np.cumsum(rng.normal(size=(41, 2)), 0), 40
    actions = np.stack([rng.uniform(0, 5, n), rng.uniform(-0.785, 0.785, n)], 1)
    actions[7], actions[8] = (-1, 2), (6, -2)
    data = from_arrays({
        "observations": states[:-1], "next_observations": states[1:], "actions": actions, "rewards": rng.random(n),
        "costs": np.zeros(n), "terminals": np.zeros(n), "timeouts": np.arange(n) == n - 1,
    }, task)  # fmt: skip
    assert np.allclose(data.actions[7:9].numpy(), [[0, 0.785], [5, -0.785]])
    assert np.array_equal(data.actions[9:].numpy(), actions[9:].astype(np.float32))
    with pytest.raises(UserError, match="field 'min_action' has 2 values, the actions have 3"):
        spaces_of(task, {"actions": np.zeros((4, 3))})


# ---- files from strangers -------------------------------------------------------------------------------------------

BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 10)
)
LONG = "9" * 6000
ENTRY = "\n  - {name: %s, size: %s, unit: %s, meaning: %s}"
WRONG_VALUES = ("5", "[1]", "{a: 1}", "true", "2026-11-25", "1.5", ".nan", "0x10", "!!binary aGVsbG8=", "!!set {a}")

BAD = {
    **{f"{f} is {v}": text(**{f: v}) for f in ("id", "name", "goal", "rule") for v in WRONG_VALUES},
    **{f"{f} is {v}": text(**{f: v}) for f in ("inexact", "cost_function") for v in WRONG_VALUES},
    **{f"no {f}": text(**{f: None}) for f in FIELDS},
    **{f"empty {f}": text(**{f: "''"}) for f in FIELDS},
    **{f"the simulator {v}": text(simulator=v) for v in ("mujoco", "os.system", "[none]", "5", "'none '", "NONE")},
    **{
        f"the id {v!r}": text(id=f'"{v}"')
        for v in (
            "os:system",
            "module:Env",
            "osrl_proco.cli:main",
            "../../x",
            "a/b",
            "a b",
            "-x",
            "\\x1b[2J",
            "é",
            "a\\nb",
            "x" * 200,
            ".hidden",
        )
    },
    **{
        f"max_action {v}": text(max_action=v)
        for v in (
            "0",
            "-1",
            ".inf",
            ".nan",
            "true",
            "'5'",
            "big",
            "[]",
            "[1, true]",
            "[1, [2]]",
            "{a: 1}",
            LONG,
            "1e400",
            f"[{'1, ' * 20000}1]",
            "1e12",
            "null",
            "[1, -1]",
        )
    },
    **{f"min_action {v}": text(min_action=v) for v in ("1", "2", ".nan", "-.inf", "[-1, -1, 5]", "low", "null")},
    "as many bounds": text(max_action="[1, 2]", min_action="[-1, -1, -1]"),
    **{f"an observation {v}": text(observation=v) for v in ("5", "text", "[1]", "[a]", "{a: 1}", "[[]]", "[null]")},
    **{
        f"a size {v}": text(observation=ENTRY % ("gap", v, "m", "gap"))
        for v in ("0", "-1", "1.5", ".inf", ".nan", "true", "'2'", "two", "[1]", "1e12", "1000001", LONG, "null")
    },
    **{
        f"a name {v}": text(observation=ENTRY % (v, 1, "m", "gap"))
        for v in ("5", "[1]", "null", "_x", "__class__", "a.b", "class", "gäp", "'a b'", "''", "x" * 200, "true")
    },
    **{f"a meaning {v}": text(observation=ENTRY % ("gap", 1, "m", v)) for v in ("5", "[a]", "null", "''", "{a: 1}")},
    **{f"a unit {v}": text(observation=ENTRY % ("gap", 1, v, "gap")) for v in ("[a]", "{a: 1}", "x" * 300)},
    "a name twice": text(observation=ENTRY % ("gap", 1, "m", "g") + ENTRY % ("gap", 1, "m", "g")),
    "a million and one": text(observation="".join(ENTRY % (f"e{i}", 500_001, "m", "g") for i in range(2))),
    "a misspelt field": text(max_acton=5),
    "a billion laughs": BOMB + text(),
    "an alias": text(goal="&g x", rule="*g"),
    "itself": text(goal="&g [*g]"),
    "merged": "base: &b {id: x}\n<<: *b\n" + text(id=None),
    "nested deep": text(goal="[" * 5000 + "]" * 5000),
    "a tag of Python": text(goal="!!python/object/apply:os.mkdir [executed]"),
    "a module of Python": text(goal="!!python/module:antigravity"),
    "a new object": text(goal="!!python/object/new:os.system [ls]"),
    "!!int abc": text(max_action="!!int abc"),
    "!!float abc": text(max_action="!!float abc"),
    "!!bool abc": text(max_action="!!bool abc"),
    "!!timestamp abc": text(goal="!!timestamp abc"),
    "!!binary at": text(goal="!!binary '@'"),
    "31 February": text(goal="2026-02-31"),
    "a number for a key": text() + "5: x\n",
    "a list for a key": text() + "? [a, b]\n: x\n",
    "nothing for a key": text() + "~: x\n",
    "a key twice": text() + "goal: again\n",
    "two documents": text() + "---\n" + text(),
    "a list": "- a\n- b\n",
    "a word": "hello\n",
    "empty": "",
    "a control character": text(goal="\x07"),
    "NUL": text(goal="a\x00b"),
    "tabs": "id:\n\t- a\n",
    "open quotes": text(goal="'never closed"),
    "UTF-16": text().encode("utf-16"),
    "Latin-1": text(goal="Wändchen").encode("latin-1"),
    "GBK": text(goal="距离").encode("gbk"),
    "a picture": b"\x89PNG\r\n\x1a\n" + bytes(range(256)),
    "five megabytes": text() + "#" * 5 * 2**20,
}


@pytest.mark.parametrize("case", BAD)
def test_a_wrong_file_is_one_line_that_names_it(case):
    start = time.monotonic()
    with pytest.raises(UserError) as raised:
        load(BAD[case])
    assert str(raised.value).startswith("task file t.yaml: ")
    assert str(raised.value).isprintable()
    assert len(str(raised.value)) < 400
    assert time.monotonic() - start < 10
    assert not Path("executed").exists()
    assert "antigravity" not in sys.modules


GOOD = {
    "plain": text(),
    "a unit of a number": text(observation=ENTRY % ("gap", 1, "1", "gap")),
    "Windows": text().replace("\n", "\r\n"),
    "a mark at the start": text().encode("utf-8-sig"),
    "other languages": text(goal="距离 zum Wändchen (°)"),
    "a million": text(observation=ENTRY % ("gap", 1_000_000, "m", "gap")),
    "an unknown field": text(author="me"),
    "capital ending": text(),
}


@pytest.mark.parametrize("case", GOOD)
def test_a_right_file_loads(case):
    task = load(GOOD[case], "T.YAML" if case == "capital ending" else "t.yaml")
    assert task.id == "MyRobot"
    assert all(e.unit in ("m", "1", "") for e in task.entries)


@pytest.mark.parametrize("made", [os.mkfifo, os.mkdir, lambda p: os.symlink("/dev/zero", p), lambda p: None])
def test_what_is_no_file_is_one_line(made):
    made("p.yaml")
    with pytest.raises(UserError, match="task file p"):
        load_task("p.yaml")


def test_a_system_without_utf8_reads_utf8_and_needs_no_torch():
    Path("t.yaml").write_text(text(goal="距离 zum Wändchen"), encoding="utf-8")
    code = (
        "import sys; from osrl_proco.tasks import load_task; task = load_task('t.yaml'); load_task('PointGoal1');"
        "print(ascii(task.goal), 'torch' in sys.modules, 'gymnasium' in sys.modules)"
    )
    locale = {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, **locale}, capture_output=True, text=True)
    assert done.stdout == ascii("距离 zum Wändchen") + " False False\n", done.stderr

"""Each finding: what is odd is said, what is wrong is refused at every entry point, and good data raise nothing."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from carts import cart, put, task_file
from hypothesis import given, settings
from hypothesis import strategies as st

from osrl_proco.cli import main
from osrl_proco.core.errors import UserError
from osrl_proco.data import from_arrays, from_hdf5, from_minari, write_hdf5
from osrl_proco.data.findings import KINDS, require_names
from osrl_proco.data.load import load_dataset, spaces_of
from osrl_proco.data.validate import findings
from osrl_proco.envs import BrakeEnv, PointRobotEnv
from osrl_proco.tasks import load_task

GOOD = cart()
N = len(GOOD["rewards"])
ENDS = np.flatnonzero(GOOD["terminals"] + GOOD["timeouts"])


def changed(**new):
    return {**{k: v.copy() for k, v in GOOD.items()}, **new}


def at(key, rows, value, base=None):
    data = changed() if base is None else {k: v.copy() for k, v in base.items()}
    data[key] = data[key].astype(np.float64) if np.ndim(value) == 0 and abs(value) > 1e30 else data[key]
    data[key][rows] = value
    return data


def both(change):
    return changed(**{k: change(GOOD[k].astype(np.float64)) for k in ("observations", "next_observations")})


def unmarked(ends):
    return at("timeouts", ends, 0, at("terminals", ends, 0))


def shuffled():
    order = np.random.default_rng(0).permutation(N)
    return {k: v[order] for k, v in GOOD.items()}


def shifted_on():
    data = changed()
    data["next_observations"][:-1] = data["observations"][1:]
    return data


def late():
    data = changed()
    data["costs"] = np.concatenate([[0], data["costs"][:-1]]).astype(np.float32)
    return data


def early():
    data = changed()
    data["costs"] = np.concatenate([data["costs"][1:], [0]]).astype(np.float32)
    return data


TWICE = {k: np.concatenate([v, v]) for k, v in GOOD.items()}
OTHER = cart(seed=5)
PARTLY = {k: np.concatenate([v, OTHER[k], v[:300]]) for k, v in GOOD.items()}
OFFSET = np.array([0, 1])
WHOLE = np.rint(2 * GOOD["actions"])

WRONG = {
    "actions 0 to 100": ("actions-clipped", changed(actions=50 + 50 * GOOD["actions"])),
    "actions in degrees": ("actions-clipped", changed(actions=np.degrees(GOOD["actions"]))),
    "actions 0 to 10": ("actions-clipped", changed(actions=5 + 5 * GOOD["actions"])),
    "one action of 1e4": ("actions-clipped", at("actions", 7, 1e4)),
    "action codes": ("actions-integers", changed(actions=np.rint(2 + 2 * GOOD["actions"]).astype(int))),
    "actions of a thousandth": ("actions-small", changed(actions=0.001 * GOOD["actions"])),
    "no action": ("actions-constant", changed(actions=0 * GOOD["actions"])),
    "nothing moves": ("observations-constant", both(lambda o: 0 * o + 1)),
    "a glitch of 1e25": ("numbers-huge", at("observations", 7, 1e25)),
    "a glitch of 1e9": ("numbers-huge", at("next_observations", ENDS[3], 1e9)),
    "-1e12 in every 50th row": ("numbers-huge", at("observations", slice(0, None, 50), -1e12)),
    "rewards of 1e20": ("numbers-huge", changed(rewards=GOOD["rewards"] * 1e20)),
    "Unix time": ("precision-lost", both(lambda o: o + 1.7e9 * OFFSET)),
    "map metres": ("precision-lost", both(lambda o: o + 5e6 * OFFSET)),
    "map metres, already collapsed": ("precision-lost", both(lambda o: (o + 5e6 * OFFSET).astype(np.float32))),
    "degrees north": ("precision-lost", both(lambda o: o * [1, 2e-5] + [0, 48.1])),
    "half the ends unmarked": ("ends-unmarked", unmarked(ENDS[::2])),
    "a quarter of the ends unmarked": ("ends-unmarked", unmarked(ENDS[::4])),
    "one endless episode": ("ends-unmarked", unmarked(ENDS[:-1])),
    "rows in any order": ("rows-shuffled", shuffled()),
    "rows backwards": ("rows-shuffled", {k: v[::-1].copy() for k, v in GOOD.items()}),
    "last state repeated": ("next-observation-repeated", at("next_observations", ENDS, GOOD["observations"][ENDS])),
    "every state repeated": ("next-observation-repeated", changed(next_observations=GOOD["observations"].copy())),
    "next episode's first": ("next-observation-foreign", shifted_on()),
    "every row an end": ("episodes-one-step", changed(timeouts=np.ones(N), terminals=np.zeros(N))),
    "recorded twice": ("rows-duplicated", TWICE),
    "a sum of costs": ("costs-not-binary", changed(costs=2 * GOOD["costs"])),
    "a soft cost": ("costs-not-binary", changed(costs=0.7 * GOOD["costs"])),
    "a distance": ("costs-not-binary", changed(costs=GOOD["next_observations"][:, 0])),
    "1 where the rule holds": ("costs-upside-down", changed(costs=1 - GOOD["costs"])),
    "1 everywhere": ("costs-upside-down", changed(costs=np.ones(N))),
    "costs a row late": ("costs-late", late()),
}
ODD = {
    "an action of 1.5": ("actions-clipped", at("actions", 9, 1.5)),
    "booleans for actions": ("actions-integers", changed(actions=GOOD["actions"] > 0)),
    "small actions": ("actions-small", changed(actions=0.05 * GOOD["actions"])),
    "half a range": ("actions-one-sided", changed(actions=0.5 + 0.5 * GOOD["actions"])),
    "an entry that stands": ("observations-constant", both(lambda o: o * [1, 0])),
    "an entry that jitters": ("observations-constant", both(lambda o: o * [1, 1e-7] + [0, 3])),
    "equal rewards": ("rewards-constant", changed(rewards=np.full(N, 2.0))),
    "a glitch of 1e5": ("numbers-huge", at("next_observations", ENDS[3], 1e5)),
    "an offset of 1e4": ("precision-lost", both(lambda o: o + 1e4 * OFFSET)),
    "one end unmarked": ("ends-unmarked", unmarked(ENDS[3:4])),
    "some last states repeated": (
        "next-observation-repeated",
        at("next_observations", ENDS[::4], GOOD["observations"][ENDS[::4]]),
    ),
    "a part twice": ("rows-duplicated", PARTLY),
    "costs a row early": ("costs-late", early()),
}


def task():
    return load_task(task_file())


def found(arrays):
    return [(f.name, f.level) for f in findings(arrays, "arrays", "MyCart", *spaces_of(task(), arrays))]


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_refused_and_can_be_accepted(case, capsys):
    name, arrays = WRONG[case]
    assert (name, "wrong") in found(arrays)
    with pytest.raises(UserError) as raised:
        from_arrays(arrays, task())
    assert "\n" not in str(raised.value)
    assert str(raised.value).startswith("arrays: ")
    capsys.readouterr()
    all_wrong = [n for n, level in found(arrays) if level == "wrong"]
    assert f"; --accept {all_wrong[0]} to train on it as it is" in str(raised.value)
    assert len(from_arrays(arrays, task(), accept=all_wrong)) == len(arrays["rewards"])
    assert len(capsys.readouterr().err.splitlines()) == len(found(arrays))  # said, all the same


@pytest.mark.parametrize("case", ODD)
def test_what_is_odd_is_said_in_one_line_each(case, capsys):
    name, arrays = ODD[case]
    assert (name, "odd") in found(arrays)
    assert "wrong" not in dict(found(arrays)).values()
    assert len(from_arrays(arrays, task())) == len(arrays["rewards"])
    assert len(capsys.readouterr().err.splitlines()) == len(found(arrays))


def test_every_kind_of_data_finding_has_a_case():
    elsewhere = {n for n in KINDS if n.startswith("cost-")} | {"next-observations-derived", "ends-ambiguous"}
    assert {n for n, _ in WRONG.values()} | {n for n, _ in ODD.values()} | elsewhere == set(KINDS)


@pytest.mark.parametrize(
    "arrays",
    [
        GOOD,
        cart(terminal=False),
        cart(episodes=1),
        {k: v.astype(np.float16) for k, v in GOOD.items()},
        {k: v.astype(">f4") for k, v in GOOD.items()},
        {k: v.astype(np.float64) for k, v in GOOD.items()},
        changed(**{k: GOOD[k].astype(bool) for k in ("costs", "terminals", "timeouts")}),
        changed(rewards=GOOD["rewards"] > 0.1),
        both(lambda o: o > 1),
        both(lambda o: (o * 10).clip(0).astype(np.uint8)),
        changed(actions=np.sign(GOOD["actions"])),
        {k: v[:3] for k, v in changed(timeouts=np.ones(N)).items()},
    ],
    ids=["good", "through violations", "one episode", "float16", "big-endian", "float64", "bool flags", "bool rewards",
         "bool observations", "uint8 observations", "bang-bang", "3 rows"],
)  # fmt: skip
def test_good_data_raise_nothing(arrays, capsys):
    assert found(arrays) == []
    data = from_arrays(arrays, task())
    assert np.array_equal(data.arrays()["observations"], arrays["observations"].astype(np.float32))
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("env", [BrakeEnv, PointRobotEnv])
@given(seed=st.integers(0, 1000))
@settings(max_examples=8, deadline=None)
def test_the_embedded_tasks_own_data_raise_nothing(env, seed):
    made = env(episodes=20, dataset_seed=seed)
    arrays = made.get_dataset()
    assert findings(arrays, "d", "T", made.observation_space, made.action_space) == []


@given(st.integers(3, 20), st.integers(0, 9))
@settings(max_examples=20, deadline=None)
def test_resting_and_continuing_robots_are_no_finding(length, seed):
    """Episodes that end at rest repeat their state; a robot that is not reset goes on in the next episode."""
    rng = np.random.default_rng(seed)
    n = 10 * length
    moves = rng.normal(size=(n, 2)) * (np.arange(n) % length < length - 2)[:, None]
    path = np.concatenate([np.zeros((1, 2)), np.cumsum(moves, 0)])
    arrays = {
        "observations": path[:-1], "next_observations": path[1:], "actions": rng.uniform(-1, 1, (n, 1)),
        "rewards": rng.random(n), "costs": np.zeros(n), "terminals": np.zeros(n),
        "timeouts": (np.arange(n) % length == length - 1).astype(float),
    }  # fmt: skip
    names = [n for n, level in found(arrays) if level == "wrong"]
    assert names == []


# ---- every entry point ----------------------------------------------------------------------------------------------


def as_minari(arrays):
    ends = np.flatnonzero(arrays["terminals"] + arrays["timeouts"])
    episodes = []
    for i, (a, b) in enumerate(zip([0, *(ends[:-1] + 1)], ends + 1, strict=True)):
        observations = np.concatenate([arrays["observations"][a:b], arrays["next_observations"][b - 1 : b]])
        episodes.append(SimpleNamespace(
            id=i, observations=observations, actions=arrays["actions"][a:b], rewards=arrays["rewards"][a:b],
            terminations=arrays["terminals"][a:b], truncations=arrays["timeouts"][a:b],
            infos={"cost": arrays["costs"][a:b]},
        ))  # fmt: skip
    return SimpleNamespace(id="carts-v0", iterate_episodes=lambda: iter(episodes))


BAD = changed(actions=50 + 50 * GOOD["actions"])
ENTRIES = {
    "from_arrays": lambda accept: from_arrays(BAD, task(), accept=accept),
    "from_hdf5": lambda accept: from_hdf5(put(BAD), task(), accept=accept),
    "from_minari": lambda accept: from_minari(as_minari(BAD), task(), accept=accept),
    "load_dataset": lambda accept: load_dataset(brake_like(), "MyCart", put(BAD), accept),
}


def brake_like():
    observation_space, action_space = spaces_of(task(), GOOD)
    return SimpleNamespace(observation_space=observation_space, action_space=action_space)


@pytest.mark.parametrize("entry", ENTRIES)
def test_every_entry_point_refuses_and_accepts_alike(entry):
    with pytest.raises(UserError, match=r"--accept actions-clipped to train on it as it is$"):
        ENTRIES[entry](())
    data = ENTRIES[entry](("actions-clipped",))
    assert len(data) == N
    assert float(data.actions.max()) == 1.0
    with pytest.raises(UserError, match="--accept actions-cliped: no such finding; did you mean actions-clipped"):
        ENTRIES[entry](("actions-cliped",))


def test_good_minari_episodes_give_the_same_transitions():
    again, direct = from_minari(as_minari(GOOD), task()), from_arrays(GOOD, task())
    for key, values in direct.arrays().items():
        assert np.array_equal(again.arrays()[key], values), key


@pytest.mark.parametrize("words", [["info"], ["split", "--out", "s.hdf5"]])
def test_commands_refuse_and_accept(words, capsys):
    line = ["data", *words, "--task", task_file(), "--dataset", put(BAD)]
    assert main(line) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "--accept actions-clipped" in err
    assert not Path("s.hdf5").exists()
    assert main([*line, "--accept", "actions-clipped"]) == 0
    assert "far outside the action space" in capsys.readouterr().err


def test_check_lists_all_and_what_is_accepted_counts_as_odd(capsys):
    bad = {**BAD, "costs": 1 - GOOD["costs"]}
    line = ["data", "check", "--task", task_file(), "--dataset", put(bad)]
    assert main(line) == 1
    out = capsys.readouterr().out
    assert out.count("wrong: ") == 2
    assert out.endswith("2 things wrong, 0 odd\n")
    assert main([*line, "--accept", "actions-clipped", "--accept", "costs-upside-down"]) == 0
    assert capsys.readouterr().out.endswith("0 things wrong, 2 odd\n")


def test_structure_cannot_be_accepted():
    nan = at("observations", 3, np.nan)
    with pytest.raises(UserError, match=r"NaN or infinity in 1 rows, the first is row 3; drop or mend them$"):
        from_arrays(nan, task(), accept=tuple(KINDS))
    with pytest.raises(UserError, match="cannot be accepted"):
        require_names(["structure"])


def test_a_part_that_a_split_wrote_may_hold_violations_only():
    assert main(["data", "split", "--task", task_file(), "--dataset", put(GOOD), "--out", "s.hdf5"]) == 0
    assert bool((from_hdf5("s.unsafe.hdf5", task()).costs == 1).all())


def test_the_table_in_the_docs_is_the_one_in_the_code():
    text = (Path(__file__).parents[2] / "docs" / "your_own_data.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([a-z0-9-]+)` \| (.*?) \| (.*?) \| (.*?) \| (.*?) \|$", text, re.MULTILINE)
    assert {r[0]: r[1:] for r in rows} == {n: (k.odd, k.wrong, k.meaning, k.fix) for n, k in KINDS.items()}


def test_a_bound_of_float32_is_not_left_by_its_rounding(capsys):
    write_hdf5("d.hdf5", changed(actions=np.clip(GOOD["actions"] * 5, -0.785, 0.785)))
    from_hdf5("d.hdf5", load_task(task_file(0.785)))
    assert capsys.readouterr().err == ""

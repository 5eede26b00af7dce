"""`eval`, `viz` and the Python interface on one small run."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import osrl_proco
from osrl_proco.cli import main
from osrl_proco.core.errors import UserError

ROOT = Path(__file__).parents[2]
SMALL = {
    "update_steps": 60,
    "batch_size": 32,
    "a_hidden_sizes": [16, 16],
    "c_hidden_sizes": [16, 16],
    "vae_hidden_sizes": 16,
    "dynamics_hidden": [16],
    "dynamics_epochs": 2,
    "rollout_batch": 200,
    "rollout_repeats": 1,
    "eval_every": 30,
    "eval_episodes": 2,
    "log_every": 20,
    "threads": 1,
    "device": "cpu",
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return osrl_proco.train(algo="cpq", task="OfflineBrake", logdir=tmp_path_factory.mktemp("r") / "cpq", **SMALL)


def rows(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def error(capsys):
    lines = capsys.readouterr().err.strip().splitlines()
    assert "Traceback" not in "".join(lines)
    return lines[-1]


def test_raw_rows_say_what_they_are_of(run, capsys):
    assert main(["eval", str(run.folder), "--eval_episodes", "3", "--seed", "5"]) == 0
    assert "limit 10" in capsys.readouterr().out
    found = rows(run.folder / "evaluation-seed5.csv")
    assert [r["episode_seed"] for r in found] == ["5", "6", "7"]
    for row in found:
        assert (row["task"], row["algorithm"], row["mode"], row["seed"], row["step"]) == (
            "OfflineBrake-v0", "cpq", "proco", "0", "60",
        )  # fmt: skip
        assert float(row["normalized_cost"]) == pytest.approx(float(row["cost"]) / 10)
        assert row["length"] == "100"
        assert len(row["settings_sha256"]) == 64
        assert "torch=" in row["versions"]
        assert "commit" in row


def test_workers_change_no_row(run):
    found = []
    for workers in ("0", "2"):
        assert main(["eval", str(run.folder), "--eval_episodes", "3", "--workers", workers]) == 0
        found.append(rows(run.folder / "evaluation-seed0.csv"))
    assert found[0] == found[1]


def test_dsrls_three_limits(run, capsys):
    assert main(["eval", str(run.folder), "--eval_episodes", "2", "--protocol", "dsrl"]) == 0
    assert "mean over limits 10, 20, 40" in capsys.readouterr().out
    found = rows(run.folder / "evaluation-dsrl-seed0.csv")
    assert [float(r["cost_limit"]) for r in found] == [10, 10, 20, 20, 40, 40]
    for one, four in zip(found[:2], found[4:], strict=True):  # the same episodes, another scale
        assert one["cost"] == four["cost"]
        assert float(one["normalized_cost"]) == pytest.approx(4 * float(four["normalized_cost"]))


def test_a_policy_that_acts_by_its_limit_is_told_each(tmp_path, monkeypatch):
    from osrl_proco.run import evaluation

    small = {k: v for k, v in SMALL.items() if k not in ("vae_hidden_sizes",)}
    run = osrl_proco.train(algo="caps", task="OfflineBrake", proco=False, logdir=tmp_path / "caps", **small)
    told, real = [], evaluation.run_episodes

    def spy(policy, *arguments):
        told.append(policy.__self__.config.cost_limit)
        return real(policy, *arguments)

    monkeypatch.setattr(evaluation, "run_episodes", spy)
    osrl_proco.evaluate(run, episodes=2, protocol="dsrl")
    assert told == [10.0, 20.0, 40.0]
    osrl_proco.evaluate(run, episodes=2)
    assert told[3:] == [run.config["cost_limit"]]


def test_a_film_of_a_run(run, tmp_path, capsys):
    pytest.importorskip("imageio_ffmpeg")
    assert main(["eval", str(run.folder), "--video", str(tmp_path / "f.mp4")]) == 0
    assert "101 frames" in capsys.readouterr().out
    assert (tmp_path / "f.mp4").stat().st_size > 5_000


def test_viz_feasibility(run, tmp_path, capsys):
    from PIL import Image

    assert main(["viz", "feasibility", "--path", str(run.folder), "--out", str(tmp_path / "v" / "f.png")]) == 0
    out = capsys.readouterr().out
    assert "against the truth: type 1: same" in out
    assert Image.open(tmp_path / "v" / "f.png").size[0] > 1000
    (types,) = rows(tmp_path / "v" / "f.types.csv")
    assert sum(float(types[k]) for k in ("same", "missed", "false_alarm")) == pytest.approx(1.0)
    before = rows(tmp_path / "v" / "f.before.csv")
    assert before[-1]["steps_to_violation"] == "0"
    capsys.readouterr()
    assert main(["viz", "feasibility", "--path", str(run.folder), "--oracle", str(run.folder)]) == 0
    assert "against the oracle: type 1: same 100.0%" in capsys.readouterr().out
    assert (run.folder / "feasibility.png").is_file()


def test_viz_dynamics(run, capsys):
    assert main(["viz", "dynamics", "--path", str(run.folder), "--horizon", "4"]) == 0
    found = rows(run.folder / "dynamics.csv")
    assert {r["quantity"] for r in found} == {"observation", "obs['gap'][..., 0] <="}
    assert [r["steps"] for r in found if r["quantity"] == "observation"] == ["1", "2", "3", "4"]
    assert "standing still" in capsys.readouterr().out


def test_mistakes_are_one_line(run, tmp_path, capsys):
    stock = {**SMALL, "eval_every": 0}
    plain = osrl_proco.train(algo="cpq", task="OfflineBrake", proco=False, logdir=tmp_path / "stock", **stock)
    capsys.readouterr()
    for words, message in (
        (["viz", "feasibility", "--path", str(plain.folder)], "has no feasibility critic"),
        (["viz", "feasibility", "--path", str(run.folder), "--oracle", str(plain.folder)], "no feasibility critic"),
        (["viz", "feasibility", "--path", str(run.folder), "--out", "a.svg"], "must end in .png"),
        (["viz", "dynamics", "--path", str(plain.folder)], "no such dynamics model"),
        (["viz", "dynamics", "--path", str(run.folder), "--horizon", "0"], "--horizon"),
        (["viz", "feasibility", "--path", "nowhere"], "no run here"),
        (["eval", str(run.folder), "--workers", "-1"], "--workers"),
        (["eval", str(run.folder), "--video", "film.avi"], "must end in .mp4"),
    ):
        assert main(words) == 2, words
        assert message in error(capsys)


@pytest.mark.parametrize("words", [["eval"], ["viz"], ["viz", "feasibility"], ["viz", "dynamics"]])
def test_help_is_quick_and_loads_no_torch(words):
    code = (
        "import sys; from osrl_proco.cli import main\n"
        f"try: main({[*words, '--help']!r})\nexcept SystemExit: pass\n"
        "assert 'torch' not in sys.modules and 'matplotlib' not in sys.modules"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    times = []
    for _ in range(3):
        began = time.perf_counter()
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
        times.append(time.perf_counter() - began)
        assert done.returncode == 0, done.stderr
        assert "usage: osrl-proco" in done.stdout
    assert min(times) < 0.5  # 0.15 s on an idle machine


def test_the_package_is_light_and_names_what_it_has():
    code = (
        "import sys, osrl_proco\nassert 'torch' not in sys.modules and 'pandas' not in sys.modules\n"
        "assert {'train', 'evaluate', 'compare', 'load_policy', 'load_task'} <= set(dir(osrl_proco))\n"
        "from osrl_proco import load_task; load_task('PointGoal1'); assert 'torch' not in sys.modules\n"
        "import osrl_proco.comparison; from osrl_proco import compare; assert callable(compare)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    with pytest.raises(AttributeError, match="no attribute 'tarin'"):
        osrl_proco.tarin  # noqa: B018


def test_a_run_and_its_tables(run):
    pytest.importorskip("pandas")
    assert run.metrics["step"].tolist() == [20, 40, 60]
    assert run.metrics["loss/feasibility_q"].dtype == float
    assert run.evaluations["step"].tolist() == [30, 30, 60, 60]
    assert run.config["batch_size"] == 32
    again = osrl_proco.Run(run.folder)
    assert again.metrics.equals(run.metrics)
    with pytest.raises(UserError, match="no run here"):
        osrl_proco.Run("nowhere")


def test_evaluate_returns_the_rows_of_the_command(run):
    pytest.importorskip("pandas")
    result = osrl_proco.evaluate(run, episodes=3, seed=5)
    assert main(["eval", str(run.folder), "--eval_episodes", "3", "--seed", "5"]) == 0
    written = rows(run.folder / "evaluation-seed5.csv")
    assert result.rows["return"].tolist() == [float(r["return"]) for r in written]
    assert result.means["cost"] == pytest.approx(result.rows["cost"].mean())
    assert result.safe == (result.rows["normalized_cost"].mean() <= 1)


def test_without_pandas_there_is_one_line(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UserError, match="pip install"):
        run.metrics  # noqa: B018


def test_a_policy_acts_for_one_and_for_many(run):
    policy = osrl_proco.load_policy(run)
    one = policy.act([4.0, 1.0])
    many = policy.act(np.array([[4.0, 1.0], [0.5, 2.0]]))
    assert (one.shape, many.shape) == ((1,), (2, 1))
    assert many[0] == pytest.approx(one, abs=1e-5)
    assert np.abs(many).max() <= 1.0
    policy.observe([1.0, 1.0], [0.0, 1.0])
    for wrong, message in (([1.0], r"shape \(1,\)"), ([[np.nan, 1.0]], "not finite")):
        with pytest.raises(UserError, match=message):
            policy.act(wrong)


def test_unknown_settings_are_named():
    with pytest.raises(UserError, match=r"unknown setting 'update_step'.*update_steps"):
        osrl_proco.train(algo="cpq", task="OfflineBrake", update_step=3)

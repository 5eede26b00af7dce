"""A grid trains what is missing, shares what can be shared, resumes, reuses, and hides nothing."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest
from inprocess import TINY, InProcess

from osrl_proco.algorithms import registry
from osrl_proco.cli import main
from osrl_proco.comparison import execute as executing
from osrl_proco.comparison.ask import fitted, seeds
from osrl_proco.comparison.grid import Arm, Grid, arms
from osrl_proco.core.errors import UserError

TASK = "OfflineBrake-v0"


def grid(out, *flags, names=("bcql",), seeds=(0,)):
    chosen, _ = fitted(arms(names), [*TINY, *flags])
    return Grid(chosen, [TASK], seeds, (), Path(out))


def rows(file):
    with file.open(newline="") as handle:
        return list(csv.DictReader(handle))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A comparison of BCQL and its twin, and what was run for it."""
    out = tmp_path_factory.mktemp("comparison")
    engine = InProcess()
    asked = grid(out)
    assert executing.execute(asked, engine, "osrl-proco compare ...", "title") == 0
    return out, engine.done


@pytest.fixture
def copied(finished, tmp_path):
    shutil.copytree(finished[0], tmp_path / "copy")
    return tmp_path / "copy"


def test_everything_is_written(finished):
    out, done = finished
    assert [words[0] for words in done] == ["train", "dynamics", "train"]  # the stock run waits for no model
    written = rows(out / "results.csv")
    assert [(r["arm"], r["mode"], r["step"], r["episode_seed"]) for r in written] == [
        (f"bcql-{mode}", mode, "40", seed) for mode in ("stock", "proco") for seed in ("10000", "10001")
    ]
    assert all(len(r["configuration"]) == 16 and r["versions"] and r["data"] for r in written)
    assert rows(out / "failed.csv") == []
    for name in ("table.md", "table.tex", "curves.csv", "runs.json"):
        assert (out / name).stat().st_size
    about = json.loads((out / "runs.json").read_text())
    assert [r["status"] for r in about["runs"]] == ["finished", "finished"]
    assert str(out) not in json.dumps(about)  # it can be shown to others


def test_finished_runs_are_reused_also_where_the_folder_has_moved(copied):
    engine = InProcess()
    before = (copied / "results.csv").read_bytes()
    assert executing.execute(grid(copied), engine, "", "") == 0
    assert engine.done == []
    assert (copied / "results.csv").read_bytes() == before


def test_a_broken_run_is_resumed_and_ends_the_same(copied, finished):
    folder = copied / "runs" / TASK / "bcql-proco-seed0"
    out = copied.parent / "again"
    part = grid(out, "--update_steps", "20")
    part.train(engine=InProcess())
    cut = out / "runs" / TASK / "bcql-proco-seed0"
    text = (cut / "config.yaml").read_text().replace("update_steps: 20\n", "update_steps: 40\n")
    (cut / "config.yaml").write_text(text)  # as if it had been stopped at its checkpoint of update 20
    engine = InProcess()
    whole = grid(out)
    assert whole.train(engine=engine) == []
    assert [words[:2] for words in engine.done if "bcql-proco" in " ".join(words)] == [["train", "--resume"]]
    assert (cut / "eval.csv").read_text() == (folder / "eval.csv").read_text()


def test_a_run_with_other_settings_is_kept_and_said(copied):
    asked = grid(copied, "--update_steps", "30", "--cost_limit", "5")
    assert len(asked.notices) == 2
    assert "update_steps 40, asked 30" in asked.notices[0]
    assert "cost_limit 10.0, asked 5.0" in asked.notices[0]
    assert [r.folder.path.name.rsplit("-", 1)[0] for r in asked.missing()] == ["bcql-stock-seed0", "bcql-proco-seed0"]
    assert not grid(copied, "--log_every", "5").missing()  # changes no result


def test_a_failed_run_stops_no_other_and_is_listed(tmp_path, capsys):
    chosen, _ = fitted([Arm("bad-stock", "bcql", False, ("--device", "cuda:7")), *arms(["bcql"], "only")], TINY)
    status = executing.execute(Grid(chosen, [TASK], (0,), (), tmp_path), InProcess(), "again", "title")
    assert status == 1
    (failed,) = rows(tmp_path / "failed.csv")
    assert (failed["arm"], failed["status"]) == ("bad-stock", "failed")
    assert "--device cuda:7" in failed["reason"]
    assert {r["arm"] for r in rows(tmp_path / "results.csv")} == {"bcql-stock"}
    assert "bad-stock on OfflineBrake-v0, seed 0" in capsys.readouterr().out


def test_an_interruption_lists_what_was_not_run(tmp_path, capsys):
    engine = InProcess(break_at=("bcql-proco on OfflineBrake-v0, seed 0",))
    assert executing.execute(grid(tmp_path), engine, "osrl-proco compare --again", "title") == 130
    assert "Go on with: osrl-proco compare --again" in capsys.readouterr().out
    assert len(rows(tmp_path / "results.csv")) == 2
    (missing,) = rows(tmp_path / "failed.csv")
    assert missing["arm"] == "bcql-proco"


@pytest.fixture
def _alone(monkeypatch):
    """An algorithm without a twin."""
    monkeypatch.setattr(registry, "_KNOWN", dict(registry._KNOWN))
    registry.register("alone", "osrl_proco.algorithms.bc", "osrl_proco.algorithms.configs:BCConfig", twin=False)


@pytest.mark.usefixtures("_alone")
def test_an_algorithm_without_a_twin_has_one_arm_of_its_own_name():
    names = {
        stock: [(a.name, a.proco) for a in arms(["alone", "bc", "cdt"], stock)] for stock in ("both", "only", "no")
    }
    assert names["both"] == [
        ("alone", False), ("bc-stock", False), ("bc-proco", True), ("cdt-stock", False), ("cdt-proco", True)
    ]  # fmt: skip
    assert names["only"] == [("alone", False), ("bc-stock", False), ("cdt-stock", False)]
    assert names["no"] == [("alone", False), ("bc-proco", True), ("cdt-proco", True)]


@pytest.mark.usefixtures("_alone")
def test_models_are_shared_only_where_they_would_be_the_same(tmp_path):
    chosen, said = fitted(arms(["bcql", "cpq", "alone"], "no"), TINY)
    assert any("--vae_hidden_sizes: alone has no such setting" in line for line in said)
    asked = Grid(
        [*chosen, Arm("other-proco", "bcql", True, (*TINY, "--unsafe_share", "0.5"))], [TASK], (0, 1), (), tmp_path
    )
    jobs = asked.jobs()
    assert sum(job.words[0] == "dynamics" for job in jobs) == 4  # 2 seeds x 2 kinds of data
    needs = {job.label: job.needs for job in jobs}
    assert needs["bcql-proco on OfflineBrake-v0, seed 1"] == needs["cpq-proco on OfflineBrake-v0, seed 1"]
    assert needs["alone on OfflineBrake-v0, seed 1"] == ()


def test_a_model_with_margins_is_not_shared_with_one_without(tmp_path):
    both = [Arm(f"{critic}-proco", "bcql", True, (*TINY, "--critic", critic)) for critic in ("paper", "ours")]
    asked = Grid(both, [TASK], (0,), (), tmp_path)
    assert sum(job.words[0] == "dynamics" for job in asked.jobs()) == 2
    assert asked.train(engine=InProcess()) == []
    assert all(run.finished() for run in asked.runs)


def test_datasets_are_collected_once_for_all(tmp_path, monkeypatch):
    monkeypatch.setenv("DSRL_DATASET_DIR", str(tmp_path / "none"))
    monkeypatch.setattr("osrl_proco.comparison.datasets._dsrl_is_here", lambda task: False)
    asked = Grid(arms(["bcql"]), ["PointGoal1", "CarGoal1"], (0,), ("--preset", "laptop"), tmp_path, collect=7)
    collecting = [job for job in asked.jobs(4) if job.words[0] == "data"]
    assert [job.words[job.words.index("--workers") + 1] for job in collecting] == ["2", "2"]
    assert all(any(need.startswith("dataset of") for need in j.needs) for j in asked.jobs() if j.words[0] != "data")
    assert "7 episodes of the scripted drivers" in asked.datasets.sources["OfflinePointGoal1Gymnasium-v0"]


def test_the_task_in_a_flag(tmp_path):
    asked = Grid(arms(["bc"]), [TASK], (0,), ("--dataset", "data/{task}.hdf5"), tmp_path)
    assert asked.runs[0].settings["dataset"] == f"data/{TASK}.hdf5"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--algos", "bcql", "--tasks", TASK, "--seed", "3"], "by compare itself; use --seeds"),
        (["--algos", "bqcl", "--tasks", TASK], "did you mean bcql"),
        (["--algos", "bcql", "--tasks", "OfflineBrak"], "unknown task"),
        (["--algos", "bcql", "--tasks", TASK, "--update_stps", "3"], "--update_stps: unknown setting; did you mean"),
        (["--algos", "bcql", "--tasks", TASK, "--seeds", "a"], "--seeds: 'a' is no seed"),
        (["--algos", ",", "--tasks", TASK], "--algos: ',' names nothing"),
        (["--algos", "bcql", "--tasks", TASK, "--stock", "x"], "--stock: 'x' is not both, only or no"),
        (["--algos", "bcql,bcql", "--tasks", TASK], "is asked for twice"),
        (["--algos", "bcql", "--tasks", TASK, "--jobs", "0"], "--jobs: 0 must be 1 or more"),
        (["--algos", "bcql", "--tasks", TASK, "stray"], "unexpected word 'stray'"),
    ],
)
def test_mistakes_are_one_line_before_anything_runs(tmp_path, capsys, words, said):
    assert main(["compare", "--out", str(tmp_path / "out"), *words]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_seeds():
    assert seeds("0,2-4") == [0, 2, 3, 4]
    for wrong in ("4-2", "-1", "1.5", "0-99999999"):
        with pytest.raises(UserError):
            seeds(wrong)

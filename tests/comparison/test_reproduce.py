"""Ours beside the paper's: the paper's numbers as printed, the right runs in the right cells, nothing made up."""

from __future__ import annotations

import csv

import pytest
from inprocess import TINY, InProcess
from rows_kit import row

from osrl_proco.cli import main
from osrl_proco.comparison import execute as executing
from osrl_proco.comparison.beside import beside, markdown_beside
from osrl_proco.comparison.experiments import EXPERIMENTS, LLM, TASKS, experiment, paper_numbers
from osrl_proco.run import settings
from osrl_proco.tasks.task import load_task

GOAL = "OfflinePointGoal1Gymnasium-v0"


def test_every_column_is_one_of_the_papers_and_the_other_way_round():
    for each in EXPERIMENTS.values():
        paper = paper_numbers(each.table)
        if each.name.startswith("fig"):
            assert paper == {}
            continue
        assert {c.method for c in each.columns} == {method for _, method, _ in paper}
        assert {task for task, _, _ in paper} == set(TASKS)
        assert len(paper) == 2 * len(TASKS) * len(each.columns)


def test_every_arm_is_a_run_that_train_accepts():
    for each in EXPERIMENTS.values():
        for arm in each.arms:
            words = ["--algo", arm.algo, "--task", TASKS[0], "--proco", str(arm.proco).lower(), *arm.flags]
            config = settings.parse(words)
            assert config.proco == arm.proco


def test_the_papers_numbers_are_as_printed():
    paper = paper_numbers("table1")
    assert paper[("PointGoal1", "FISOR+PROCO", "cost")][0] == 0.96
    assert paper[("SwimmerVelocity", "CAPS", "cost")][0] == 7.98
    assert paper_numbers("table6_unsafe10pct")[("PointButton1", "PROCO_rand1", "reward")] == (0.05, None)


def test_ours_stand_in_their_cells():
    rows = [row(task=GOAL, arm="fisor-proco", seed=s, reward=0.3 + 0.1 * s, cost=1.0) for s in (0, 1)]
    found = beside(experiment("table1"), rows, ["PointGoal1"])
    (cost,) = (r for r in found if r["method"] == "FISOR+PROCO" and r["metric"] == "cost")
    assert (cost["ours"], cost["paper"], cost["difference"], cost["seeds"], cost["note"]) == (1.0, 0.96, 0.04, 2, "")
    (reward,) = (r for r in found if r["method"] == "FISOR+PROCO" and r["metric"] == "reward")
    assert reward["ours"] == 0.35
    (ccac,) = (r for r in found if r["method"] == "CCAC" and r["metric"] == "cost")
    assert (ccac["ours"], ccac["paper"], ccac["note"]) == ("", 5.29, "no finished run")
    never = [r for r in beside(experiment("table4"), rows, ["PointGoal1"]) if r["method"] == "0"]
    assert {(r["ours"], r["note"]) for r in never} == {("", LLM)}
    (later,) = (r for r in found if r["method"] == "LSPC" and r["metric"] == "cost")
    assert later["note"] == "no finished run"
    text = markdown_beside(experiment("table1"), found)
    assert "| PointGoal1 | FISOR+PROCO | 0.35 ± 0.64 | 0.35 ± " in text


def test_a_selection_of_table6_is_one_seed():
    rows = [row(task=GOAL, arm="fisor-proco-unsafe10", seed=s, cost=float(s)) for s in (4, 5)]
    found = {r["method"]: r["ours"] for r in beside(experiment("table6"), rows, [GOAL]) if r["metric"] == "cost"}
    assert (found["PROCO_rand1"], found["PROCO_rand2"], found["PROCO_rand3"]) == (4.0, 5.0, "")


def test_what_needs_a_language_model_is_listed(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(executing, "engine_of", lambda *_: InProcess())
    small = ["--update_steps", "20", *TINY[TINY.index("--batch_size") : -4], "--device", "cpu"]
    words = ["reproduce", "table5", "--tasks", "OfflineBrake", "--seeds", "0", "--out", str(tmp_path), *small]
    assert main(words) == 0
    out = capsys.readouterr().out
    assert "| OfflineBrake | without_role |  |  |  |  | needs a function from a language model" in out
    assert "What differs from the paper:" in out
    assert "20 (preset laptop; paper: full length)" in out
    with (tmp_path / "beside_the_paper.csv").open() as handle:
        cells = list(csv.DictReader(handle))
    assert [bool(c["ours"]) for c in cells] == [True, True, False, False, False, False]
    assert main([*words, "--report"]) == 0


@pytest.mark.slow
def test_figures_hold_every_critic_against_the_oracle(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(executing, "engine_of", lambda *_: InProcess())
    small = ["--update_steps", "20", *TINY[TINY.index("--batch_size") : -4], "--device", "cpu"]
    words = ["reproduce", "fig4b", "--tasks", "OfflineBrake", "--seeds", "0,1", "--out", str(tmp_path), *small]
    assert main(words) == 0
    out = capsys.readouterr().out
    shares = [
        [float(text.split()[0]) for text in line.split("|")[3:6]]
        for line in out.splitlines()
        if line.startswith(("| OfflineBrake-v0 | FISOR |", "| OfflineBrake-v0 | PROCO |"))
    ]
    assert len(shares) == 2
    assert all(sum(three) == pytest.approx(100.0, abs=0.2) for three in shares)
    with (tmp_path / "types.csv").open() as handle:
        rows = list(csv.DictReader(handle))
    assert [(r["arm"], r["seed"]) for r in rows][:3] == [
        ("fisor-stock", "0"),
        ("fisor-proco", "0"),
        ("fisor-stock-oracle", "0"),
    ]
    # An oracle agrees with itself everywhere.
    assert [float(r["same"]) for r in rows if r["arm"] == "fisor-stock-oracle"] == [1.0, 1.0]
    assert all((tmp_path / "pictures" / r["picture"]).read_bytes().startswith(b"\x89PNG") for r in rows)


def test_mistakes_are_one_line(capsys):
    assert main(["reproduce", "table2"]) == 2
    assert "no table 'table2'" in capsys.readouterr().err
    assert main(["reproduce", "table1", "--tasks", "Nowhere"]) == 2


@pytest.mark.parametrize("task", TASKS)
def test_tasks_are_there(task):
    assert load_task(task)

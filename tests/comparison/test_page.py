"""The page says what the rows say, and nothing that anyone wrote is markup in it."""

from __future__ import annotations

import json
import re
import sys
from html.parser import HTMLParser

import pytest
from rows_kit import by_hand, row

from osrl_proco.cli import main
from osrl_proco.comparison.record import Record
from osrl_proco.comparison.report import joined, write_report
from osrl_proco.comparison.statistics import cells, grouped, seed_means
from osrl_proco.core.errors import UserError

pytest.importorskip("jinja2", reason="the extra `report` is not installed")
pytest.importorskip("plotly", reason="the extra `report` is not installed")
pytest.importorskip("rliable", reason="the extra `report` is not installed")
EVIL = "</script><img src=x onerror=alert(1)> & \"q\" 'r' {{ 7*7 }} <b>"
LOCAL_LINKS = {"results.csv", "failed.csv", "curves.csv", "runs.json", "table.md", "table.tex"}


class Page(HTMLParser):
    """Tables as lists of rows of texts, links, ids, scripts, tags."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.tables, self.links, self.ids, self.scripts, self.tags, self.texts = {}, [], set(), [], [], []
        self._table = self._cell = None
        self._script = False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.tags.append((tag, given))
        self.ids.add(given.get("id"))
        if tag == "table":
            self._table = self.tables.setdefault(given["id"], [])
        elif tag == "tr":
            self._table.append([])
        elif tag in ("td", "th"):
            self._cell = []
        elif tag == "a":
            self.links.append(given["href"])
        elif tag == "script":
            self._script = True
            self.scripts.append("")

    def handle_endtag(self, tag):
        if tag in ("td", "th") and self._cell is not None:
            self._table[-1].append("".join(self._cell))
            self._cell = None
        elif tag == "script":
            self._script = False

    def handle_data(self, data):
        if self._script:
            self.scripts[-1] += data
        elif self._cell is not None:
            self._cell.append(data)
        else:
            self.texts.append(data)


def run_of(task, arm, seed, **more):
    about = dict.fromkeys(("reason", "log", "folder", "command", "configuration"), "")
    about |= {"settings": {}, "tail": [], "warnings": [], "status": "finished"}
    return {"task": task, "arm": arm, "seed": seed, **about, **more}


def record_of(rows, **more):
    runs = [run_of(t, a, s) for t, a, s in dict.fromkeys((r["task"], r["arm"], r["seed"]) for r in rows)]
    point = {"task": rows[0]["task"], "arm": rows[0]["arm"], "seed": 0, "metric": "evaluation/normalized_cost"}
    return Record(rows, runs, [{**point, "step": s, "value": 1.0} for s in (10, 20)], **more)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A page, the record it is made from, and their folder, which no test changes."""
    out = tmp_path_factory.mktemp("made")
    record = record_of(by_hand(), command="osrl-proco compare --algos x")
    assert write_report(record, out, "A title") == []
    return Page((out / "report.html").read_text()), record, out


def test_every_cell_is_what_the_rows_say(made):
    page, record, _ = made
    found = cells(record.rows)
    groups = grouped(record.rows)
    body = page.tables["all"][1:]
    assert len(body) == len(found) == 4
    for task, arm, reward, cost, safe, clean, returned, paid, seeds in body:
        cell = found[(task, arm)]
        assert reward == f"{cell.reward:.2f} ± {cell.reward_interval:.2f}"
        assert cost == f"{cell.cost:.2f} ± {cell.cost_interval:.2f}"
        assert safe == ("yes" if cell.cost <= 1 else "no")
        assert clean == f"{cell.clean:.0%}"
        assert float(returned) == pytest.approx(sum(seed_means(groups[(task, arm)], "return")) / 2, abs=0.006)
        assert float(paid) == pytest.approx(sum(seed_means(groups[(task, arm)], "cost")) / 2, abs=0.006)
        assert seeds == "2"
    main_rows = {r[0]: r[1:] for r in page.tables["main"][2:]}
    assert main_rows["A"] == ["0.70 ± 1.27", "3.00 ± 12.71", "0.60 ± 1.27", "0.60 ± 1.27"]
    assert main_rows["average"] == ["0.50", "1.50", "0.35", "1.30"]
    assert main_rows["safe tasks"] == ["", "1/2", "", "1/2"]
    assert main_rows["improvement over stock"] == ["", "/", "", "20%"]
    runs = page.tables["runs-table"][1:]
    assert [(r[0], r[1], r[2], r[4], r[5]) for r in runs[:2]] == [
        ("A", "x-stock", "0", "0.800", "4.000"), ("A", "x-stock", "1", "0.600", "2.000"),
    ]  # fmt: skip


def test_many_arms_are_rows(tmp_path):
    rows = [
        row(arm=arm, reward=reward, cost=cost) for arm, reward, cost in (("x-stock", 0.8, 3.0), ("x-proco", 0.5, 0.5))
    ]
    write_report(Record(rows), tmp_path, "A title")
    heads, below, *body = Page((tmp_path / "report.html").read_text()).tables["main"]
    assert heads == ["", "Brake", "all tasks"]
    assert below == ["reward ↑", "cost ↓", "safe", "over stock"]
    assert body == [["x-stock", "0.80", "3.00", "0/1", "/"], ["x-proco", "0.50", "0.50", "1/1", "250%"]]


def test_it_opens_offline_and_every_link_leads_somewhere(made):
    page, _, out = made
    assert set(page.links) == {f"#{i}" for i in page.ids if f"#{i}" in page.links} | LOCAL_LINKS
    assert all((out / link).exists() for link in LOCAL_LINKS)
    outside = [t for t in page.tags if re.match("https?:|//", str(t[1].get("src") or t[1].get("href") or ""))]
    assert outside == []
    assert sum("plotly.js v" in script for script in page.scripts) == 1
    assert (out / "report.html").stat().st_size < 6_000_000


def test_plots_are_figures_of_plotly(made):
    import plotly.graph_objects as go

    figures = json.loads(made[0].scripts[0])
    every = [*figures["planes"].values(), *figures["means"].values(), *figures["profiles"].values()]
    every += [figure for metrics in figures["curves"].values() for figure in metrics.values()]
    assert len(every) == 2 + 2 + 2 + 1
    for figure in every:
        go.Figure(figure)  # refuses what plotly does not know
    point = figures["planes"]["A"]["data"][1]
    assert (point["name"], point["x"], point["y"]) == ("x-proco", [0.6], [0.6])
    assert figures["planes"]["A"]["layout"]["shapes"][0]["x0"] == 1  # the safe line
    low, high = figures["planes"]["A"]["layout"]["xaxis"]["range"]
    assert low < 0 < 3 < high < 4  # the points and the line, not the whole of their whiskers


def test_hostile_names_settings_and_logs_are_text(tmp_path):
    rows = [row(task=EVIL, arm=EVIL, commit=EVIL, versions=EVIL, preset=EVIL)]
    record = record_of(rows, command=EVIL, notices=[EVIL])
    record.runs = [
        run_of(EVIL, EVIL, 0, reason=EVIL, log=EVIL, folder=EVIL, command=EVIL, settings={EVIL: EVIL}, tail=[EVIL],
               warnings=[EVIL], status=EVIL, configuration=EVIL)
    ]  # fmt: skip
    record.curves = [{"task": EVIL, "arm": EVIL, "seed": 0, "step": 1, "metric": EVIL, "value": 1.0}]
    write_report(record, tmp_path, EVIL)
    text = (tmp_path / "report.html").read_text()
    page = Page(text)
    assert not any(tag in ("img",) for tag, _ in page.tags)
    assert not any(k.startswith("on") for _, given in page.tags for k in given)
    assert sum(tag == "script" for tag, _ in page.tags) == 3
    assert EVIL in page.tables["all"][1]
    assert "49" not in "".join(page.texts).replace("{{ 7*7 }}", "")
    assert EVIL in json.loads(page.scripts[0])["planes"]


def test_without_the_extra_parts_are_left_out_and_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "rliable", None)
    monkeypatch.setitem(sys.modules, "jinja2", None)
    said = write_report(record_of(by_hand()), tmp_path, "t")
    assert len(said) == 2
    assert all("pip install 'osrl-proco[report]'" in line for line in said)
    assert (tmp_path / "table.md").exists()
    assert not (tmp_path / "report.html").exists()


def test_report_makes_the_same_again_from_the_files(made, tmp_path, capsys):
    _, _, out = made
    assert main(["report", "--from", str(out), "--out", str(tmp_path / "again"), "--title", "A title"]) == 0
    for name in (*LOCAL_LINKS, "robust.csv", "report.html"):
        assert (tmp_path / "again" / name).read_bytes() == (out / name).read_bytes(), name


def test_two_folders_are_one_table_and_the_same_run_counts_once(made, tmp_path):
    _, record, out = made
    other = Record([dict(r, arm="y-proco") for r in record.rows if r["arm"] == "x-proco"] + record.rows[:2])
    (tmp_path / "more").mkdir()
    other.write(tmp_path / "more")
    whole = joined([out, tmp_path / "more"])
    assert len(whole.rows) == len(record.rows) + 8
    changed = Record([dict(r, configuration="e" * 16) for r in record.rows])
    (tmp_path / "other").mkdir()
    changed.write(tmp_path / "other")
    whole = joined([out, tmp_path / "other"])
    assert {r["arm"] for r in whole.rows} == {"x-stock", "x-proco", "x-stock (other)", "x-proco (other)"}
    assert any("has other settings" in n for n in whole.notices)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("task,arm\nA,x\n", "no column"),
        (None, "neither results.csv nor a run's folder"),
        ("nan", "a score is not finite"),
        ("word", "could not convert"),
    ],
)
def test_damaged_rows_are_one_line(tmp_path, capsys, text, said):
    if text in ("nan", "word"):
        Record([row(cost=1.0)]).write(tmp_path)
        whole = (tmp_path / "results.csv").read_text()
        text = whole.replace(",10.0,", f",{'nan' if text == 'nan' else 'many'},")
    if text is not None:
        (tmp_path / "results.csv").write_text(text)
    assert main(["report", "--from", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_a_table_goes_into_a_document(made, tmp_path, capsys):
    document = tmp_path / "README.md"
    document.write_text("before\n\n<!-- table: t -->\nold\n<!-- end of table: t -->\nafter\n")
    words = ["report", "--from", str(made[2]), "--into", str(document), "--name", "t"]
    assert main(words) == 0
    first = document.read_text()
    assert first.startswith("before\n\n<!-- table: t -->\n\n| task | x-stock")
    assert first.endswith("| 20% |\n\n<!-- end of table: t -->\nafter\n")
    assert main(words) == 0
    assert document.read_text() == first
    words[2] = str(made[2] / "results.csv")
    assert main(words) == 0
    assert document.read_text() == first
    assert main([*words[:-1], "other"]) == 2
    assert "needs the lines <!-- table: other -->" in capsys.readouterr().err


def test_what_does_not_belong_together_is_said(tmp_path):
    rows = [row(seed=0), row(seed=1, configuration="e" * 16), row(arm="y-proco")]
    record = record_of(rows)
    record.runs.append(run_of("Brake", "z", 0, status="failed", reason="no"))
    write_report(record, tmp_path, "t")
    notes = "".join(Page((tmp_path / "report.html").read_text()).texts)
    assert "1 runs have no rows: z on Brake, seed 0 (failed)" in notes
    assert "seeds of different settings are averaged: x-proco on Brake" in notes
    assert "single seeds have no interval" in notes


def test_the_same_episode_twice_is_refused(tmp_path):
    Record([row(), row()]).write(tmp_path)
    with pytest.raises(UserError, match="is there twice"):
        joined([tmp_path])

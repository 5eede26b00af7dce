"""Means, intervals and summaries against numbers worked out by hand; the tables letter by letter."""

from __future__ import annotations

import math

import pytest
from rows_kit import by_hand, row

from osrl_proco.comparison.statistics import cells, interval, summaries, t95, twins
from osrl_proco.comparison.tables import escaped, latex, markdown


def test_the_interval_is_students():
    mean, half = interval([1.0, 2.0, 3.0])
    assert mean == 2.0
    assert half == pytest.approx(4.303 / math.sqrt(3), rel=1e-12)  # deviation 1, two degrees of freedom
    assert math.isnan(interval([5.0])[1])
    assert t95(30) == pytest.approx(2.0423, abs=1e-3)


def test_a_cell_is_the_mean_over_seeds_of_the_means_over_episodes():
    cell = cells(by_hand())[("A", "x-proco")]
    assert cell.reward == pytest.approx(0.6)
    assert cell.reward_interval == pytest.approx(12.706 * math.sqrt(0.02) / math.sqrt(2))  # seeds 0.5 and 0.7
    assert cell.cost == pytest.approx(0.6)
    assert (cell.seeds, cell.episodes, cell.safe) == (2, 4, True)
    uneven = [row(seed=0, reward=0.0), row(seed=1, reward=1.0), row(seed=1, episode=1, reward=1.0)]
    assert cells(uneven)[("Brake", "x-proco")].reward == 0.5  # a seed counts once, however many episodes it has


def test_a_violation_free_episode_has_no_cost_at_all():
    cell = cells([row(cost=0.0), row(episode=1, cost=0.1)])[("Brake", "x-proco")]
    assert cell.clean == 0.5


def test_summaries():
    rows = by_hand()
    found = summaries(cells(rows), twins(rows))
    stock, ours = found["x-stock"], found["x-proco"]
    assert (stock.tasks, stock.safe, stock.improvement) == (2, 1, None)
    assert stock.cost == pytest.approx(1.5)  # (3 + 0) / 2
    assert (ours.tasks, ours.safe) == (2, 1)
    assert ours.cost == pytest.approx(1.3)
    assert ours.improvement == pytest.approx(0.2)  # 20 % of a cost limit


def test_the_papers_own_improvement():
    """LSPC 6.99 to 1.44 is the paper's 555 %."""
    rows = [row(arm="lspc-stock", cost=6.99), row(arm="lspc-proco", cost=1.44)]
    assert "| 555% |" in markdown([*rows, *(dict(r, task="B") for r in rows)])


def test_markdown_letter_by_letter():
    assert markdown(by_hand()) == (
        "| task | x-stock: reward | cost | x-proco: reward | cost |\n"
        "|---|---|---|---|---|\n"
        "| A | 0.70 ± 1.27 | 3.00 ± 12.71 | 0.60 ± 1.27 | **0.60 ± 1.27** |\n"
        "| B | 0.30 ± 1.27 | **0.00 ± 0.00** | 0.10 ± 0.00 | 2.00 ± 0.00 |\n"
        "| average | 0.50 | 1.50 | 0.35 | 1.30 |\n"
        "| safe tasks |  | 1/2 |  | 1/2 |\n"
        "| improvement over stock |  | / |  | 20% |"
    )


def test_many_arms_on_few_tasks_are_rows():
    rows = [row(arm=f"{name}-{mode}", cost=cost) for name in "xy" for mode, cost in (("stock", 2.0), ("proco", 1.0))]
    assert markdown(rows) == (
        "| | Brake: reward | cost | clean | safe tasks | improvement over stock |\n"
        "|---|---|---|---|---|---|\n"
        "| x-stock | 0.50 | 2.00 | 0% | 0/1 | / |\n"
        "| x-proco | 0.50 | **1.00** | 0% | 1/1 | 100% |\n"
        "| y-stock | 0.50 | 2.00 | 0% | 0/1 | / |\n"
        "| y-proco | 0.50 | **1.00** | 0% | 1/1 | 100% |"
    )


def test_latex_letter_by_letter():
    rows = [row(task="A_1", arm="x&y-stock", cost=2.0), row(task="A_1", arm="x&y-proco", cost=1.0)]
    assert latex(rows).splitlines()[1:] == [
        r"\begin{tabular}{lrrrr}",
        r"\toprule",
        r" & \multicolumn{2}{c}{x\&y-stock} & \multicolumn{2}{c}{x\&y-proco} \\",
        r"Task & reward $\uparrow$ & cost $\downarrow$ & reward $\uparrow$ & cost $\downarrow$ \\",
        r"\midrule",
        r"A\_1 & 0.50 & 2.00 & 0.50 & \textbf{1.00} \\",
        r"\midrule",
        r"Average & 0.50 & 2.00 & 0.50 & 1.00 \\",
        r"Safe tasks & \multicolumn{2}{c}{0/1} & \multicolumn{2}{c}{1/1} \\",
        r"Improvement over stock & \multicolumn{2}{c}{/} & \multicolumn{2}{c}{100\%} \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]


def test_hostile_names_are_text_in_both():
    name = "a|b\\input{x}\n$<b>_*`"
    assert "\n" not in escaped(name)
    assert escaped("\\input{x}") == r"\textbackslash{}input\{x\}"
    line = markdown([row(arm=name), row(arm=name, task="B")]).splitlines()[0]
    assert line == r"| task | a\|b\\input\{x\} $\<b\>\_\*\`: reward | cost |"

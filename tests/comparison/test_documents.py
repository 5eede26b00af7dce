"""Every table between markers in a document is what its command writes from the raw rows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from rows_kit import row

from osrl_proco.comparison.documents import names, replaced, table_in, wanted
from osrl_proco.comparison.rows import read_rows
from osrl_proco.comparison.tables import markdown
from osrl_proco.core.errors import UserError

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
HELD = [(file, name) for file in DOCUMENTS for name in names(file.read_text())]


def test_documents_hold_what_the_rows_say():
    """A table NAME or NAME:ARM,ARM is made from benchmarks/results/NAME.csv, or from NAME_<task>.csv of all tasks."""
    assert HELD
    for file, name in HELD:
        raw = raw_files(name)
        assert raw, f"{file}: table {name} has no raw rows"
        text = file.read_text()
        rows = [row for each in raw for row in read_rows(each)]
        assert replaced(text, name, markdown(wanted(rows, name))) == text, (
            f"{file}: osrl-proco report --from {' '.join(map(str, raw))} --into {file} --name {name}"
        )


def raw_files(name: str) -> list[Path]:
    stem, results = name.partition(":")[0], ROOT / "benchmarks" / "results"
    one = results / f"{stem}.csv"
    return [one] if one.is_file() else sorted(results.glob(f"{stem}_*.csv"))


def test_a_table_of_some_arms_has_them_in_the_order_named():
    rows = [row(arm=arm) for arm in ("a-stock", "a-proco", "b-stock")]
    assert [r["arm"] for r in wanted(rows, "x:b-stock,a-proco")] == ["b-stock", "a-proco"]
    assert wanted(rows, "x") == rows
    with pytest.raises(UserError, match=r"no rows of a-prco.*a-proco"):
        wanted(rows, "x:a-prco")


def test_code_in_the_guide_names_real_flags():
    from osrl_proco.cli import _COMMANDS

    text = (ROOT / "docs" / "compare.md").read_text()
    assert set(re.findall(r"^osrl-proco (\w+)", text, re.MULTILINE)) <= _COMMANDS.keys()


@pytest.mark.parametrize(
    "text", ["", "<!-- table: a -->\n", "<!-- end of table: a -->\n<!-- table: a -->\n", "<!-- table: a -->\n" * 2]
)
def test_markers_must_be_there_once_and_in_order(text):
    with pytest.raises(UserError, match="once each"):
        table_in(text, "a")

"""Every table between markers in a document is what its command writes from the raw rows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from osrl_proco.comparison.documents import names, replaced, table_in
from osrl_proco.comparison.rows import read_rows
from osrl_proco.comparison.tables import markdown
from osrl_proco.core.errors import UserError

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
HELD = [(file, name) for file in DOCUMENTS for name in names(file.read_text())]


def test_documents_hold_what_the_rows_say():
    """A table NAME is made from benchmarks/results/NAME.csv."""
    for file, name in HELD:
        raw = ROOT / "benchmarks" / "results" / f"{name}.csv"
        assert raw.is_file(), f"{file}: table {name} has no {raw}"
        text = file.read_text()
        assert replaced(text, name, markdown(read_rows(raw))) == text, (
            f"{file}: osrl-proco report --from FOLDER --into {file.name} --name {name}"
        )


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

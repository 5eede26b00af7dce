"""Tables of the documents are what the benchmarks print of their committed results."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TABLES = [
    ("feasible_set", "README.md"),
    ("updates", "docs/speed.md"),
    ("rollouts", "docs/speed.md"),
    ("laptop", "docs/speed.md"),
    ("growth", "docs/speed.md"),
    ("dynamics", "docs/speed.md"),
    ("reads", "docs/critic.md"),
    ("hits", "docs/proof.md"),
    ("ranking", "docs/critic.md"),
]


@pytest.mark.parametrize(("name", "document"), TABLES)
def test_the_document_has_the_table(name, document, monkeypatch, capsys):
    script, results = ROOT / "benchmarks" / f"{name}.py", ROOT / "benchmarks" / "results" / f"{name}.json"
    monkeypatch.syspath_prepend(str(script.parent))
    monkeypatch.setattr(sys, "argv", [str(script), "--table", str(results)])
    runpy.run_path(str(script), run_name="__main__")
    table = capsys.readouterr().out.strip()
    assert table.count("\n") > 2
    assert table in (ROOT / document).read_text(), f"{document}: python benchmarks/{name}.py --table {results}"

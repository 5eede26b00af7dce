"""The numbers of docs/faults.md are those of the tests."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROWS = re.findall(r"\| (tests/\S+\.py) \| (\d+) \| (\d+) \|", (ROOT / "docs" / "faults.md").read_text())


def test_the_table_of_faults_counts_what_is_there():
    sys.path.insert(0, str(ROOT / "tests" / "costs"))
    from hostile_programs import PROGRAMS
    from hostile_transcripts import ALL

    files = [file for file, *_ in ROWS if "/test_" in file]
    words = [sys.executable, "-m", "pytest", "--collect-only", "-q", *files]
    listed = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    counted = Counter(
        {file: int(number) for file, number in re.findall(r"^(tests/\S+\.py): (\d+)$", listed, re.MULTILINE)}
        or [line.split("::")[0] for line in listed.splitlines() if "::" in line]
    )
    counted["tests/costs/hostile_programs.py"] = len(PROGRAMS)
    counted["tests/costs/hostile_transcripts.py"] = sum(len(list(cases())) for cases in ALL.values())
    assert {file: (int(tried), int(held)) for file, tried, held in ROWS} == {f: (n, n) for f, n in counted.items()}

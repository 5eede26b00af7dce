"""Results of runs kept in one JSON file, the last of each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from osrl_proco.run.folder import commit, versions


def keep(file: Path, command: str, result: dict[str, Any], same: tuple[str, ...] = ("task",)) -> None:
    """Put `result` among those in `file`, in place of the one that has the `same`."""
    before = json.loads(file.read_text())["results"] if file.exists() else []
    kept = [one for one in before if any(one[name] != result[name] for name in same)]
    about = {"machine": versions(), "command": command}
    file.write_text(json.dumps({**about, "results": [*kept, {"commit": commit(), **result}]}, indent=1) + "\n")

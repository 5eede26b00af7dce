"""`benchmarks/gpu.py` runs on a CPU, but for the graphs; where a device is not there, it says so for each row."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "gpu.py"


@pytest.mark.slow
def test_every_kind_of_row_is_measured_on_a_cpu(tmp_path):
    words = ["--device", "cpu", "--algos", "bc", "--rows", "3000", "--rounds", "1", "--seconds", "0.01", "--jobs", "1"]
    subprocess.run([sys.executable, str(SCRIPT), *words, "--out", str(tmp_path / "gpu.json")], check=True, timeout=500)
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert found["device"] == "CPU"
    assert [row["arm"] for row in found["results"]] == ["bc", "bc-proco", "dynamics", "fisor-proco"]
    for row in found["results"]:
        assert "failed" not in row
        assert all(value >= 0 for value in row.values() if isinstance(value, (int, float)))
    assert found["results"][-1]["total"] > 0


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_the_device_it_ends_in_one_line():
    done = subprocess.run([sys.executable, str(SCRIPT)], capture_output=True, text=True, timeout=100)
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1] == "--device cuda: not here; --device cpu tries the script out"

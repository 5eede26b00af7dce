"""Every test runs in a folder of its own, on one thread, from a known seed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import osrl_proco  # noqa: F401  (patches upstream packages before any test imports them)


@pytest.fixture(autouse=True)
def _alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002 (what OSRL and DSRL draw from)

"""What the tests of the patches share: a fresh interpreter, and skipping where an upstream release is not installed."""

import importlib.metadata
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import osrl_proco
from osrl_proco.upstream import compat

ROOT = Path(osrl_proco.__file__).resolve().parent.parent


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python code in a fresh interpreter that sees this checkout."""
    path = os.pathsep.join([environment.pop("PYTHONPATH", ""), str(ROOT)]).strip(os.pathsep)
    env = {**os.environ, "OMP_NUM_THREADS": "1", **environment, "PYTHONPATH": path}
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], env=env, capture_output=True, text=True, timeout=120, check=False
    )


def needs(distribution: str) -> None:
    """Skip unless the release that the patches are for is installed."""
    try:
        version = importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        pytest.skip(f"{distribution} is not installed")
    if version not in compat.patched_versions(distribution):
        pytest.skip(f"{distribution} {version} has no patches")

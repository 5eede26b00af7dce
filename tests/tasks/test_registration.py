"""`gymnasium.make` knows the embedded tasks after `import osrl_proco`, whichever was imported first."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

from osrl_proco.envs.registration import EMBEDDED


def run(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done


MAKE = "env = gymnasium.make('OfflineBrake-v0'); env.reset(seed=0); print(type(env.unwrapped).__name__)"


@pytest.mark.parametrize(
    "imports",
    [
        "import osrl_proco, gymnasium",
        "import gymnasium, osrl_proco",
        "import osrl_proco; import gymnasium as gym; import gymnasium",
        "import os; os.environ['OSRL_PROCO_PATCHES'] = '0'; import osrl_proco, gymnasium",
        "import osrl_proco; from gymnasium.envs.registration import registry; import gymnasium",
        "import osrl_proco, importlib; importlib.reload(osrl_proco); import gymnasium",
    ],
)
def test_make_knows_the_embedded_tasks(imports):
    assert run(f"{imports}; {MAKE}").stdout == "BrakeEnv\n"


def test_importing_loads_neither_gymnasium_nor_torch():
    code = "import sys, osrl_proco; print([m for m in ('torch', 'gymnasium', 'numpy') if m in sys.modules])"
    assert run(code).stdout == "[]\n"


@pytest.mark.parametrize("id_", EMBEDDED)
def test_what_is_registered_is_what_the_class_says(id_):
    entry_point, steps = EMBEDDED[id_]
    module, name = entry_point.split(":")
    assert getattr(importlib.import_module(module), name).episode_len == steps


def test_warnings_in_a_pipe_have_no_colour_codes():
    code = "import osrl_proco, gymnasium; gymnasium.logger.warn('mind the gap'); gymnasium.logger.error('mind it')"
    error = run(code).stderr
    assert "WARN: mind the gap" in error
    assert "\x1b" not in error


@pytest.mark.parametrize("words", ["data --help", "data check --help", "data split --help", "data collect --help"])
def test_help_needs_no_torch(words):
    code = (
        "import sys; from osrl_proco.cli import main\n"
        f"try: main({words.split()!r})\n"
        "except SystemExit: print([m for m in ('torch', 'gymnasium', 'h5py', 'numpy') if m in sys.modules])"
    )
    assert run(code).stdout.splitlines()[-1] == "[]"

"""`osrl-proco doctor`: what is installed, what works, and the command that mends the rest.

Needs nothing but Python's standard library, so that it runs where nothing else does. Every package is tried in a
process of its own: a crash, a hang or a printed warning of one says nothing about the others.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from ..upstream import compat

_PATIENCE = 180.0  # seconds for one package; the first import on a cold disk is slow

_TRAIN = "training"
_SIMULATORS = "evaluation on DSRL's"


@dataclass(frozen=True)
class Package:
    """A distribution, what it is needed for, the code that shows that it works, and the arguments of `pip install`."""

    name: str
    purpose: str
    trial: str
    pip: str
    required: bool = False


def _steps(import_: str, *environments: str, make: str = "gymnasium.make") -> str:
    """Code that takes two steps in each environment."""
    return f"""
        import gymnasium, {import_}
        for id in {environments!r}:
            env = {make}(id)
            env.reset(seed=0)
            for _ in range(2):
                env.step(env.action_space.sample().tolist())
            env.close()
    """


PACKAGES = (
    Package("torch", _TRAIN, "import torch; torch.ones(2).sum().item()", "torch", True),
    Package("numpy", _TRAIN, "import numpy; numpy.ones(2).sum()", "'numpy>=1.24'", True),
    Package("gymnasium", _TRAIN, "import gymnasium", "gymnasium==0.28.1", True),
    Package("h5py", "reading datasets", "import h5py", "h5py", True),
    Package("pyrallis", "settings", "import pyrallis", "pyrallis", True),
    Package("pyyaml", "settings and tasks", "import yaml", "pyyaml", True),
    Package("tqdm", "progress bars", "import tqdm.auto", "tqdm", True),
    Package(
        "osrl-lib",
        "the stock algorithms",
        """
        import torch
        from osrl.algorithms import BCQL
        model = BCQL(2, 1, 1.0)
        model.setup_optimizers(1e-3, 1e-3, 1e-3)
        model.vae_loss(torch.zeros(4, 2), torch.zeros(4, 1))
        """,
        "--no-deps osrl-lib==0.1.0",
        True,
    ),
    Package(
        "fast-safe-rl",
        "OSRL's loggers",
        "from fsrl.utils import BaseLogger; BaseLogger().store(x=1.0)",
        "--no-deps fast-safe-rl==0.1.0",
        True,
    ),
    Package(
        "dsrl",
        "DSRL's datasets and tasks",
        "import dsrl; from dsrl.offline_env import OfflineEnvWrapper",
        "--no-deps dsrl==0.1.0",
    ),
    Package(
        "safety-gymnasium",
        f"{_SIMULATORS} navigation and velocity tasks",
        _steps("safety_gymnasium", "SafetyCarGoal1-v0", "SafetyHopperVelocity-v1", make="safety_gymnasium.make"),
        "gymnasium==0.28.1 mujoco xmltodict imageio && pip install --no-deps safety-gymnasium==0.4.0",
    ),
    Package(
        "mujoco",
        "safety-gymnasium",
        "import mujoco; m = mujoco.MjModel.from_xml_string('<mujoco/>'); mujoco.mj_step(m, mujoco.MjData(m))",
        "mujoco",
    ),
    Package(
        "bullet-safety-gym",
        f"{_SIMULATORS} Bullet tasks",
        _steps("bullet_safety_gym", "SafetyBallRun-v0"),
        "pybullet && pip install --no-deps bullet-safety-gym==1.4.0",
    ),
    Package("pybullet", "bullet-safety-gym", "import pybullet as p; p.disconnect(p.connect(p.DIRECT))", "pybullet"),
    Package(
        "metadrive-simulator",
        f"{_SIMULATORS} MetaDrive tasks",
        """
        from metadrive.envs import SafeMetaDriveEnv
        env = SafeMetaDriveEnv({"use_render": False})
        env.reset()
        env.step([0.0, 0.0])
        env.close()
        """,
        "gym git+https://github.com/HenryLHH/metadrive_clean.git@main",
    ),
    Package("anthropic", "asking a language model for a cost function", "import anthropic", "anthropic"),
    Package("tensorboard", "--tensorboard", "from torch.utils.tensorboard import SummaryWriter", "'tensorboard>=2.5'"),
    Package("wandb", "--wandb", "import wandb; wandb.init", "wandb"),
    Package(
        "matplotlib", "pictures", "import matplotlib.figure; matplotlib.figure.Figure().add_subplot()", "matplotlib"
    ),
)

# the module that an ImportError names -> the package to install, where the two differ
_DISTRIBUTIONS = {
    "bullet_safety_gym": "bullet-safety-gym",
    "fsrl": "fast-safe-rl",
    "metadrive": "metadrive-simulator",
    "osrl": "osrl-lib",
    "pybullet_utils": "pybullet",
    "safety_gymnasium": "safety-gymnasium",
    "yaml": "pyyaml",
}

_RUNNER = """
import json, os, sys, warnings
warnings.simplefilter("ignore")
report = os.dup(1)
os.dup2(2, 1)
result = {}
try:
    import osrl_proco
    exec(sys.argv[1], {})
except BaseException as error:
    result = {"error": f"{type(error).__name__}: {error}", "missing": getattr(error, "name", None)}
os.write(report, json.dumps(result).encode())
os._exit(0)
"""


@dataclass(frozen=True)
class Finding:
    """What the trial of one package showed. `mend` is empty where the package works."""

    package: Package
    version: str
    status: str
    error: str = ""
    mend: str = ""

    @property
    def works(self) -> bool:
        return self.status.startswith("works")


def installed_version(name: str) -> str:
    """The installed version of a distribution, or an empty string."""
    try:
        return importlib.metadata.version(name)
    except Exception:  # a damaged installation raises what it likes
        return ""


def try_code(code: str, patience: float = _PATIENCE) -> dict[str, str | None]:
    """Run code in a fresh process with the patches on. Empty where it ran; else `error` and the `missing` module."""
    here = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH", "")]))
    try:
        done = subprocess.run(
            [sys.executable, "-c", _RUNNER, textwrap.dedent(code)],
            env={**os.environ, "PYTHONPATH": path, "WANDB_MODE": "disabled"},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
            timeout=patience,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {"error": f"no answer within {patience:.0f} s", "missing": None}
    except OSError as error:
        return {"error": str(error), "missing": None}
    try:
        return json.loads(done.stdout)
    except ValueError:
        return {"error": f"the process ended with status {done.returncode}", "missing": None}


def examine(package: Package) -> Finding:
    """Try one package."""
    version = installed_version(package.name)
    install = f"pip install {package.pip}"
    if not version:
        return Finding(package, "-", "missing", mend=install)
    result = try_code(package.trial)
    has_patches = version.partition("+")[0] in compat.patched_versions(package.name)
    if not result:
        return Finding(package, version, "works with patch" if has_patches and compat.enabled() else "works")
    error = " ".join((result["error"] or "").split())
    missing = (result["missing"] or "").partition(".")[0]
    name = _DISTRIBUTIONS.get(missing, missing)
    known = next((p for p in PACKAGES if p.name == name), None)
    if error.startswith("ModuleNotFoundError") and name and name != package.name:
        mend = f"pip install {known.pip if known else name}"
    elif error.startswith("PatchError") and "pip install" in error:
        mend = "pip install" + error.split("pip install")[1].split(", or ")[0]
    elif has_patches and not compat.enabled():
        mend = "unset OSRL_PROCO_PATCHES"
    else:
        mend = install.replace("pip install", "pip install --force-reinstall", 1)
    return Finding(package, version, "broken", error, mend)


def report(findings: list[Finding]) -> str:
    """The table, with a line under each package that is broken."""
    rows = [("package", "version", "status", "needed for", "mend it with")]
    rows += [(f.package.name, f.version, f.status, f.package.purpose, f.mend) for f in findings]
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    lines = [
        "  ".join([*(cell.ljust(w) for cell, w in zip(row, widths, strict=False)), row[4]]).rstrip() for row in rows
    ]
    lines.insert(1, "  ".join("-" * w for w in [*widths, len(rows[0][4])]))
    for finding in reversed([f for f in findings if f.error]):
        lines.insert(findings.index(finding) + 3, f"    {finding.error}")
    return "\n".join(lines)


def main(argv: list[str]) -> int:
    """Print the table; exit status 1 where `osrl-proco train` cannot run on an embedded task, else 0."""
    parser = argparse.ArgumentParser(
        prog="osrl-proco doctor",
        description="Try every package that osrl-proco can use, a step of each simulator included, and say how to mend "
        "what does not work. Exit status 1 where `osrl-proco train` cannot run on an embedded task.",
    )
    parser.parse_args(argv)
    state = "on" if compat.enabled() else "off (OSRL_PROCO_PATCHES=0)"
    print(f"Python {platform.python_version()}, {platform.platform()}; patches {state}")
    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
        findings = []
        for package, finding in zip(PACKAGES, pool.map(examine, PACKAGES), strict=True):
            findings.append(finding)
            if sys.stderr.isatty():
                print(f"\r  tried {len(findings)} of {len(PACKAGES)}: {package.name:<24}", end="", file=sys.stderr)
    if sys.stderr.isatty():
        print("\r" + " " * 60 + "\r", end="", file=sys.stderr)
    print(report(findings))
    print()
    stopping = [f.package.name for f in findings if f.package.required and not f.works]
    if stopping:
        print(f"osrl-proco train cannot run: mend {', '.join(stopping)} first.")
        return 1
    if failure := try_code("import osrl_proco.run.fit").get("error"):
        print(f"osrl-proco train cannot run: {failure}")
        return 1
    print("osrl-proco train runs on the embedded tasks.")
    return 0

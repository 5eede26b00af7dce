"""The doctor tells what works from what does not, names the command that mends it, and never crashes."""

import subprocess
import sys
from pathlib import Path

import pytest

from osrl_proco.commands import doctor
from osrl_proco.commands.doctor import Package, examine, report
from osrl_proco.upstream import compat


def installed(trial: str, **fields) -> Package:
    """A distribution that is surely installed, with a trial of our own."""
    return Package("pytest", "testing", trial, "pytest", **fields)


def test_what_runs_works_even_when_it_prints_and_warns():
    finding = examine(installed("import os, sys, warnings; print('noise'); sys.stderr.write('x'); warnings.warn('y')"))
    assert (finding.status, finding.error, finding.mend) == ("works", "", "")


@pytest.mark.parametrize(
    ("trial", "error", "mend"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero", "pip install --force-reinstall pytest"),
        ("raise SystemExit(0)", "SystemExit: 0", "pip install --force-reinstall pytest"),
        ("import no_such_module_here.part", "ModuleNotFoundError: No module named 'no_such_module_here'",
         "pip install no_such_module_here"),
        ("raise ModuleNotFoundError('gone', name='fsrl.utils')", "ModuleNotFoundError: gone",
         "pip install --no-deps fast-safe-rl==0.1.0"),
        ("raise ModuleNotFoundError('gone', name='yaml')", "ModuleNotFoundError: gone", "pip install pyyaml"),
        ("from osrl_proco.upstream.compat import *; "
         "raise PatchError('dsrl 9; pip install --no-deps dsrl==0.1.0, or X=0')",
         "PatchError: dsrl 9; pip install --no-deps dsrl==0.1.0, or X=0", "pip install --no-deps dsrl==0.1.0"),
        ("import os; os.abort()", "the process ended with status -6", "pip install --force-reinstall pytest"),
    ],
)  # fmt: skip
def test_what_fails_is_broken_and_has_a_remedy(trial, error, mend):
    finding = examine(installed(trial))
    assert (finding.status, finding.error, finding.mend) == ("broken", error, mend)


def test_a_hang_is_broken_too():
    result = doctor.try_code("import time; time.sleep(60)", patience=0.2)
    assert result["error"] == "no answer within 0 s"


def test_what_is_not_installed_is_missing():
    finding = examine(Package("no-such-distribution", "nothing", "1 / 0", "no-such-distribution==1"))
    assert (finding.status, finding.version, finding.mend) == ("missing", "-", "pip install no-such-distribution==1")


def test_a_patched_release_says_so(monkeypatch, tmp_path):
    package = installed("pass")
    (tmp_path / f"pytest-{doctor.installed_version('pytest')}").mkdir()
    monkeypatch.setattr(compat, "PATCHES", tmp_path)
    assert examine(package).status == "works with patch"
    monkeypatch.setenv("OSRL_PROCO_PATCHES", "0")
    assert examine(package).status == "works"
    assert examine(installed("1 / 0")).mend == "unset OSRL_PROCO_PATCHES"


def test_the_table_puts_each_error_under_its_package():
    findings = [examine(installed("1 / 0")), examine(installed("pass")), examine(installed("[][0]"))]
    lines = report(findings).splitlines()
    assert [line.split()[0] for line in lines if not line.startswith("-")] == [
        "package", "pytest", "ZeroDivisionError:", "pytest", "pytest", "IndexError:",
    ]  # fmt: skip


@pytest.mark.parametrize(("required", "status"), [(True, 1), (False, 0)])
def test_the_exit_status_counts_only_what_training_needs(required, status, monkeypatch, capsys):
    broken = Package("pytest", "testing", "1 / 0", "pytest", required)
    monkeypatch.setattr(doctor, "PACKAGES", (broken,))
    monkeypatch.setattr(
        doctor, "try_code", lambda code: {} if "osrl_proco.run.fit" in code else {"error": "e", "missing": None}
    )
    assert doctor.main([]) == status
    out = capsys.readouterr().out
    assert ("cannot run: mend pytest first" in out) == required


def test_it_runs_where_nothing_is_installed():
    root = Path(doctor.__file__).resolve().parents[2]
    code = f"import sys; sys.path.insert(0, {str(root)!r}); from osrl_proco.commands.doctor import main; "
    code += "sys.exit(main([]))"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "")
    rows = {line.split()[0]: line for line in done.stdout.splitlines() if "missing" in line}
    assert set(rows) == {p.name for p in doctor.PACKAGES}
    assert all(p.pip in rows[p.name] for p in doctor.PACKAGES)


@pytest.mark.slow
def test_everything_that_is_installed_here_works(capsys):
    pytest.importorskip("torch")
    assert doctor.main([]) == 0
    out = capsys.readouterr().out
    assert "broken" not in out

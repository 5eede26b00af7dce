"""Real processes: Ctrl-C and going on, and a real Ray cluster one of whose workers is killed mid-run."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from inprocess import TINY

from osrl_proco.comparison.progress import last_step

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])}
STEPS = "600"


def words(out, *flags):
    tiny = [*TINY[: TINY.index("--update_steps")], "--update_steps", STEPS, "--device", "cpu"]
    given = [
        "compare",
        "--algos",
        "bcql",
        "--tasks",
        "OfflineBrake-v0",
        "--seeds",
        "0",
        "--out",
        str(out),
        "--jobs",
        "2",
    ]
    return [sys.executable, "-m", "osrl_proco", *given, "--out", str(out), *flags, *tiny]


def wait_for(condition, patience=240.0):
    until = time.monotonic() + patience
    while time.monotonic() < until:
        if found := condition():
            return found
        time.sleep(0.1)
    raise AssertionError("it did not come")


def children(marker):
    listed = subprocess.run(["ps", "-eo", "pid,args"], capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if marker in line and "-m osrl_proco train" in line]


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    """results.csv of the local engine, interrupted once by Ctrl-C."""
    out = tmp_path_factory.mktemp("local") / "out"
    first = subprocess.Popen(words(out), env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    folder = out / "runs" / "OfflineBrake-v0" / "bcql-stock-seed0"
    wait_for(lambda: last_step(folder / "metrics.csv") >= 20 or first.poll() is not None)
    first.send_signal(signal.SIGINT)
    said = first.communicate(timeout=120)[0]
    assert first.returncode == 130, said
    assert "Go on with: osrl-proco compare --algos bcql" in said
    assert (folder / "checkpoint" / "state.pt").exists()
    assert children(str(out)) == []
    assert "not run" in (out / "failed.csv").read_text() or "interrupted" in (out / "failed.csv").read_text()
    second = subprocess.run(words(out), env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert second.returncode == 0, second.stdout + second.stderr
    assert "1 to resume" in second.stdout or "2 to resume" in second.stdout
    assert (out / "failed.csv").read_text().count("\n") == 1
    return (out / "results.csv").read_bytes()


@pytest.mark.slow
def test_ctrl_c_checkpoints_says_how_to_go_on_and_loses_nothing(local, tmp_path):
    whole = subprocess.run(words(tmp_path / "out"), env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert whole.returncode == 0, whole.stdout + whole.stderr
    assert (tmp_path / "out" / "results.csv").read_bytes() == local


@pytest.fixture
def cluster(tmp_path):
    """A Ray cluster of three workers' cores on this machine, and nothing of it left afterwards."""
    pytest.importorskip("ray", reason="the extra `ray` is not installed")
    ray = Path(sys.executable).with_name("ray")
    port = 20_000 + os.getpid() % 10_000
    environment = {**ENVIRONMENT, "RAY_DEDUP_LOGS": "0", "RAY_USAGE_STATS_ENABLED": "0"}
    folder = tempfile.mkdtemp(prefix="ray-")  # short: the path of a socket has a limit
    start = [str(ray), "start", "--head", f"--port={port}", "--num-cpus=3", f"--temp-dir={folder}", "--block"]
    start += ["--include-dashboard=false", "--object-store-memory=100000000", "--disable-usage-stats"]
    head = subprocess.Popen(
        start, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        address = f"127.0.0.1:{port}"
        status = [str(ray), "status", f"--address={address}"]
        wait_for(lambda: subprocess.run(status, env=environment, capture_output=True, check=False).returncode == 0)
        yield {**environment, "RAY_ADDRESS": address}
    finally:
        head.terminate()
        try:
            head.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(head.pid, signal.SIGKILL)


@pytest.mark.slow
def test_ray_gives_the_same_rows_also_where_a_worker_is_lost(local, cluster, tmp_path):
    out = tmp_path / "out"
    run = subprocess.Popen(
        words(out, "--engine", "ray"), env=cluster, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    folder = out / "runs" / "OfflineBrake-v0" / "bcql-proco-seed0"
    log = out / "logs" / "OfflineBrake-v0-bcql-proco-seed0.log"
    wait_for(lambda: last_step(folder / "metrics.csv") >= 20 or run.poll() is not None)
    worker = int(re.findall(r"# process (\d+) on", log.read_text())[-1])
    os.kill(worker, signal.SIGKILL)
    said = run.communicate(timeout=400)[0]
    assert run.returncode == 0, said
    attempts = re.findall(r"^\$ osrl-proco train (\S+) .*# process (\d+) on", log.read_text(), re.MULTILINE)
    assert [first for first, _ in attempts] == ["--algo", "--resume"]
    assert attempts[1][1] != str(worker)
    assert (out / "results.csv").read_bytes() == local


def test_no_cluster_is_one_line(tmp_path, capsys, monkeypatch):
    pytest.importorskip("ray", reason="the extra `ray` is not installed")
    from osrl_proco.cli import main

    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    assert main([*words(tmp_path / "out", "--engine", "ray")[3:]]) == 2
    error = capsys.readouterr().err
    assert "no Ray cluster answers" in error
    assert error.count("\n") == 1

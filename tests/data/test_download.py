"""DSRL's files from a server on 127.0.0.1 that cuts, stalls, sends errors and wrong bytes."""

from __future__ import annotations

import contextlib
import hashlib
import io
import re
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import h5py
import numpy as np
import pytest

import osrl_proco.data.download as module
from osrl_proco.cli import main
from osrl_proco.core.errors import UserError
from osrl_proco.data.download import dataset_file, download
from osrl_proco.tasks.task import load_task

TASK = "OfflinePointGoal1Gymnasium-v0"
NAME = "SafetyPointGoal1Gymnasium-v0-100-2022.hdf5"


def whole_file():
    rng = np.random.default_rng(0)
    buffer = io.BytesIO()
    n, width = 400, load_task(TASK).obs_dim
    with h5py.File(buffer, "w") as handle:
        states = rng.normal(size=(n + 1, width)).astype("f4")
        handle["observations"], handle["next_observations"] = states[:-1], states[1:]
        handle["actions"] = rng.uniform(-1, 1, (n, 2)).astype("f4")
        handle["rewards"] = rng.normal(size=n).astype("f4")
        handle["costs"] = (rng.random(n) < 0.1).astype("f4")
        handle["terminals"] = np.zeros(n, "f4")
        handle["timeouts"] = (np.arange(n) % 100 == 99).astype("f4")
    return buffer.getvalue()


BYTES = whole_file()
HASH = hashlib.sha256(BYTES).hexdigest()


class Host:
    """Serves BYTES as /NAME; `plan` says what goes wrong with each request in turn, then nothing does."""

    def __init__(self, *plan, data=BYTES, tag=f'"{HASH}"', redirect=False):
        self.plan, self.ranges, self.data, self.tag = list(plan), [], data, tag
        self.released = threading.Event()
        host = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                if redirect and not self.path.startswith("/cdn"):
                    self.send_response(302)
                    self.send_header("Location", f"/cdn{self.path}")
                    self.send_header("X-Linked-Size", str(len(host.data)))
                    self.send_header("X-Linked-ETag", host.tag)
                    self.end_headers()
                    return
                host.ranges.append(self.headers.get("Range"))
                problem = host.plan.pop(0) if host.plan else None
                if isinstance(problem, int):
                    self.send_error(problem)
                    return
                data, start = (host.data if problem != "wrong" else b"x" * len(host.data)), 0
                asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
                if asked and (redirect or self.headers.get("If-Range") == host.tag):
                    start = int(asked[1])
                    self.send_response(206)
                    self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
                else:
                    self.send_response(200)
                self.send_header("Content-Length", str(len(data) - start))
                if not redirect:
                    self.send_header("ETag", host.tag)
                self.end_headers()
                part = data[start:]
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    if problem == "cut":
                        part = part[: len(part) // 2]
                    if problem == "stall":
                        self.wfile.write(part[:1000])
                        self.wfile.flush()
                        host.released.wait(20)
                        return
                    if problem == "drip":
                        for i in range(0, len(part), 2000):
                            self.wfile.write(part[i : i + 2000])
                            self.wfile.flush()
                            if host.released.wait(0.05):
                                return
                        return
                    self.wfile.write(part)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/data"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.released.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(autouse=True)
def _quick(monkeypatch, tmp_path):
    pytest.importorskip("dsrl")
    monkeypatch.setattr(module, "BACK_OFF", 0.01)
    monkeypatch.setattr(module, "TIMEOUT", 0.5)
    monkeypatch.setattr(module, "HOST", "http://127.0.0.1:9/none")
    monkeypatch.delenv(module.MIRRORS, raising=False)
    monkeypatch.setattr("dsrl.offline_env.DATASET_PATH", str(tmp_path / "datasets"))


def files(tmp_path):
    return sorted(p.name for p in (tmp_path / "datasets").iterdir())


def test_the_file_of_every_dsrl_task_is_known():
    assert dataset_file(TASK) == NAME
    assert dataset_file("OfflineAntVelocityGymnasium-v1").startswith("SafetyAntVelocityGymnasium-v1-")
    with pytest.raises(UserError, match="DSRL has no dataset of it"):
        dataset_file("OfflineBrake-v0")


@pytest.mark.parametrize(
    "plan", [(), ("cut",), ("cut", "cut", "cut"), ("stall",), (503, 429, 500), ("stall", 503, "cut"), ("cut", 416)]
)
@pytest.mark.parametrize("redirect", [False, True])
def test_the_file_arrives_whole_whatever_happens_on_the_way(tmp_path, plan, redirect):
    with Host(*plan, redirect=redirect) as host:
        path = download(TASK, [host.url])
    assert path.read_bytes() == BYTES
    assert files(tmp_path) == [NAME]
    if plan[:1] == ("cut",):
        assert host.ranges[1] == f"bytes={len(BYTES) // 2}-"


def test_a_host_without_the_file_or_with_wrong_bytes_is_followed_by_the_next(tmp_path, monkeypatch):
    with Host(404) as none, Host(*["wrong"] * 9) as wrong, Host(data=BYTES[:-1]) as short, Host() as good:
        monkeypatch.setenv(module.MIRRORS, f"{short.url}, {good.url}")
        assert download(TASK, [none.url, wrong.url]).read_bytes() == BYTES
    assert len(none.ranges) == len(wrong.ranges) == len(short.ranges) == len(good.ranges) == 1
    assert files(tmp_path) == [NAME]


def test_where_no_host_gives_it_each_is_named_and_nothing_is_left(tmp_path):
    with Host(404) as none, Host(*["wrong"] * 9) as wrong, pytest.raises(UserError) as raised:
        download(TASK, [none.url, wrong.url])
    text = str(raised.value)
    assert f"{none.url}: HTTP status 404" in text
    assert f"{wrong.url}: gave other bytes than it should (SHA-256" in text
    assert "Connection refused" in text
    assert f"put {NAME} into" in text
    assert "\n" not in text
    assert files(tmp_path) == []


def test_the_users_own_hash_counts(tmp_path):
    with Host(tag='"v1"') as host:
        with pytest.raises(UserError, match="gave other bytes"):
            download(TASK, [host.url], sha256="0" * 64)
        assert download(TASK, [host.url], sha256=HASH.upper()).read_bytes() == BYTES


def test_what_is_no_hdf5_file_is_not_put_in_place(tmp_path):
    with Host(data=b"<html>" * 100, tag='"v1"') as host, pytest.raises(UserError, match="gave no HDF5 file"):
        download(TASK, [host.url])
    assert files(tmp_path) == []


def test_a_file_that_changes_on_the_host_is_not_glued_together(tmp_path):
    with Host("cut", tag='"old"') as host:
        original = host.data

        def change():
            while not host.ranges:
                time.sleep(0.001)
            host.tag, host.data = f'"{HASH}"', original

        thread = threading.Thread(target=change)
        host.data = b"y" * len(BYTES)
        thread.start()
        path = download(TASK, [host.url])
        thread.join()
    assert path.read_bytes() == BYTES


def test_an_existing_file_is_used_as_it_is(tmp_path):
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets" / NAME).write_bytes(b"mine")
    assert download(TASK).read_bytes() == b"mine"


def test_two_processes_do_not_fetch_the_same_file(tmp_path):
    with Host("drip") as host:
        code = f"from osrl_proco.data import download as d; d.download({TASK!r}, [{host.url!r}])"
        first = subprocess.Popen([sys.executable, "-c", code], env={**_env(tmp_path)}, stderr=subprocess.DEVNULL)
        _wait(lambda: host.ranges)
        with pytest.raises(UserError, match="another process is downloading it"):
            download(TASK, [host.url])
        first.kill()
        first.wait()


def test_a_killed_download_goes_on_where_it_stopped(tmp_path):
    partial = tmp_path / "datasets" / f"{NAME}.partial"
    with Host("drip") as host:
        code = f"from osrl_proco.data import download as d; d.CHUNK = 4096; d.download({TASK!r}, [{host.url!r}])"
        process = subprocess.Popen([sys.executable, "-c", code], env={**_env(tmp_path)}, stderr=subprocess.DEVNULL)
        _wait(lambda: partial.exists() and partial.stat().st_size > 8000)
        process.kill()
        process.wait()
        kept = partial.stat().st_size
        assert kept < len(BYTES)
        assert download(TASK, [host.url]).read_bytes() == BYTES
    assert host.ranges == [None, f"bytes={kept}-"]


def _env(tmp_path):
    import os

    return {**os.environ, "DSRL_DATASET_DIR": str(tmp_path / "datasets")}


def _wait(ready, seconds=60):
    deadline = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_command_downloads_and_describes(tmp_path, capsys):
    with Host("cut") as host:
        assert main(["data", "download", "--task", "PointGoal1", "--mirror", host.url]) == 0
    out = capsys.readouterr().out
    assert f"{NAME}: 400 transitions" in out
    assert main(["data", "download", "--task", "PointGoal1", "--sha256", "12"]) == 2
    assert "--sha256: '12' is no SHA-256" in capsys.readouterr().err


def test_a_truncated_file_in_the_folder_is_named(tmp_path, capsys):
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets" / NAME).write_bytes(BYTES[: len(BYTES) // 2])
    assert main(["data", "info", "--task", TASK]) == 2
    error = capsys.readouterr().err
    assert f"{NAME}: not a whole HDF5 file" in error
    assert "remove it" in error
    assert error.count("\n") == 1

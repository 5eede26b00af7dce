"""The plug pulled, and the disk full, at every file operation of a run: each ends bit for bit where it should."""

from __future__ import annotations

import builtins
import contextlib
import errno
import io
import multiprocessing
import os
from pathlib import Path

import pytest
import torch
from tiny import TINY, timeless, weights

from osrl_proco.cli import main

STEPS = ["--update_steps", "60", "--algo", "cpq", "--checkpoint_every", "20", "--log_every", "10", "--eval_every", "30"]
WORDS = [*TINY, *STEPS, "--rollout_every", "30"]


class Meter:
    """Counts the operations that change files under `folder`; at number `at`, `strike` happens instead."""

    def __init__(self, folder, at, strike):
        self.folder, self.at, self.strike, self.count = str(folder), at, strike, 0

    def tick(self, path):
        if self.folder in str(path):
            self.count += 1
            if self.count == self.at:
                self.strike()

    @contextlib.contextmanager
    def watching(self):
        before = (builtins.open, io.open, os.replace, os.rename, os.unlink, os.mkdir, os.fsync, Path.replace)

        def watched_open(file, mode="r", *args, **kwargs):
            if any(c in mode for c in "wax+"):
                self.tick(file)
            return before[0](file, mode, *args, **kwargs)

        def watched(real):
            def operation(path, *args, **kwargs):
                self.tick(path)
                return real(path, *args, **kwargs)

            return operation

        builtins.open = io.open = watched_open
        os.replace, os.rename, os.unlink, os.mkdir = (watched(f) for f in before[2:6])
        os.fsync = lambda handle: (self.tick(self.folder), before[6](handle))[1]
        Path.replace = watched(before[7])
        try:
            yield
        finally:
            (builtins.open, io.open, os.replace, os.rename, os.unlink, os.mkdir, os.fsync, Path.replace) = before


def _child(folder, words, at, strike, answers):
    with open(os.devnull, "w") as nothing, contextlib.redirect_stdout(nothing), contextlib.redirect_stderr(nothing):
        torch.set_num_threads(1)
        meter = Meter(folder, at, strike)
        with meter.watching():
            status = main(words)
    answers.put((status, meter.count))


def _run(folder, words, at=0, strike=lambda: None):
    """A run in a process of its own; its exit status and how many operations it made (None where it was killed)."""
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    process = context.Process(target=_child, args=(folder, words, at, strike, answers))
    process.start()
    process.join(120)
    return answers.get() if process.exitcode == 0 else (process.exitcode, None)


def _pull_the_plug():
    os._exit(9)


def _fill_the_disk():
    raise OSError(errno.ENOSPC, "No space left on device")


def _go_on(folder):
    resumable = (folder / "config.yaml").exists()
    return ["train", "--resume", str(folder)] if resumable else ["train", "--logdir", str(folder), *WORDS]


@pytest.mark.slow
@pytest.mark.parametrize("strike", [_pull_the_plug, _fill_the_disk], ids=["killed", "disk full"])
def test_a_run_struck_at_any_file_operation_ends_where_it_should(tmp_path, strike):
    whole = tmp_path / "whole"
    status, operations = _run(whole, ["train", "--logdir", str(whole), *WORDS])
    assert status == 0
    assert operations > 40
    expected = weights(whole)
    for at in range(1, operations + 1):
        folder = tmp_path / f"struck-{at}"
        status, _ = _run(folder, ["train", "--logdir", str(folder), *WORDS], at, strike)
        assert status in ((9,) if strike is _pull_the_plug else (0, 2)), f"operation {at}: status {status}"
        status, _ = _run(folder, _go_on(folder))
        assert status == 0, f"after operation {at} it could not go on"
        for name in ("metrics.csv", "eval.csv"):
            assert timeless(folder / name) == timeless(whole / name), f"operation {at}: {name}"
        assert all(torch.equal(v, weights(folder)[k]) for k, v in expected.items()), f"operation {at}"
        left = [p.name for p in folder.rglob("*.partial")]
        assert strike is _pull_the_plug or left == [], left

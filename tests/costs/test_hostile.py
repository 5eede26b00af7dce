"""The corpus of hostile texts: each is stopped by what is expected to stop it, and none does anything."""

from __future__ import annotations

import builtins
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hostile_programs import PROGRAMS, body, table

from osrl_proco.costs import CostFunction
from osrl_proco.costs.sandbox import trial as sandbox
from osrl_proco.costs.sandbox.trial import try_out
from osrl_proco.costs.sandbox.worker import judge
from osrl_proco.tasks.task import load_task

POINT = load_task("PointGoal1")
DOCS = Path(__file__).parents[2] / "docs" / "sandbox.md"
KINDS = list(dict.fromkeys((p.kind, p.stopped_by) for p in PROGRAMS))
BATCH = Path(__file__).with_name("sandbox_workers") / "batch.py"


def world():
    """What an escape might have changed."""
    modules = (torch, torch.Tensor, torch.nn.functional, builtins, os)
    return [set(vars(m)) for m in modules], dict(os.environ), torch.get_default_dtype(), torch.initial_seed()


def test_the_corpus_is_large_and_of_many_kinds():
    assert len({p.source for p in PROGRAMS}) == len(PROGRAMS) >= 520
    assert len({p.kind for p in PROGRAMS}) >= 25


@pytest.mark.parametrize(("kind", "stopped_by"), KINDS)
def test_every_hostile_text_is_stopped_by_what_should_stop_it(kind, stopped_by, tmp_path):
    observations = torch.randn(20, 60)
    before, surroundings = observations.clone(), world()
    for program in PROGRAMS:
        if (program.kind, program.stopped_by) == (kind, stopped_by):
            verdict, labels = judge(program.source, POINT, observations)
            if stopped_by == "unsafe":
                assert (verdict["reason"], labels) == ("", bytes([1] * 20)), program.source
                assert (CostFunction(program.source, POINT)(observations) == 1).all(), program.source
                continue
            assert verdict["stopped_by"] == stopped_by, program.source
            assert verdict["reason"], program.source
            assert labels == b""
    assert torch.equal(observations, before)
    assert world() == surroundings
    assert list(tmp_path.iterdir()) == []


def test_the_corpus_would_bite_if_python_ran_it(tmp_path):
    """Run by Python itself, texts that mention the canary leave it: the tests above can fail."""
    run = (
        "import json, os, sys, torch\n"
        "bites = 0\n"
        "for text in json.load(sys.stdin):\n"
        "    names = {}\n"
        "    try:\n"
        "        exec(text, names)\n"
        "        names['cost']({'gyro': torch.zeros(2, 3)})\n"
        "    except BaseException: pass\n"
        "    bites += os.path.exists('canary')\n"
        "    if os.path.exists('canary'): os.remove('canary')\n"
        "print(bites)\n"
    )
    texts = [p.source for p in PROGRAMS if "canary" in p.source]
    done = subprocess.run(
        [sys.executable, "-c", run], input=json.dumps(texts), capture_output=True, text=True, cwd=tmp_path, timeout=120
    )
    assert int(done.stdout.split()[-1]) > 30, done.stderr


@pytest.mark.parametrize("stopped_by", ["language", "interpreter", "check"])
def test_the_process_gives_the_same_verdict(stopped_by, tmp_path):
    program = next(p for p in PROGRAMS if p.stopped_by == stopped_by)
    observations = torch.randn(20, 60)
    trial = try_out(program.source, POINT, observations)
    assert (trial.ok, trial.stopped_by, trial.labels) == (False, stopped_by, None)
    assert trial.reason == judge(program.source, POINT, observations)[0]["reason"]
    assert "\n" not in trial.reason


@pytest.mark.slow
def test_every_hostile_text_is_stopped_in_the_process_too(tmp_path, monkeypatch):
    """All of them under the real limits, many to a process: the batch worker judges one after the other."""
    monkeypatch.setattr(sandbox, "WORKER", BATCH)
    for start in range(0, len(PROGRAMS), 40):
        programs = PROGRAMS[start : start + 40]
        trial = try_out(json.dumps([p.source for p in programs]), POINT, torch.randn(20, 60), seconds=60)
        assert trial.stopped_by == "crash"  # the batch worker gives its verdicts as the reason of a refusal
        letters = "".join(
            {"language": "l", "interpreter": "i", "check": "c", "unsafe": "-"}[p.stopped_by] for p in programs
        )
        assert trial.reason == letters
    assert list(tmp_path.iterdir()) == []


RUN_ALL = """
import json, resource, sys, time, torch
from osrl_proco.costs import CostFunction, LanguageError
from osrl_proco.tasks.task import load_task

torch.set_num_threads(1)
task, states = load_task("PointGoal1"), torch.randn(20_000, 60)
CostFunction("def cost(obs):\\n    return obs['gyro'][..., 0] > 1", task)(states)
before, longest, outcomes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, 0.0, []
for text in json.load(sys.stdin):
    started = time.monotonic()
    try:
        outcomes.append(bool((CostFunction(text, task)(states) == 1).all()))
    except LanguageError:
        outcomes.append(None)
    longest = max(longest, time.monotonic() - started)
megabytes = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024
print(json.dumps({"outcomes": outcomes, "seconds": longest, "megabytes": megabytes}))
"""


@pytest.mark.slow
def test_no_hostile_text_hangs_or_takes_a_gigabyte_where_data_are_labelled(tmp_path):
    """Outside the sandbox's process, as if each had come through it, on 20,000 states."""
    texts = json.dumps([p.source for p in PROGRAMS])
    done = subprocess.run(
        [sys.executable, "-c", RUN_ALL],
        input=texts,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=900,
        check=True,
    )
    found = json.loads(done.stdout)
    print(found["seconds"], found["megabytes"])
    assert found["seconds"] < 10
    assert found["megabytes"] < 1_000
    for program, outcome in zip(PROGRAMS, found["outcomes"], strict=True):
        assert outcome is (True if program.stopped_by == "unsafe" else outcome), program.source
        assert (outcome is None) == (program.stopped_by in ("language", "interpreter")), program.source
    assert list(tmp_path.iterdir()) == []


def test_the_table_in_the_documentation_is_the_corpus():
    assert table() in DOCS.read_text()


def test_an_honest_text_is_not_stopped():
    verdict, labels = judge(body("return obs['gyro'][..., 0] > 1"), POINT, torch.randn(20, 60))
    assert verdict["stopped_by"] == ""
    assert len(labels) == 20

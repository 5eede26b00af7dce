"""The loop over jobs, with an engine that does nothing; what a log's end looks like."""

from __future__ import annotations

from pathlib import Path

import pytest

from osrl_proco.comparison.jobs import Job, Outcome, judged, log_lines, work


def job(label, *needs, **more):
    return Job(label, ("train", label), Path(f"{label}.log"), Path(), needs=needs, **more)


class Pretend:
    """Ends the oldest job at each look."""

    def __init__(self, slots, outcomes=None, interrupt_after=None):
        self.slots, self.outcomes, self.interrupt_after = slots, outcomes or {}, interrupt_after
        self.running, self.started, self.most = [], [], 0

    def start(self, job):
        self.running.append(job)
        self.started.append(job.label)
        self.most = max(self.most, len(self.running))

    def finished(self):
        if len(self.started) == self.interrupt_after:
            raise KeyboardInterrupt
        job = self.running.pop(0)
        return [(job, self.outcomes.get(job.label, Outcome("done")))]

    def stop(self):
        return [(job, Outcome("interrupted")) for job in self.running]


def test_what_is_needed_comes_first_and_slots_are_kept():
    engine = Pretend(2)
    ended = work([job("run", "model"), job("model", "data"), job("data"), job("other")], engine, lambda *_: None)
    assert engine.started == ["data", "other", "model", "run"]
    assert engine.most == 2
    assert {o.status for o in ended.values()} == {"done"}


def test_a_failure_reaches_those_that_need_it_and_no_other():
    engine = Pretend(1, {"model": Outcome("failed", "exit status 2: no")})
    ended = work([job("model"), job("run", "model"), job("other")], engine, lambda *_: None)
    assert ended["run"] == Outcome("failed", "model failed: exit status 2: no")
    assert ended["other"].status == "done"
    assert engine.started == ["model", "other"]


def test_an_interruption_knows_how_each_ended():
    with pytest.raises(KeyboardInterrupt) as stop:
        work([job("a"), job("b"), job("c")], Pretend(2, interrupt_after=2), lambda *_: None)
    assert {k: v.status for k, v in stop.value.args[0].items()} == {
        "a": "interrupted", "b": "interrupted", "c": "not run",
    }  # fmt: skip


def test_a_job_goes_on_where_there_is_a_checkpoint(tmp_path):
    one = job("a", checkpoint=tmp_path / "state.pt", again=("train", "--resume"))
    assert one.command() == ["train", "a"]
    (tmp_path / "state.pt").touch()
    assert one.command() == ["train", "--resume"]


def test_a_log_reads_as_on_a_screen(tmp_path):
    log = tmp_path / "a.log"
    log.write_bytes(b"first\n\r 0%|\r50%|\r\x1b[A100%| done\r\nosrl-proco: error: no\xff\n\n")
    assert log_lines(log) == ["first", "100%| done", "osrl-proco: error: no�"]
    assert judged(Job("a", (), log, tmp_path), 2) == Outcome("failed", "exit status 2: osrl-proco: error: no�")
    assert judged(Job("a", (), log, tmp_path), -9).reason.startswith("killed by signal 9")
    assert judged(Job("a", (), log, tmp_path), 130).status == "interrupted"
    assert log_lines(tmp_path / "none.log") == []

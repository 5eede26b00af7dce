"""An engine for tests: every job runs in this process, so that nothing is imported twice."""

from __future__ import annotations

import contextlib
import os

from osrl_proco.cli import main
from osrl_proco.comparison.jobs import judged

TINY = [
    "--a_hidden_sizes", "[16,16]", "--c_hidden_sizes", "[16,16]", "--vae_hidden_sizes", "16", "--batch_size", "32",
    "--dynamics_hidden", "[16,16]", "--dynamics_epochs", "1", "--rollout_batch", "100", "--rollout_repeats", "1",
    "--rollout_every", "40", "--checkpoint_every", "10", "--log_every", "10", "--eval_every", "20",
    "--eval_episodes", "2", "--update_steps", "40", "--device", "cpu",
]  # fmt: skip


class InProcess:
    """Does a job when it is started; `break_at`: labels whose job is interrupted as by Ctrl-C."""

    slots = 1

    def __init__(self, break_at=()):
        self.done, self.break_at, self._ended = [], break_at, []

    def start(self, job):
        if job.label in self.break_at:
            raise KeyboardInterrupt
        with job.log.open("a") as log, contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
            print(job.header(os.getpid()), end="")
            status = main(job.command())
        self.done.append(job.command())
        self._ended.append((job, judged(job, status)))

    def finished(self):
        ended, self._ended = self._ended, []
        return ended

    def stop(self):
        return []

"""The sandbox: honest functions pass, an escape finds nothing to do, and a lying process is not believed."""

from __future__ import annotations

import json
import os
import platform
import socket
import sys
import time
from pathlib import Path

import pytest
import torch

from osrl_proco.core.errors import UserError
from osrl_proco.core.resources import COST_LIBRARY
from osrl_proco.costs import CostFunction
from osrl_proco.costs.sandbox import limits
from osrl_proco.costs.sandbox import trial as sandbox
from osrl_proco.costs.sandbox.checks import Rejected, check
from osrl_proco.costs.sandbox.limits import MEASURES
from osrl_proco.costs.sandbox.trial import Enforcement, require_sandbox, try_out
from osrl_proco.tasks.task import load_task, task_ids

POINT = load_task("PointGoal1")
WORKERS = Path(__file__).with_name("sandbox_workers")
HONEST = 'def cost(obs):\n    return obs["hazards_lidar"].amax(-1) >= 0.9'


@pytest.fixture
def worker(monkeypatch):
    """Put another program in the worker's place."""
    return lambda path: monkeypatch.setattr(sandbox, "WORKER", Path(path))


# ---- an honest function ---------------------------------------------------------------------------------------------


def test_an_honest_function_passes_and_its_labels_are_its_labels():
    observations = torch.rand(200, 60)
    before = observations.clone()
    trial = try_out(HONEST, POINT, observations)
    assert (trial.ok, trial.reason, trial.stopped_by) == (True, "", "")
    assert torch.equal(trial.labels, CostFunction(HONEST, POINT)(observations))
    assert trial.labels.dtype == torch.float32
    assert torch.equal(observations, before)
    assert 0 <= trial.seconds < 20
    assert "enforced: separate process" in trial.enforcement.report()


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted(COST_LIBRARY.glob("*.py")), ids=lambda p: p.stem)
def test_the_library_passes(path):
    task = next(t for t in map(load_task, task_ids()) if t.cost_function == path.name)
    trial = try_out(path.read_text(), task, torch.randn(300, task.obs_dim))
    assert trial.ok, trial.reason


def test_a_state_that_is_not_finite_is_unsafe_in_the_sandbox_too():
    observations = torch.zeros(5, 60)
    observations[2, 7] = float("nan")
    assert try_out(HONEST, POINT, observations).labels.tolist() == [0, 0, 1, 0, 0]


@pytest.mark.parametrize("shape", [(0, 60), (5, 59), (60,), (2, 5, 60)])
def test_observations_of_another_form_are_the_callers_mistake(shape):
    with pytest.raises(ValueError, match="observations of shape"):
        try_out(HONEST, POINT, torch.zeros(shape))


def test_the_report_says_what_was_not_enforced():
    report = Enforcement({"separate process": True, "no network": False, "memory limit": False}).report()
    assert report == "enforced: separate process; NOT enforced on this system: no network, memory limit"


# ---- after an escape: Python of the attacker's choice, under the real limits ----------------------------------------

ATTEMPTS = """
import ctypes, errno, mmap, os, signal, socket, subprocess, sys, threading
def outcome(what):
    try:
        return f"done: {what()}"
    except BaseException as error:
        return type(error).__name__
libc = ctypes.CDLL(None, use_errno=True)
attempts = {
    "no file writes": {
        "open": lambda: open(GIVEN["folder"] + "/new", "w").write("x"),
        "append": lambda: open(GIVEN["file"], "a").write("x"),
        "relative": lambda: open("canary", "w").write("x"),
        "mkdir": lambda: os.mkdir(GIVEN["folder"] + "/new-folder"),
        "unlink": lambda: os.unlink(GIVEN["file"]),
        "rename": lambda: os.rename(GIVEN["file"], GIVEN["file"] + "2"),
        "chmod": lambda: os.chmod(GIVEN["file"], 0),
        "symlink": lambda: os.symlink("/", GIVEN["folder"] + "/link"),
        "truncate": lambda: os.truncate(GIVEN["file"], 0),
    },
    "no file reads": {
        "read": lambda: open(GIVEN["file"]).read(),
        "environ": lambda: open(f"/proc/{os.getppid()}/environ", "rb").read(),
        "listdir": lambda: os.listdir(GIVEN["folder"]),
        "memory": lambda: open(f"/proc/{os.getppid()}/mem", "rb").read(1),
    },
    "no network": {
        "connect": lambda: socket.create_connection(("127.0.0.1", GIVEN["port"]), 2).send(b"x"),
        "listen": lambda: socket.create_server(("127.0.0.1", 0)),
        "resolve": lambda: socket.getaddrinfo("localhost", 80),
    },
    "no new processes": {
        "fork": lambda: os.fork() or os._exit(0),
        "thread": lambda: threading.Thread(target=print).start(),
        "popen": lambda: subprocess.Popen(["true"]),
        "system": lambda: (os.system("echo > " + GIVEN["folder"] + "/new") == 0) or 1 / 0,
        "kill": lambda: os.kill(os.getppid(), 0),
    },
    "no other programs": {
        "execv": lambda: os.execv(sys.executable, [sys.executable, "-c", "pass"]),
    },
    "memory limit": {
        "bytearray": lambda: len(bytearray(4 << 30)),
        "tensor": lambda: __import__("torch").ones(1 << 30).sum(),
        "mmap": lambda: len(mmap.mmap(-1, 4 << 30)),
        "raise": lambda: __import__("resource").setrlimit(__import__("resource").RLIMIT_AS, (-1, -1)),
    },
}
results = {kind: [f"{n}: {outcome(a)}" for n, a in some.items()] for kind, some in attempts.items()}
done = {kind: [t for t in texts if ": done" in t] for kind, texts in results.items()}
import json
done = {kind: texts for kind, texts in done.items() if texts} | {"key": "KEY" in str(os.environ)}
verdict = {"stopped_by": "crash", "reason": json.dumps(done)}
"""


def given(**names):
    return f"GIVEN = {names!r}\n{ATTEMPTS}"


def test_after_an_escape_there_is_nothing_to_do(tmp_path, worker, monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "KEY")
    worker(WORKERS / "evil.py")
    secret = tmp_path / "secret"
    secret.write_text("secret")
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        text = given(folder=str(tmp_path), file=str(secret), port=server.getsockname()[1])
        trial = try_out(text, POINT, torch.zeros(3, 60))
        measures = trial.enforcement.measures
        if measures["no network"]:
            with pytest.raises(TimeoutError):
                server.accept()
    done = json.loads(trial.reason)
    assert done.pop("key") is False  # the environment is scrubbed
    assert {kind for kind in done if measures[kind]} == set(), done
    if measures["no file writes"]:
        assert [p.name for p in tmp_path.iterdir()] == ["secret"]
        assert secret.read_text() == "secret"


@pytest.mark.skipif(sys.platform != "linux" or platform.machine() not in ("x86_64", "aarch64"), reason="not promised")
def test_on_linux_everything_is_enforced():
    assert "NOT enforced" not in try_out(HONEST, POINT, torch.zeros(3, 60)).enforcement.report()


def test_the_probes_see_that_nothing_is_enforced(worker, monkeypatch):
    monkeypatch.setattr(limits, "required", tuple)
    worker(WORKERS / "unlimited.py")
    trial = try_out("", POINT, torch.zeros(3, 60))
    assert not any(trial.enforcement.measures[name] for name in MEASURES)
    assert all(name in trial.enforcement.report().split("NOT enforced")[1] for name in MEASURES)


@pytest.mark.skipif(os.name != "posix", reason="resource limits are POSIX")
def test_without_a_system_call_filter_the_resource_limits_still_close_files_and_sockets(tmp_path, worker, monkeypatch):
    monkeypatch.setattr(limits, "required", tuple)
    worker(WORKERS / "unfiltered.py")
    secret = tmp_path / "secret"
    secret.write_text("secret")
    measures = try_out("", POINT, torch.zeros(3, 60)).enforcement.measures
    assert measures["no network"]
    assert measures["no file reads"]
    assert not measures["no file writes"]  # a folder can still be made
    text = f"reason = open({str(secret)!r}).read()"
    trial = try_out(text, POINT, torch.zeros(3, 60))
    assert "secret" not in trial.reason


@pytest.mark.parametrize(
    ("text", "stopped_by"),
    [
        ("while True: pass", "time limit"),
        ("sum(range(10**13))", "time limit"),
        ("import ctypes\nctypes.string_at(0)", "crash"),
        ("raise SystemExit", "crash"),
        ("verdict = {'stopped_by': '', 'reason': ''}\nlabels = bytes(10 ** 8)", "output limit"),
    ],
)
def test_an_escape_that_runs_wild_is_ended(text, stopped_by, worker):
    worker(WORKERS / "evil.py")
    started = time.monotonic()
    trial = try_out(text, POINT, torch.zeros(3, 60), seconds=1.0)
    assert (trial.ok, trial.stopped_by, trial.labels) == (False, stopped_by, None)
    assert trial.seconds < 10
    assert time.monotonic() - started < 60


# ---- a process that lies --------------------------------------------------------------------------------------------

GOOD = """os.write(1, b'{"stopped_by": "", "reason": ""}\\n')\n"""
LIES = {
    "says nothing": ("", "crash"),
    "dies": ("os.kill(os.getpid(), 9)", "crash"),
    "never ends": ("while True: pass", "time limit"),
    "floods without a line": ("while True: os.write(1, b'x' * 65536)", "output limit"),
    "floods with lines": (GOOD + "while True: os.write(1, bytes(65536))", "output limit"),
    "speaks no JSON": ("os.write(1, b'hello\\n')", "crash"),
    "nests deeply": ("os.write(1, b'[' * 8000 + b'\\n')", "crash"),
    "speaks of something else": ("os.write(1, b'[1]\\n')", "crash"),
    "gives no reason": ("""os.write(1, b'{"stopped_by": ""}\\n' + bytes(count))""", "crash"),
    "invents a stage": ("""os.write(1, b'{"stopped_by": "no one", "reason": "x"}\\n')""", "crash"),
    "gives a list as stage": ("""os.write(1, b'{"stopped_by": ["x"], "reason": "x"}\\n')""", "crash"),
    "labels with twos": (GOOD + "os.write(1, bytes([2] * count))", "crash"),
    "labels too few": (GOOD + "os.write(1, bytes(count - 1))", "crash"),
    "labels too many": (GOOD + "os.write(1, bytes(count + 1))", "output limit"),
    "labels slowly": (GOOD + "os.write(1, b'0')\nwhile True: pass", "time limit"),
    "leaves a child with the pipe": ("if os.fork(): os._exit(0)\nwhile True: pass", "time limit"),
}


@pytest.mark.skipif(os.name != "posix", reason="forks and kills")
@pytest.mark.parametrize("lie", LIES)
def test_a_process_that_lies_is_not_believed(lie, worker):
    text, stopped_by = LIES[lie]
    worker(WORKERS / "liar.py")
    trial = try_out(text, POINT, torch.zeros(3, 60), seconds=1.0)
    assert (trial.ok, trial.stopped_by, trial.labels) == (False, stopped_by, None)
    assert trial.reason
    assert trial.seconds < 5


def test_a_reason_is_one_printable_line(worker):
    worker(WORKERS / "liar.py")
    text = """os.write(1, b'{"stopped_by": "check", "reason": "a\\\\nb\\\\u001b[2J' + b'c' * 5000 + b'"}\\n')"""
    trial = try_out(text, POINT, torch.zeros(3, 60))
    assert trial.reason.startswith("a b [2Jccc")
    assert trial.reason.isprintable()
    assert len(trial.reason) < 1000


def test_a_process_that_cannot_start_is_a_rejection(worker, tmp_path):
    worker(tmp_path / "nothing.py")
    trial = try_out(HONEST, POINT, torch.zeros(3, 60))
    assert (trial.ok, trial.stopped_by) == (False, "set-up")
    assert "could not be set up" in trial.reason


# ---- a limit that cannot be set: no text is run ---------------------------------------------------------------------

FAULTS = {
    "an import": ("sys.modules['torch'] = None", "ModuleNotFoundError"),
    "an import of the language": ("sys.modules['osrl_proco.costs.language.interpreter'] = None", "ModuleNotFoundError"),
    "an import of the limits": ("sys.modules['resource'] = None", "ModuleNotFoundError"),
    "a limit that is refused": ("resource.setrlimit = refuse", "PermissionError"),
    "a limit that is missing": ("del resource.RLIMIT_NPROC", "AttributeError"),
    "a memory in use that is not told": ("limits.Path = refuse", "PermissionError"),
    "a control that fails": ("limits._PR_SET_NO_NEW_PRIVS = -1", "OSError"),
    "a filter that fails": ("limits._SECCOMP_MODE_FILTER = 99", "OSError"),
    "a library that is missing": ("limits.ctypes.CDLL = refuse", "PermissionError"),
    "a filter that is not set": ("limits._filter_system_calls = lambda: None", "not enforced: no file writes"),
    "a memory limit that is not set": ("limits._limit_resources = lambda *a: None", "not enforced: memory limit"),
    "a probe that fails": ("limits.socket.socket = 0", "TypeError"),
    "a worker that looks away": ("limits.lock = lambda *a: None; limits.required = tuple", "does not enforce: no "),
}


@pytest.mark.skipif(sys.platform != "linux" or platform.machine() not in ("x86_64", "aarch64"), reason="not promised")
@pytest.mark.parametrize("fault", FAULTS)
def test_a_limit_that_cannot_be_set_keeps_every_text_from_running(fault, worker, tmp_path):
    line, why = FAULTS[fault]
    (tmp_path / "worker.py").write_text(
        f"import resource, sys\nsys.path[:0] = [{str(WORKERS)!r}]\n"
        "from evil import judge, sandbox_worker\nfrom osrl_proco.costs.sandbox import limits\n"
        "def refuse(*a, **k): raise PermissionError('refused')\n"
        f"{line}\nsandbox_worker.main(judge)\n"
    )
    worker(tmp_path / "worker.py")
    trial = try_out("verdict = {'stopped_by': '', 'reason': ''}\nlabels = bytes(3)", POINT, torch.zeros(3, 60))
    assert (trial.ok, trial.stopped_by, trial.labels) == (False, "set-up", None)
    assert why in trial.reason
    assert trial.reason.isprintable()
    with pytest.raises(UserError, match="cannot be tried here: the sandbox") as raised:
        require_sandbox(POINT)
    assert why in str(raised.value)


def test_where_the_sandbox_works_a_harmless_text_says_what_it_enforces():
    assert require_sandbox(POINT) == try_out(HONEST, POINT, torch.zeros(3, 60)).enforcement


def test_a_lower_limit_that_is_there_already_is_kept(worker, tmp_path):
    (tmp_path / "worker.py").write_text(
        f"import resource, sys\nsys.path[:0] = [{str(WORKERS)!r}]\nfrom evil import judge, sandbox_worker\n"
        "resource.setrlimit(resource.RLIMIT_CPU, (60, 60))\nsandbox_worker.main(judge)\n"
    )
    worker(tmp_path / "worker.py")
    assert try_out("", POINT, torch.zeros(3, 60), seconds=500.0).reason == "ran"


# ---- the checks -----------------------------------------------------------------------------------------------------


def spoiled(x):
    x[:, 0] = 7
    return x[:, 0] > 0


class Stateful:
    calls = 0

    def __call__(self, x):
        self.calls += 1
        return x[..., 0] > (0 if self.calls < 3 else 1)


CHEATS = {
    "a number": (lambda x: 1.0, "returned a number"),
    "a number spread out": (lambda x: torch.zeros(()).expand(x.shape[:-1]), "one number spread"),
    "a constant without axes": (lambda x: torch.zeros(()), "returned shape"),
    "one value per entry": (lambda x: x > 0, "returned shape"),
    "the observations themselves": (lambda x: x[..., 0], "a part of the observations"),
    "an in-place write": (spoiled, "changed the observations"),
    "a late in-place write": (lambda x: x.mul_(1.0 if x.dim() == 2 else 2.0)[..., 0] > 0, "changed the observations"),
    "NaN": (lambda x: x[..., 0] / 0 * 0, "neither 0 nor 1"),
    "halves": (lambda x: torch.where(x[..., 0] > 0, 0.5, 0.0), "neither 0 nor 1"),
    "a sum over the batch": (lambda x: x[..., 0] > x[..., 0].mean(), "labels change"),
    "the order": (
        lambda x: torch.arange(x[..., 0].numel()).reshape(x.shape[:-1]) % 2 == 0,
        "change for the same states in another order",
    ),
    "two rows": (lambda x: (x[..., 0] > 0) ^ (x.dim() == 3), "in two rows"),
    "one state": (lambda x: (x[..., 0] > 0) ^ (x.dim() == 1), "on its own"),
    "a running sum": (lambda x: (x[..., 0] * 0 + 1).reshape(-1).cumsum(0).reshape(x.shape[:-1]) > 20, "labels change"),
    "the size of the batch": (lambda x: x[..., 0] * 0 > (-1 if x.shape[0] == 3 else 1), "labels change"),
    "a sorted batch": (lambda x: (x[..., 0] > 0).reshape(-1).sort()[0].reshape(x.shape[:-1]), "labels change"),
    "axes that mix where sizes agree": (
        lambda x: (x > x[..., 0]).any(-1) if x.shape[0] == x.shape[-1] else (x > x[..., :1]).any(-1),
        "labels change",
    ),
    "chance": (lambda x: torch.rand(x.shape[:-1]) > 0.5, "a second time"),
    "a memory": (Stateful(), "labels change"),
    "another shape for a state on its own": (lambda x: (x[..., 0] > 0).reshape(-1), "returned shape"),
}


@pytest.mark.parametrize("cheat", CHEATS)
def test_a_cheat_is_rejected(cheat):
    call, message = CHEATS[cheat]
    with pytest.raises(Rejected, match=message):
        check(call, torch.randn(40, 6))


@pytest.mark.parametrize("count", [1, 2, 3, 7, 60, 61, 200])
def test_an_honest_function_passes_the_checks_at_every_size(count):
    observations = torch.randn(count, 60)
    function = CostFunction(HONEST, POINT)
    assert torch.equal(check(function.raw, observations), function(observations))

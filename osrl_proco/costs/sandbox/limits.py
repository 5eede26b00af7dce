"""What the sandbox's process takes from itself before it looks at a candidate text, and a probe of what that did.

No step is trusted: `probe` tries the forbidden things afterwards, and its answers are what the user is told. Runs on
any system. Where a step does not exist on a system, the probe says so; where one exists and fails, no text is run
(`lock` raises, `missing` names what does not hold although it must).
"""

from __future__ import annotations

import ctypes
import mmap
import os
import platform
import signal
import socket
import struct
import sys
from collections.abc import Callable
from pathlib import Path

MEGABYTE = 1 << 20
MEASURES = ("no network", "no file writes", "no file reads", "no new processes", "no other programs", "memory limit")

# System calls that computing on memory that is already there needs, by architecture. No open, socket, clone, execve.
_ALLOWED = {
    "x86_64": (
        0xC000003E,
        {
            "read": 0, "write": 1, "close": 3, "fstat": 5, "lseek": 8, "mmap": 9, "mprotect": 10, "munmap": 11,
            "brk": 12, "rt_sigaction": 13, "rt_sigprocmask": 14, "rt_sigreturn": 15, "sched_yield": 24, "mremap": 25,
            "madvise": 28, "nanosleep": 35, "getpid": 39, "exit": 60, "gettimeofday": 96, "getrusage": 98,
            "sysinfo": 99, "sigaltstack": 131, "gettid": 186, "futex": 202, "sched_getaffinity": 204,
            "restart_syscall": 219, "clock_gettime": 228, "clock_nanosleep": 230, "exit_group": 231,
            "set_robust_list": 273, "getrandom": 318, "membarrier": 324, "rseq": 334,
        },
    ),
    "aarch64": (
        0xC00000B7,
        {
            "close": 57, "lseek": 62, "read": 63, "write": 64, "fstat": 80, "exit": 93, "exit_group": 94, "futex": 98,
            "set_robust_list": 99, "nanosleep": 101, "clock_gettime": 113, "clock_nanosleep": 115,
            "sched_getaffinity": 123, "sched_yield": 124, "restart_syscall": 128, "sigaltstack": 132,
            "rt_sigaction": 134, "rt_sigprocmask": 135, "rt_sigreturn": 139, "getrusage": 165, "gettimeofday": 169,
            "getpid": 172, "gettid": 178, "sysinfo": 179, "brk": 214, "munmap": 215, "mremap": 216, "mmap": 222,
            "mprotect": 226, "madvise": 233, "getrandom": 278, "membarrier": 283, "rseq": 293,
        },
    ),
}  # fmt: skip
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 1, 4, 22, 38
_SECCOMP_MODE_FILTER = 2


def leave_the_network() -> None:
    """Move into an empty network of its own (Linux). Before any thread starts, so before torch is imported.

    Many containers forbid that; the filter of system calls then keeps the network away alone, and `probe` looks.
    """
    if sys.platform == "linux":
        _libc().unshare(_CLONE_NEWUSER | _CLONE_NEWNET)


def lock(seconds: float, memory_mb: int) -> None:
    """Give up, for good, files, sockets, processes, and more than `memory_mb` on top of what is in use now.

    Raises OSError, ValueError, AttributeError or ImportError where a step that this system has fails.
    """
    if sys.platform != "win32":  # which has no such limits
        _limit_resources(seconds, memory_mb)
    if sys.platform == "linux":
        _control(_PR_SET_PDEATHSIG, signal.SIGKILL)  # it does not outlive the one who asked
        _control(_PR_SET_DUMPABLE, 0)
        _control(_PR_SET_NO_NEW_PRIVS, 1)
        _filter_system_calls()


def required() -> tuple[str, ...]:
    """What `probe` must find enforced on this system, else no text is run: all that its layers promise there."""
    if sys.platform == "linux" and _filter_exists():
        return MEASURES
    if sys.platform == "linux":
        return ("no network", "no file reads", "memory limit")
    return ("no network", "no file reads") if sys.platform == "darwin" else ()


def missing(probed: dict[str, bool]) -> str:
    """What does not hold although it must, in words; "" where all of it does."""
    return ", ".join(name for name in required() if probed.get(name) is not True)


def probe(memory_mb: int) -> dict[str, bool]:
    """Try what should not work any more; True where it did not."""
    return {
        "no network": _refused(_use_network),
        "no file writes": _refused(_write_file) and _refused(_make_folder),
        "no file reads": _refused(_read_file),
        "no new processes": _refused(_fork),
        "no other programs": _no_other_programs(),
        "memory limit": _refused(lambda: mmap.mmap(-1, (memory_mb + 64) * MEGABYTE).close()),
    }


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _control(what: int, *arguments: object) -> None:
    """Linux's prctl. Raises OSError where it fails."""
    if _libc().prctl(what, *arguments, *[0] * (4 - len(arguments))) != 0:
        raise OSError(ctypes.get_errno(), f"prctl {what} failed")


def _limit_resources(seconds: float, memory_mb: int) -> None:
    import resource

    used = resource.getrusage(resource.RUSAGE_SELF)
    cpu = int(used.ru_utime + used.ru_stime + seconds) + 2
    limits = {"CORE": 0, "FSIZE": 0, "NPROC": 0, "CPU": cpu}
    if sys.platform == "linux":  # only it says how much address space is in use
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limits["AS"] = pages * mmap.PAGESIZE + memory_mb * MEGABYTE
    limits["NOFILE"] = 0  # last: from here on nothing can be opened; what is open stays
    for name, value in limits.items():
        kind = getattr(resource, f"RLIMIT_{name}")
        most = resource.getrlimit(kind)[1]  # a limit that is lower already stays
        allowed = value if most == resource.RLIM_INFINITY else min(value, most)
        resource.setrlimit(kind, (allowed, allowed))


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))


def _filter_exists() -> bool:
    return platform.machine() in _ALLOWED and struct.calcsize("P") == 8


def _filter_system_calls() -> None:
    """Every system call that is not on the list fails with EPERM; another architecture's calls end the process."""
    if not _filter_exists():
        return
    architecture, calls = _ALLOWED[platform.machine()]
    load, jump_if_equal, give = 0x20, 0x15, 0x06  # classic BPF: LD|W|ABS, JMP|JEQ|K, RET|K
    allow, kill, refuse = 0x7FFF0000, 0x80000000, 0x00050001
    numbers = sorted(calls.values())
    program = [(load, 0, 0, 4), (jump_if_equal, 1, 0, architecture), (give, 0, 0, kill), (load, 0, 0, 0)]
    program += [(jump_if_equal, len(numbers) - i, 0, n) for i, n in enumerate(numbers)]
    program += [(give, 0, 0, refuse), (give, 0, 0, allow)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in program))
    whole = _Program(len(program), ctypes.addressof(code))
    _control(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(whole))


# ---- the forbidden things -------------------------------------------------------------------------------------------


def _refused(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except (OSError, MemoryError, ValueError):
        return True
    return False


def _use_network() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.connect(("127.0.0.1", 9))  # sends nothing


def _write_file() -> None:
    os.close(os.open("probe", os.O_WRONLY | os.O_CREAT))


def _make_folder() -> None:
    os.mkdir("probe-folder")


def _read_file() -> None:
    os.close(os.open(os.devnull, os.O_RDONLY))


def _fork() -> None:
    if not hasattr(os, "fork"):
        return  # Windows: nothing here forbids it
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


def _no_other_programs() -> bool:
    try:
        os.execv("no-such-program", ["no-such-program"])
    except PermissionError:
        return True
    except OSError:
        return False
    return False

"""Memory and loading speed on a large dataset: peak resident memory of training, against the data's own size.

    python benchmarks/memory.py --transitions 4000000 --entries 88 --out benchmarks/results/memory.json

Makes a random dataset of that size with a task file (no simulator), then, in processes of their own: reads the file's
bytes, loads it, and trains on it (safe-only split, dynamics model, rollouts, a few updates, held-out measures). The
peak is the largest resident set that the kernel counted (Linux), less that of a process which only imports the library.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np
import torch

CHUNK = 200_000  # rows written at a time
EPISODE = 1_000


def make(path: Path, count: int, width: int) -> int:
    """Write the dataset row block by row block; the size of its arrays in bytes."""
    rng = np.random.default_rng(0)
    shapes = {"observations": (count, width), "actions": (count, 2), "next_observations": (count, width)}
    with h5py.File(path, "w") as handle:
        arrays = {
            key: handle.create_dataset(key, shapes.get(key, (count,)), dtype="f4")
            for key in ("observations", "actions", "next_observations", "rewards", "costs", "terminals", "timeouts")
        }
        for start in range(0, count, CHUNK):
            stop = min(start + CHUNK, count)
            states = rng.standard_normal((stop - start + 1, width), dtype=np.float32)
            arrays["observations"][start:stop], arrays["next_observations"][start:stop] = states[:-1], states[1:]
            arrays["actions"][start:stop] = rng.uniform(-1, 1, (stop - start, 2))
            arrays["rewards"][start:stop] = rng.standard_normal(stop - start)
            arrays["costs"][start:stop] = states[1:, 0] > 1.8
            arrays["timeouts"][start:stop] = np.arange(start, stop) % EPISODE == EPISODE - 1
        return sum(int(a.size) * 4 for a in arrays.values())


def task_file(path: Path, width: int) -> None:
    """A task of `width` entries; the first one above 1.8 is unsafe."""
    entries = "".join(f"  - {{name: x{i}, size: 1, unit: '', meaning: noise}}\n" for i in range(width))
    path.write_text(f"id: Large\nname: Large\nsimulator: none\ngoal: none\nrule: x0 <= 1.8\nobservation:\n{entries}")


def child(code: str) -> tuple[float, float]:
    """Run code in a process of its own: seconds that it prints last, and its peak resident memory in bytes."""
    # Not getrusage: its peak outlives the exec, so a child would begin with its parent's.
    tail = "\nprint(next(l for l in open('/proc/self/status') if l.startswith('VmHWM')).split()[1])"
    result = subprocess.run([sys.executable, "-W", "ignore", "-c", code + tail], capture_output=True, text=True)
    if result.returncode:
        raise SystemExit(result.stderr[-2000:])
    *_, seconds, peak = result.stdout.split()
    return float(seconds), float(peak) * 1024


IMPORT = "import osrl_proco.run.fit, osrl_proco.cli, time, torch\nt = time.time()\n"
END = "\nprint(time.time() - t)"
READ = (
    "import time\nt = time.time()\nfile = open({file!r}, 'rb', 0)\nblock = bytearray(1 << 24)\n"
    "while file.readinto(block):\n    pass" + END
)
LOAD = (
    IMPORT + "from osrl_proco.data.load import load_file\nfrom osrl_proco.tasks.task import load_task\n"
    "data = load_file({file!r}, load_task({task!r}))" + END
)
TRAIN = IMPORT + "assert osrl_proco.cli.main({words!r}) == 0" + END


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--transitions", type=int, default=4_000_000)
    parser.add_argument("--entries", type=int, default=88)
    parser.add_argument("--updates", type=int, default=20)
    parser.add_argument("--scratch", type=Path, help="folder for the dataset (default: the system's)")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.scratch) as folder:
        file, task, cost = (Path(folder) / n for n in ("large.hdf5", "large.yaml", "cost.py"))
        size = make(file, arguments.transitions, arguments.entries)
        task_file(task, arguments.entries)
        cost.write_text('# For this benchmark.\ndef cost(obs):\n    return obs["x0"][..., 0] > 1.6\n')
        words = (
            f"train --task {task} --dataset {file} --cost_function {cost} --logdir {folder}/run --threads 2 "
            f"--update_steps {arguments.updates} --dynamics_hidden [16] --members 2 --elites 1 --dynamics_epochs 1 "
            "--dynamics_batch 65536 --rollout_batch 1000 --rollout_repeats 1"
        ).split()
        _, base = child(IMPORT + END)
        rounds = [
            (child(READ.format(file=str(file)))[0], child(LOAD.format(file=str(file), task=str(task))))
            for _ in range(3)
        ]
        read = min(r for r, _ in rounds)
        load, load_peak = min(s for _, (s, _) in rounds), max(p for _, (_, p) in rounds)
        train, train_peak = child(TRAIN.format(words=words))
    result = {
        "command": " ".join(["python benchmarks/memory.py", *sys.argv[1:]]),
        "machine": f"{platform.machine()}, torch {torch.__version__}, Python {platform.python_version()}",
        "transitions": arguments.transitions,
        "entries": arguments.entries,
        "float32_gigabytes": size / 1e9,
        "read_seconds": read,
        "load_seconds": load,
        "load_over_read": load / read,
        "load_peak_over_size": (load_peak - base) / size,
        "train_seconds": train,
        "train_peak_over_size": (train_peak - base) / size,
        "import_gigabytes": base / 1e9,
    }
    print(json.dumps(result, indent=1))
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Applies the diffs of `patches/` in memory, when an upstream module is imported. No file is ever written.

`install()` puts a finder before Python's own: a module that a diff touches is read from its file, patched, compiled
and run; no byte code is cached. A folder `patches/<distribution>-<version>/` counts only where exactly that version
is installed. OSRL_PROCO_PATCHES=0 switches everything off.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import linecache
import os
import re
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from .resources import PATCHES

_HUNK = re.compile(r"^@@ -(\d+)(?:,(\d+))? \+\d+(?:,\d+)? @@")


class PatchError(ImportError):
    """A diff does not fit the file it is meant for."""


@dataclass(frozen=True)
class Hunk:
    """One place of a diff: the lines it expects from line `start` on (1-based), and those it leaves."""

    start: int
    before: tuple[str, ...]
    after: tuple[str, ...]


@dataclass(frozen=True)
class Patch:
    """What one diff does to one file."""

    diff: Path
    distribution: str
    hunks: tuple[Hunk, ...]

    def apply(self, lines: list[str], file: str) -> list[str]:
        """The patched lines. Raises PatchError where the file has other lines than the diff expects."""
        result, done = [], 0
        for hunk in self.hunks:
            at = hunk.start - 1
            if tuple(lines[at : at + len(hunk.before)]) != hunk.before:
                raise PatchError(
                    f"{self.diff.parent.name}/{self.diff.name} does not fit {file} at line {hunk.start}: reinstall "
                    f"{self.distribution} unchanged, or set OSRL_PROCO_PATCHES=0 to go without patches"
                )
            result += [*lines[done:at], *hunk.after]
            done = at + len(hunk.before)
        return result + lines[done:]


def read_diff(diff: Path, distribution: str) -> dict[str, Patch]:
    """The patches of a unified diff by the path of the file they change. Raises PatchError for a malformed diff."""
    patches: dict[str, Patch] = {}
    hunks: list[Hunk] = []
    target = ""
    lines = diff.read_text().splitlines()
    position = 0
    while position < len(lines):
        line = lines[position]
        position += 1
        if line.startswith("+++ b/"):
            target, hunks = line[6:].split("\t")[0], []
        elif (match := _HUNK.match(line)) and target:
            before, after, expected = [], [], int(match[2] or 1)
            while position < len(lines) and (not lines[position] or lines[position][0] in " +-\\"):
                if lines[position].startswith("--- a/"):
                    break
                kind, text = lines[position][:1] or " ", lines[position][1:]
                position += 1
                if kind in " -":
                    before.append(text)
                if kind in " +":
                    after.append(text)
            if len(before) != expected:
                raise PatchError(f"{diff}: the hunk at line {match[1]} of {target} is malformed")
            hunks.append(Hunk(int(match[1]), tuple(before), tuple(after)))
            patches[target] = Patch(diff, distribution, tuple(hunks))
    return patches


def collect(root: Path = PATCHES) -> dict[str, list[Patch]]:
    """The patches that fit what is installed, by module name, in the order of their file names."""
    found: dict[str, list[Patch]] = {}
    for folder in sorted(p for p in root.iterdir() if p.is_dir()):
        distribution, _, version = folder.name.rpartition("-")
        if installed_version(distribution) != version:
            continue
        for diff in sorted(folder.glob("*.diff")):
            for target, patch in read_diff(diff, distribution).items():
                name = target.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
                found.setdefault(name, []).append(patch)
    return found


def installed_version(distribution: str) -> str | None:
    """The installed version of a distribution, or None."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


class _PatchedLoader(importlib.machinery.SourceFileLoader):
    """Runs a module's source with patches applied."""

    patches: Sequence[Patch] = ()

    def get_source(self, fullname: str) -> str:
        lines = super().get_source(fullname).splitlines()
        for patch in self.patches:
            lines = patch.apply(lines, str(self.path))
        return "\n".join(lines) + "\n"

    def get_code(self, fullname: str) -> CodeType:
        source = self.get_source(fullname)
        # Tracebacks show the lines that ran, not those of the file on disk.
        linecache.cache[str(self.path)] = (len(source), None, source.splitlines(keepends=True), str(self.path))
        return compile(source, str(self.path), "exec", dont_inherit=True)


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, patches: dict[str, list[Patch]]) -> None:
        self.patches = patches

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> Any:
        if fullname not in self.patches:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is None or not isinstance(spec.loader, importlib.machinery.SourceFileLoader):
            return spec
        loader = _PatchedLoader(fullname, spec.loader.path)
        loader.patches = self.patches[fullname]
        spec.loader = loader
        return spec


def enabled() -> bool:
    """Whether patches are on (OSRL_PROCO_PATCHES is not 0)."""
    return os.environ.get("OSRL_PROCO_PATCHES", "1") != "0"


def install() -> None:
    """Patch upstream modules from now on, as they are imported. Does nothing the second time, or when switched off."""
    if not enabled() or any(isinstance(finder, _Finder) for finder in sys.meta_path):
        return
    patches = collect()
    late = sorted(name for name in patches if name in sys.modules)
    if late:
        warnings.warn(
            f"{', '.join(late)} imported before osrl_proco and so not patched; import osrl_proco first",
            RuntimeWarning,
            stacklevel=3,
        )
    sys.meta_path.insert(0, _Finder(patches))

"""Mend upstream packages in memory while they are imported.

The published OSRL, DSRL, FSRL and Safety-Gymnasium have faults that stop or slow them on current Python, NumPy, MuJoCo
and PyTorch. `patches/<distribution>-<version>/` holds one small unified diff per fault. `install()` puts a finder in
front of Python's own: it reads a module's source, applies the diffs of the installed version, and compiles the result.
No file of another package is written, compiled caches included.

`OSRL_PROCO_PATCHES=0` in the environment switches all of it off.
"""

from __future__ import annotations

import importlib.metadata
import linecache
import os
import sys
import warnings
from dataclasses import dataclass
from functools import cache
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType

from ..core.errors import UserError
from ..core.resources import PATCHES
from .unified_diff import DoesNotFit, Hunk, apply_hunks, parse_diff

# top-level module -> distribution
PACKAGES = {
    "bullet_safety_gym": "bullet-safety-gym",
    "dsrl": "dsrl",
    "fsrl": "fast-safe-rl",
    "osrl": "osrl-lib",
    "safety_gymnasium": "safety-gymnasium",
}


class PatchError(UserError, ImportError):
    """An upstream package cannot be imported because the patches for it do not fit. One line, with the fix."""


@dataclass(frozen=True)
class Release:
    """An installed upstream release and the diffs for it."""

    distribution: str
    version: str
    diffs: tuple[Path, ...]

    def hunks(self, file: str) -> list[tuple[Path, list[Hunk]]]:
        """The diffs that touch `file` (a path in the upstream tree such as `osrl/common/net.py`), in order."""
        return [(diff, files[file]) for diff in self.diffs if file in (files := _parsed(diff))]

    def modules(self) -> set[str]:
        """The names of the modules that the diffs touch."""
        paths = {file for diff in self.diffs for file in _parsed(diff)}
        return {path.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for path in paths}


@cache
def _parsed(diff: Path) -> dict[str, list[Hunk]]:
    return parse_diff(diff.read_text(encoding="utf-8"))


def enabled() -> bool:
    """Whether patches are applied in this process."""
    return os.environ.get("OSRL_PROCO_PATCHES") != "0"


def patched_versions(distribution: str) -> list[str]:
    """The releases of an upstream distribution that there are patches for; empty where none needs any."""
    prefix = f"{distribution}-"
    return sorted(folder.name.removeprefix(prefix) for folder in PATCHES.glob(f"{prefix}[0-9]*"))


def find_release(package: str) -> Release:
    """The installed release of a top-level module of `PACKAGES`, with its diffs.

    Raises PatchError where patches exist, but none for the installed version.
    """
    distribution = PACKAGES[package]
    supported = patched_versions(distribution)
    if not supported:
        return Release(distribution, "", ())
    mend = f"pip install --no-deps {distribution}=={supported[-1]}"
    try:
        version = importlib.metadata.version(distribution).partition("+")[0]
    except importlib.metadata.PackageNotFoundError:
        raise PatchError(
            f"{package}: found on the path, but {distribution} is not installed, so that its version is unknown and no "
            f"patch can be chosen; {mend}, or set OSRL_PROCO_PATCHES=0"
        ) from None
    if version not in supported:
        raise PatchError(
            f"{distribution} {version}: the patches in {PATCHES} are for {', '.join(supported)} only; {mend}, "
            "or set OSRL_PROCO_PATCHES=0 to run it as it is"
        )
    return Release(distribution, version, tuple(sorted((PATCHES / f"{distribution}-{version}").glob("*.diff"))))


class _PatchedLoader(SourceFileLoader):
    """Loads one module from its source with diffs applied, past the compiled cache in both directions."""

    def __init__(self, name: str, path: str, file: str, release: Release) -> None:
        super().__init__(name, path)
        self.file = file
        self.release = release

    def get_source(self, fullname: str) -> str:
        source = super().get_source(fullname) or ""
        for diff, hunks in self.release.hunks(self.file):
            try:
                source = apply_hunks(source, hunks)
            except DoesNotFit as error:
                named = f"{self.release.distribution}=={self.release.version}"
                raise PatchError(
                    f"{self.path}: {diff.parent.name}/{diff.name} does not fit near line {error.line}, so this is not "
                    f"the published {named}; pip install --force-reinstall --no-deps {named}, "
                    "or set OSRL_PROCO_PATCHES=0 to run it as it is"
                ) from None
        return source

    def get_code(self, fullname: str) -> CodeType:
        source = self.get_source(fullname)
        # A name of its own, known to linecache: a traceback shows the lines that ran, not those of the file on disk.
        name = f"{self.path} (patched by osrl-proco)"
        linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
        return compile(source, name, "exec", dont_inherit=True)


class _Finder(MetaPathFinder):
    """Finds what the other finders find, and swaps the loader of a module that has a patch."""

    def __init__(self, packages: set[str]) -> None:
        self.packages = packages
        self.release = cache(find_release)

    def find_spec(self, fullname, path=None, target=None) -> ModuleSpec | None:  # type: ignore[no-untyped-def]
        package = fullname.partition(".")[0]
        if package not in self.packages:
            return None
        found = (
            f.find_spec(fullname, path, target) for f in sys.meta_path if f is not self and hasattr(f, "find_spec")
        )
        spec = next((s for s in found if s is not None), None)
        if spec is None or spec.origin is None or not isinstance(spec.loader, SourceFileLoader):
            return spec
        stem = fullname.replace(".", "/")
        file = f"{stem}.py" if spec.submodule_search_locations is None else f"{stem}/__init__.py"
        release = self.release(package)
        if release.hunks(file):
            spec.loader = _PatchedLoader(fullname, spec.origin, file, release)
        return spec


def install() -> None:
    """Patch upstream packages from their next import on. Calling it twice does no harm.

    A package that is already loaded stays as it is, and a RuntimeWarning says so.
    """
    if not enabled() or any(isinstance(finder, _Finder) for finder in sys.meta_path):
        return
    early = {p for p in PACKAGES if p in sys.modules and not find_release(p).modules().isdisjoint(sys.modules)}
    if early:
        warnings.warn(
            f"{', '.join(sorted(early))} was imported before osrl_proco and runs without its patches; "
            "import osrl_proco first",
            RuntimeWarning,
            stacklevel=3,
        )
    if "fsrl" in early:
        early.add("osrl")  # patched OSRL hands tensors to the loggers, which only a patched FSRL can take
    sys.meta_path.insert(0, _Finder(set(PACKAGES) - early))

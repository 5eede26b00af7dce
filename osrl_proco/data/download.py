"""DSRL's own dataset files: found where they are, else downloaded, resumed, checked, and put in place whole."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from ..core.errors import UserError, first_line, nearest
from ..core.files import make_folder, read_json, write_text
from .hdf5 import DSRL_FILE
from .stored import open_hdf5

HOST = "https://huggingface.co/datasets/YYY-45/DSRL/resolve/main/"  # DSRL's own, since November 2025
MIRRORS = "OSRL_PROCO_MIRRORS"  # environment: addresses, separated by spaces or commas, tried before HOST
ATTEMPTS = 5  # at one host, without a byte in between
BACK_OFF = 1.0  # seconds before the second attempt, doubled for each further one
TIMEOUT = 30.0  # seconds without a byte
CHUNK = 1 << 20


def dataset_file(task_id: str) -> str:
    """The name that DSRL gives the dataset file of a task. Raises UserError for a task that DSRL has no data of."""
    from dsrl.infos import DATASET_URLS

    names = [url.rsplit("/", 1)[-1] for url in DATASET_URLS.values()]
    tasks = {f"Offline{match[1]}": name for name in names if (match := DSRL_FILE.fullmatch(name))}
    if task_id not in tasks:
        raise UserError(f"{task_id}: DSRL has no dataset of it{nearest(task_id, tasks)}; pass --dataset FILE")
    return tasks[task_id]


def dataset_folder() -> Path:
    """Where DSRL keeps its files: DSRL_DATASET_DIR, or its default in the home folder; made, where it is not there.

    Raises UserError for a folder that cannot be used: dsrl itself fails at its import then.
    """
    named = os.environ.get("DSRL_DATASET_DIR")
    make_folder(named or os.path.expanduser("~/.dsrl/datasets"), "DSRL_DATASET_DIR" if named else "folder")
    from dsrl import offline_env

    return Path(offline_env.DATASET_PATH)


def download(task_id: str, mirrors: Sequence[str] = (), sha256: str | None = None, folder: Path | None = None) -> Path:
    """The dataset file of a task: the one in DSRL's folder as it is, else downloaded there.

    Hosts are tried in the order `mirrors`, OSRL_PROCO_MIRRORS, DSRL's own. A download that was cut goes on where it
    stopped, also after a kill (the file with the ending .partial). It is put in place only when its size and SHA-256
    are those that the host states (Hugging Face gives a file's SHA-256 as its entity tag) and `sha256`, where given,
    and when it opens as HDF5.

    Raises UserError when no host gives the file, naming what each said.
    """
    name = dataset_file(task_id)
    path = (folder or dataset_folder()) / name
    if path.is_file():
        return path
    hosts = [*mirrors, *os.environ.get(MIRRORS, "").replace(",", " ").split(), HOST]
    said = []
    make_folder(path.parent, "folder")
    try:
        with _alone(path):
            for host in dict.fromkeys(hosts):
                try:
                    _from_host(f"{host.rstrip('/')}/{name}", path, sha256)
                    return path
                except _HostFailed as error:
                    said.append(f"{host}: {error}")
    except OSError as error:
        raise UserError(f"{path}: could not be written ({first_line(error)}); what is there is kept") from None
    raise UserError(
        f"dataset of {task_id}: could not be downloaded ({'; '.join(said)}); set {MIRRORS}, put {name} into "
        f"{path.parent}, or pass --dataset FILE"
    )


class _HostFailed(Exception):
    """One host did not give the file."""


@dataclass
class _Stated:
    """What a host says of the file: its entity tag, its SHA-256 where that is one, its size."""

    tag: str
    sha256: str | None
    size: int | None

    @classmethod
    def of(cls, headers: Mapping[str, str], size: int | None) -> _Stated:
        tag = headers.get("x-linked-etag") or headers.get("etag") or ""
        bare = tag.removeprefix("W/").strip('"')
        linked = headers.get("x-linked-size", "")
        return cls(
            tag, bare if re.fullmatch(r"[0-9a-f]{64}", bare) else None, int(linked) if linked.isdigit() else size
        )


def _from_host(url: str, path: Path, sha256: str | None) -> None:
    """Get `url` into `path`. Raises _HostFailed after `ATTEMPTS` attempts in a row that brought nothing."""
    if not re.match(r"https?://[^/\s]", url, re.IGNORECASE):
        raise _HostFailed("no address (it must begin with http:// or https://)")
    partial, note = path.with_name(path.name + ".partial"), path.with_name(path.name + ".partial.json")
    failures = 0
    while True:
        before = partial.stat().st_size if partial.exists() else 0
        try:
            stated = _attempt(url, partial, note)
            break
        except urllib.error.HTTPError as error:
            if error.code not in (408, 416, 425, 429) and error.code < 500:
                raise _HostFailed(f"HTTP status {error.code}") from None
            if error.code == 416:  # the kept part is none of this file's
                _discard(partial, note)
            reason = f"HTTP status {error.code}"
        except (http.client.InvalidURL, ValueError, UnicodeError) as error:
            raise _HostFailed(f"no address that can be asked ({first_line(error)})") from None
        except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
            reason = first_line(error)
        failures = 0 if partial.exists() and partial.stat().st_size > before else failures + 1
        if failures >= ATTEMPTS:
            raise _HostFailed(reason)
        time.sleep(BACK_OFF * 2 ** max(0, failures - 1))
    try:
        _check(partial, stated, sha256)
    except _HostFailed:
        _discard(partial, note)
        raise
    partial.replace(path)
    _discard(partial, note)


def _attempt(url: str, partial: Path, note: Path) -> _Stated:
    """One request, from where `partial` ends if the host still has the same file."""
    kept, tag = _kept(partial, note, url)
    request = urllib.request.Request(url, headers={"User-Agent": "osrl-proco", "Accept-Encoding": "identity"})
    if kept:
        request.add_header("Range", f"bytes={kept}-")
        request.add_header("If-Range", tag)
    seen: dict[str, str] = {}
    with urllib.request.build_opener(_Redirects(seen)).open(request, timeout=TIMEOUT) as answer:
        seen.update((k.lower(), v) for k, v in answer.headers.items() if k.lower() not in seen)
        resumed = answer.status == 206 and seen.get("content-range", "").startswith(f"bytes {kept}-")
        start = kept if resumed else 0
        length = answer.headers.get("Content-Length")
        stated = _Stated.of(seen, start + int(length) if length else None)
        if resumed and stated.tag and stated.tag != tag:
            start, resumed = 0, False
            _discard(partial, note)
            raise ConnectionError("the file has changed on the host")
        write_text(note, json.dumps({"url": url, "tag": stated.tag}))
        with (
            partial.open("ab" if resumed else "wb") as file,
            tqdm(total=stated.size, initial=start, unit="B", unit_scale=True, desc=partial.stem) as bar,
        ):
            while chunk := answer.read(CHUNK):
                file.write(chunk)
                bar.update(len(chunk))
    if stated.size is not None and partial.stat().st_size < stated.size:
        raise ConnectionError(f"cut at {partial.stat().st_size} of {stated.size} bytes")
    return stated


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Keeps the headers of the first redirect: Hugging Face states size and hash there, the host behind it does not."""

    def __init__(self, seen: dict[str, str]) -> None:
        self.seen = seen

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        self.seen.update({k.lower(): v for k, v in headers.items() if k.lower().startswith("x-linked-")})
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _kept(partial: Path, note: Path, url: str) -> tuple[int, str]:
    """Bytes of an earlier attempt that can be built on, and the tag they belong to."""
    try:
        before = read_json(note)
        if before["url"] == url and before["tag"] and not before["tag"].startswith("W/"):
            return partial.stat().st_size, before["tag"]
    except (OSError, UserError, KeyError, TypeError, AttributeError):
        pass
    return 0, ""


def _check(partial: Path, stated: _Stated, sha256: str | None) -> None:
    size = partial.stat().st_size
    if stated.size is not None and size != stated.size:
        raise _HostFailed(f"gave {size} bytes, stated {stated.size}")
    wanted = (sha256 or stated.sha256 or "").lower()
    if wanted:
        digest = hashlib.sha256()
        with partial.open("rb") as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
        if digest.hexdigest() != wanted:
            raise _HostFailed(
                f"gave other bytes than it should (SHA-256 {digest.hexdigest()[:16]}..., not {wanted[:16]}...)"
            )
    try:
        with open_hdf5(partial) as (handle, _):
            list(handle)
    except (UserError, OSError, RuntimeError) as error:
        raise _HostFailed(f"gave no HDF5 file ({first_line(error)})") from None


def _discard(*paths: Path) -> None:
    for path in paths:
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """One process at a time fetches a file. Raises UserError when another does."""
    try:
        import fcntl
    except ImportError:  # no such locks on Windows
        yield
        return
    lock = path.with_name(path.name + ".lock")
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UserError(f"{path}: another process is downloading it; wait for that") from None
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)

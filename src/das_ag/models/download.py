"""Resumable, verified and atomic downloads of files."""

from __future__ import annotations

import http.client
import os
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock
from tqdm import tqdm

from das_ag.errors import UserError
from das_ag.models.weights import sha256_of

CHUNK_BYTES = 1 << 20
TIMEOUT_S = 30

Report = Callable[[int, int | None], None]
"""Called during a download with the bytes received so far and their total, None if unknown. It may raise
`DownloadStopped`; the next download continues from there."""


class DownloadStopped(Exception):  # noqa: N818
    """A person stopped a download."""


def is_offline() -> bool:
    """Whether HF_HUB_OFFLINE forbids downloads; the hub's client reads this variable in the same way."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}


def download(url: str, path: Path, *, sha256: str | None, what: str, remedy: str, report: Report | None = None) -> None:
    """Downloads `url` to `path`, which appears whole or not at all.

    If a download breaks off, the received part stays in `<path>.part`, and the next call resumes it. If several
    processes request the file, one downloads it and the others wait.

    Args:
        report: takes the progress; None shows a bar on a terminal.

    Raises:
        UserError: no network, an incomplete response, another file than expected, or a folder that cannot be written.
    """
    if is_offline():
        raise UserError(f"{what}: cannot download {url}, since HF_HUB_OFFLINE is set; unset it, or {remedy}.")
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(path.name + ".lock")):
            if path.is_file():
                return
            _receive(url, part, what, report)
            got = sha256_of(part)
            if sha256 is not None and got != sha256:
                part.unlink()
                raise UserError(
                    f"{what}: expected SHA-256 {sha256[:16]}… from {url}, got {got[:16]}…; try again, or {remedy}."
                )
            part.replace(path)
    except urllib.error.HTTPError as error:
        error.close()  # the error object holds the connection
        raise UserError(
            f"{what}: cannot download {url} to {path} (“{error.code} {error.reason}”); try later, or {remedy}."
        ) from error
    except (urllib.error.URLError, ConnectionError, TimeoutError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error.__class__.__name__ + (f": {error}" if str(error) else "")
        raise UserError(
            f"{what}: cannot download {url} to {path} (“{reason}”); connect to the network, or {remedy}."
        ) from error
    except OSError as error:
        raise UserError(
            f"{what}: cannot write {path} (“{error.strerror or error}”); free some space there, or {remedy}."
        ) from error


def _receive(url: str, part: Path, what: str, report: Report | None) -> None:
    """Downloads the missing part of the file at `url` to the end of `part`."""
    have = part.stat().st_size if part.is_file() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        answer = urllib.request.urlopen(request, timeout=TIMEOUT_S)
    except urllib.error.HTTPError as error:
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            error.close()
            return  # the file is complete; the caller verifies the checksum
        raise
    with answer:
        if answer.status != http.HTTPStatus.PARTIAL_CONTENT:
            have = 0  # the server cannot resume, and sends the whole file
        length = answer.headers.get("Content-Length")
        total = have + int(length) if length else None
        with (
            part.open("ab" if have else "wb") as file,
            tqdm(total=total, initial=have, desc=what, unit="B", unit_scale=True, disable=bool(report) or None) as bar,
        ):
            while chunk := answer.read1(CHUNK_BYTES):  # what has arrived, so that a slow download reports too
                file.write(chunk)
                have += len(chunk)
                bar.update(len(chunk))
                if report:
                    report(have, total)
    if total is not None and part.stat().st_size < total:
        raise ConnectionError(f"received only {part.stat().st_size} of {total} bytes")

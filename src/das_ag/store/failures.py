"""The errors of samples that failed; a later success deletes the error."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path

from das_ag.errors import first_line
from das_ag.store.atomic import AtomicFolder
from das_ag.store.files import pretty, read_json
from das_ag.store.samples import KEY_LENGTH, Sample
from das_ag.store.schema import TEXT, check

FAILURES = "failures"
"""Subfolder of a store with one file for each failed sample."""


class Failures:
    """The failures of a store, in failures/<key>.json."""

    def __init__(self, folder: AtomicFolder) -> None:
        self._folder = folder

    def write(self, sample: Sample, error: str, traceback: str = "") -> None:
        """Records why a sample failed.

        Raises:
            StoreError: the disk is full or cannot be written to.
        """
        entry = {"error": error, **sample.identity()} | ({"traceback": traceback} if traceback else {})
        self._folder.write(self._path(sample.key), pretty(entry).encode())

    def forget(self, key: str) -> None:
        """Deletes the failure of a sample that has succeeded.

        Args:
            key: the sample's key, or its first `KEY_LENGTH` characters.
        """
        self._folder.remove(self._path(key))

    def marks(self, samples: Iterable[Sample]) -> dict[str, int]:
        """Maps the key of each failed sample to a number, which changes with each new failure."""
        marks = {}
        for sample in samples:
            with contextlib.suppress(FileNotFoundError):
                marks[sample.key] = self._path(sample.key).stat().st_mtime_ns
        return marks

    def error_of(self, sample: Sample) -> str:
        """The error of a failed sample."""
        try:
            return _read(self._path(sample.key))[1]
        except (OSError, ValueError) as damage:
            return f"could not be read ({first_line(damage)})"

    def errors(self, since: float = 0.0) -> dict[str, str]:
        """The error of each failed sample that was not made later, by the sample's name.

        Args:
            since: seconds since the epoch; older failures are left out.
        """
        found: dict[str, str] = {}
        for path in sorted((self._folder.root / FAILURES).glob("*.json")):
            try:
                if path.stat().st_mtime < since:
                    continue
                name, error = _read(path)
            except (OSError, ValueError) as damage:
                name, error = path.name, f"could not be read ({first_line(damage)}); delete it"
            found[f"{name}, key {path.stem}" if name in found else name] = error
        return found

    def _path(self, key: str) -> Path:
        return self._folder.root / FAILURES / f"{key[:KEY_LENGTH]}.json"


def _read(path: Path) -> tuple[str, str]:
    """Name of the sample, and its error.

    Raises:
        OSError, ValueError: the file cannot be read, or is not what `Failures` writes.
    """
    entry = read_json(path)
    check(entry, {"error": TEXT})
    return Sample.from_identity(entry).name, entry["error"]

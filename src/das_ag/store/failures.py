"""Why samples could not be made, until they can."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path

from das_ag.store.atomic import AtomicFolder
from das_ag.store.files import pretty, read_json
from das_ag.store.samples import KEY_LENGTH, Sample

FAILURES = "failures"
"""Subfolder of a store with a file for each sample that has failed."""


class Failures:
    """The failures of a store, failures/<key>.json."""

    def __init__(self, folder: AtomicFolder) -> None:
        self._folder = folder

    def write(self, sample: Sample, error: str, traceback: str = "") -> None:
        """Remembers why a sample could not be made.

        Raises:
            StoreError: the disk is full or cannot be written to.
        """
        entry = {"error": error, **sample.identity()} | ({"traceback": traceback} if traceback else {})
        self._folder.write(self._path(sample.key), pretty(entry).encode())

    def forget(self, key: str) -> None:
        """After a success.

        Args:
            key: of the sample, or its beginning, `KEY_LENGTH` long.
        """
        self._folder.remove(self._path(key))

    def marks(self, samples: Iterable[Sample]) -> dict[str, int]:
        """A number by key for those of the samples that have failed, another one after each failure."""
        marks = {}
        for sample in samples:
            with contextlib.suppress(FileNotFoundError):
                marks[sample.key] = self._path(sample.key).stat().st_mtime_ns
        return marks

    def error_of(self, sample: Sample) -> str:
        """Why a sample could not be made."""
        try:
            return str(read_json(self._path(sample.key))["error"])
        except (OSError, KeyError, ValueError) as damage:
            return f"could not be read ({damage})"

    def errors(self, since: float = 0.0) -> dict[str, str]:
        """Error by name of the sample, of those that failed and were not made later.

        Args:
            since: seconds since the epoch; older failures are left out.
        """
        found: dict[str, str] = {}
        for path in sorted((self._folder.root / FAILURES).glob("*.json")):
            if path.stat().st_mtime < since:
                continue
            try:
                entry = read_json(path)
                name, error = f"{entry['method']} {entry['prompt_id']} seed {entry['seed']}", entry["error"]
            except (OSError, KeyError, ValueError) as damage:
                name, error = path.name, f"could not be read ({damage}); delete it"
            found[f"{name}, key {path.stem}" if name in found else name] = error
        return found

    def _path(self, key: str) -> Path:
        return self._folder.root / FAILURES / f"{key[:KEY_LENGTH]}.json"

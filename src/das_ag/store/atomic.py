"""A folder whose files and subfolders appear whole or not at all, whoever else writes into it."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import re
import shutil
import socket
import sys
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil

from das_ag.errors import UserError

log = logging.getLogger(__name__)

UNFINISHED = ".unfinished"
"""Subfolder for what is half-written; names in it begin with the process that writes."""
WRITING_S = 3600.0
"""What is still half-written after that is nobody's any more: a sample is written within seconds."""


class StoreError(UserError):
    """The folder of the results cannot be used, so that no sample at all can be kept."""


class AtomicFolder:
    """Writes beside, syncs, then renames.

    Args:
        root: the folder; made by the first write.

    Each method raises StoreError where it is not let, or the disk is full; what stood there stays as it was.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def prepare(self, *subfolders: str) -> None:
        """Makes the folder and these in it, tries to write, and clears what dead processes left half-written."""
        with self._writing():
            for name in (UNFINISHED, *subfolders):
                (self.root / name).mkdir(parents=True, exist_ok=True)
            probe = self._unfinished("probe")
            probe.write_bytes(b"")
            now = probe.stat().st_mtime  # by the clock of the file system
            probe.unlink()
            self._sweep(now)

    def write(self, path: Path, data: bytes) -> None:
        """Writes a file below the folder, over one that is there."""
        unfinished = self._unfinished(path.name)
        with self._writing():
            path.parent.mkdir(parents=True, exist_ok=True)
            unfinished.parent.mkdir(exist_ok=True)
            try:
                write_synced(unfinished, data)
                unfinished.replace(path)
            finally:
                unfinished.unlink(missing_ok=True)

    def write_folder(self, path: Path, files: Mapping[str, bytes], *, last: str) -> None:
        """Makes a subfolder of these files; one that is whole already stays as it is.

        Args:
            last: the file without which a subfolder that is there is damaged, and made again.
        """
        unfinished = self._unfinished(path.name)
        with self._writing():
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                unfinished.mkdir(parents=True)
                for name, data in files.items():
                    write_synced(unfinished / name, data)
                sync_folder(unfinished)
                try:
                    unfinished.rename(path)
                except OSError as error:
                    if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                        raise
                    if (path / last).is_file():
                        return  # another process has written the same
                    log.warning("%s: had no %s, and is made again", path, last)
                    self._move_away(path)
                    unfinished.rename(path)
                sync_folder(path.parent)
            finally:
                shutil.rmtree(unfinished, ignore_errors=True)

    def remove(self, path: Path) -> None:
        """Removes a file or subfolder, where it is there; a subfolder disappears whole."""
        try:
            if path.is_dir():
                self._move_away(path)
            else:
                path.unlink(missing_ok=True)
        except OSError as error:
            got = error.strerror or error
            raise StoreError(f"{path}: expected to delete it, got “{got}”; mend its permissions.") from error

    def _move_away(self, path: Path) -> None:
        aside = self._unfinished(path.name)
        aside.parent.mkdir(exist_ok=True)
        path.rename(aside)
        shutil.rmtree(aside, ignore_errors=True)

    def _unfinished(self, name: str) -> Path:
        """A path that no other process or thread has, even one that shares the folder from another machine."""
        return self.root / UNFINISHED / f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}-{name}"

    def _sweep(self, now: float) -> None:
        # To the end of the random part, since another machine may be called like this one with a number behind it.
        own = re.compile(re.escape(socket.gethostname()) + "-([0-9]+)-[0-9a-f]{8}-.*")
        for path in (self.root / UNFINISHED).iterdir():
            with contextlib.suppress(FileNotFoundError):  # its process has just finished it
                found = own.fullmatch(path.name)
                is_dead = found is not None and not psutil.pid_exists(int(found[1]))
                if not is_dead and now - path.stat().st_mtime < WRITING_S:
                    continue
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            remedies = {
                errno.ENOSPC: "free some space and start the same command again",
                errno.EDQUOT: "free some of your quota and start the same command again",
            }
            remedy = remedies.get(error.errno or 0, "choose another folder with name=, or mend its permissions")
            got = error.strerror or error
            raise StoreError(
                f"{self.root}: expected to write here, got “{got}”; {remedy}; finished samples are kept."
            ) from error


def write_synced(path: Path, data: bytes) -> None:
    """Writes a file and waits until it is on the disk."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    """Waits until the names in a folder are on the disk; Windows, which opens no folders, sees to that itself."""
    if sys.platform == "win32":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

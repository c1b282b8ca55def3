"""Atomic writes to a folder that several processes share: each file or subfolder appears whole or not at all."""

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
"""Subfolder for unfinished files. Each name begins with the host and the id of the process that writes it."""
WRITING_S = 3600.0
"""An unfinished file older than this is abandoned: writing a sample takes seconds."""


class StoreError(UserError):
    """The folder of results cannot be used, so no sample can be stored."""


class AtomicFolder:
    """Writes to a temporary path, syncs, then renames.

    Args:
        root: the folder; the first write creates it.

    Each method raises StoreError if permissions are missing or the disk is full; existing files stay unchanged.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def prepare(self, *subfolders: str) -> None:
        """Creates the folder and its subfolders, tests a write, and removes unfinished files of dead processes."""
        with storing(self.root):
            for name in (UNFINISHED, *subfolders):
                check_inside(self.root, self.root / name / "file")
                (self.root / name).mkdir(parents=True, exist_ok=True)
            probe = self._unfinished("probe")
            probe.write_bytes(b"")
            now = probe.stat().st_mtime  # the file system's clock may differ from ours
            probe.unlink()
            self._sweep(now)

    def write(self, path: Path, data: bytes) -> None:
        """Writes a file below the folder; replaces an existing file."""
        unfinished = self._unfinished(path.name)
        with storing(self.root):
            check_inside(self.root, path)
            check_inside(self.root, unfinished)
            path.parent.mkdir(parents=True, exist_ok=True)
            unfinished.parent.mkdir(exist_ok=True)
            try:
                write_synced(unfinished, data)
                unfinished.replace(path)
            finally:
                unfinished.unlink(missing_ok=True)

    def write_folder(self, path: Path, files: Mapping[str, bytes], *, last: str) -> None:
        """Creates a subfolder with these files; a complete subfolder that exists stays unchanged.

        Args:
            last: name of a required file; an existing subfolder without it is damaged, and is replaced.
        """
        unfinished = self._unfinished(path.name)
        with storing(self.root):
            check_inside(self.root, path)
            check_inside(self.root, unfinished)
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
                        return  # another process has written the same subfolder
                    log.warning("%s: had no %s, so it is replaced", path, last)
                    self._move_away(path)
                    unfinished.rename(path)
                sync_folder(path.parent)
            finally:
                shutil.rmtree(unfinished, ignore_errors=True)

    def remove(self, path: Path) -> None:
        """Removes a file or subfolder if it exists; a subfolder disappears all at once."""
        check_inside(self.root, path)
        try:
            if path.is_dir() and not path.is_symlink():
                self._move_away(path)
            else:
                path.unlink(missing_ok=True)
        except OSError as error:
            got = error.strerror or error
            raise StoreError(f"{path}: cannot delete it (“{got}”); fix its permissions.") from error

    def _move_away(self, path: Path) -> None:
        aside = self._unfinished(path.name)
        aside.parent.mkdir(exist_ok=True)
        path.rename(aside)
        shutil.rmtree(aside, ignore_errors=True)

    def _unfinished(self, name: str) -> Path:
        """A unique path, also among threads, processes, and other machines that share the folder."""
        return self.root / UNFINISHED / f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}-{name}"

    def _sweep(self, now: float) -> None:
        # Match up to the end of the random part: another host's name may be this host's name plus "-" and a number.
        own = re.compile(re.escape(socket.gethostname()) + "-([0-9]+)-[0-9a-f]{8}-.*")
        for path in (self.root / UNFINISHED).iterdir():
            with contextlib.suppress(FileNotFoundError):  # its process has just renamed it
                found = own.fullmatch(path.name)
                is_dead = found is not None and not psutil.pid_exists(int(found[1]))
                if not is_dead and now - path.stat().st_mtime < WRITING_S:
                    continue
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink(missing_ok=True)


@contextlib.contextmanager
def storing(folder: Path) -> Iterator[None]:
    """Turns the system's error in writing to a folder into a `StoreError`, with the remedy."""
    try:
        yield
    except OSError as error:
        remedies = {
            errno.ENOSPC: "free some space and start the same command again",
            errno.EDQUOT: "free some of your quota and start the same command again",
        }
        remedy = remedies.get(error.errno or 0, "choose another folder with name=, or fix its permissions")
        got = error.strerror or error
        raise StoreError(f"{folder}: cannot write here (“{got}”); {remedy}. Finished samples are kept.") from error


def check_inside(root: Path, path: Path) -> None:
    """Checks that a write to `path` stays below `root`; links of the user above `root` are no matter.

    Raises:
        StoreError: a folder between them is a link that leads out.
    """
    folder = root
    for part in path.relative_to(root).parts[:-1]:
        folder = folder / part
        if folder.is_symlink() and not folder.resolve().is_relative_to(root.resolve()):
            raise StoreError(
                f"{folder}: expected a folder inside {root}, found a link to {folder.resolve()}; delete the link, or "
                "choose another folder with name=."
            )


def own_file(root: Path, path: Path) -> Path:
    """The path, ready for a write below `root`: a link at the path is deleted, since the write would follow it.

    Raises:
        StoreError: see `check_inside`.
        OSError: the link cannot be deleted.
    """
    check_inside(root, path)
    if path.is_symlink():
        path.unlink()
    return path


def write_synced(path: Path, data: bytes) -> None:
    """Writes a file and waits until the disk has stored it."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    """Waits until the disk has stored the names in a folder. Windows cannot open folders, and does this itself."""
    if sys.platform == "win32":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

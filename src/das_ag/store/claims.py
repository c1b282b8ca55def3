"""Who works on what, among processes that share a folder."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from filelock import SoftFileLease, Timeout

from das_ag.store.atomic import StoreError
from das_ag.store.store import Store

LEASE_S = 120.0
"""A claim that was not renewed for so long is free; on the machine of its owner, as soon as that is dead."""
TRIES_S = 0.1
"""Time to take over the claim of a dead process, which needs a second look."""


class Claims:
    """Claims on pieces of work, each a file that its owner renews while it works.

    No lock of the file system is needed, so a shared network folder will do. A claim is a hint and no guarantee: an
    owner that slept through its lease may find that its work was done by another. That costs time and nothing else,
    since a sample that stands in the store stays as it is.

    Args:
        folder: of the claims; made when the first is taken.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def of(cls, store: Store) -> Claims:
        """Those of the processes that work on a store."""
        return cls(store.root / "claims")

    @contextlib.contextmanager
    def claim(self, name: str, *, wait: bool = False) -> Iterator[bool]:
        """Holds the claim on that piece of work while the block runs; yields False where another process does.

        Args:
            wait: until it is free, rather than yield False.

        Raises:
            StoreError: the folder cannot be written to.
        """
        lease = SoftFileLease(self.folder / f"{name}.claim", lease_duration=LEASE_S, thread_local=False)
        try:
            lease.acquire(timeout=-1 if wait else TRIES_S, poll_interval=TRIES_S / 4)
        except Timeout:
            yield False
            return
        except OSError as error:
            raise StoreError(
                f"{self.folder}: expected to write here, got “{error.strerror}”; mend its permissions or free some "
                "space; finished samples are kept."
            ) from error
        try:
            yield True
        finally:
            lease.release()

    def forget(self, name: str) -> None:
        """Removes the claim of a dead process on work that is done, for which nobody else will ask."""
        if (self.folder / f"{name}.claim").exists():
            with self.claim(name):
                pass

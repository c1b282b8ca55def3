"""Claims on pieces of work, for processes that share a folder."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from filelock import SoftFileLease, Timeout

from das_ag.store.atomic import check_inside, storing
from das_ag.store.store import Store

LEASE_S = 120.0
"""A claim that is not renewed for this long is free. On its owner's machine it is free as soon as the owner is dead."""
TRIES_S = 0.1
"""Longest time to try for a claim: taking over the claim of a dead process needs a second try."""


class Claims:
    """Claims on pieces of work; each is a file that its owner renews while it works.

    Claims need no file-system locks, so they work in a shared network folder. A claim is a hint, not a guarantee: if
    an owner sleeps longer than its lease, another process may do the same work. That only costs time, because the
    store never overwrites a finished sample.

    Args:
        folder: where the claims are; the first claim creates it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def of(cls, store: Store) -> Claims:
        """The claims of all processes that work on a store."""
        return cls(store.root / "claims")

    @contextlib.contextmanager
    def claim(self, name: str, *, wait: bool = False) -> Iterator[bool]:
        """Holds the claim on a piece of work while the block runs; yields False if another process holds it.

        Args:
            wait: whether to wait until the claim is free instead of yielding False.

        Raises:
            StoreError: the folder cannot be written to, or is a link to another place.
        """
        check_inside(self.folder.parent, self.folder / name)
        lease = SoftFileLease(self.folder / f"{name}.claim", lease_duration=LEASE_S, thread_local=False)
        with storing(self.folder), contextlib.suppress(Timeout):
            lease.acquire(timeout=-1 if wait else TRIES_S, poll_interval=TRIES_S / 4)
        try:
            yield lease.is_locked
        finally:
            lease.release()

    def forget(self, name: str) -> None:
        """Removes a dead process's claim on finished work, since nobody else will request that claim."""
        if (self.folder / f"{name}.claim").exists():
            with self.claim(name):
                pass

"""Checkpoints of unfinished batches."""

from __future__ import annotations

import hashlib
import io
import logging
from collections.abc import Sequence
from typing import Any

import torch

from das_ag.settings.plan import Plan
from das_ag.settings.runtime import choose_device
from das_ag.store.samples import Sample
from das_ag.store.store import Store

log = logging.getLogger(__name__)

LAYOUT = 2
"""Increases with each change of the state's contents."""
_DIGEST_BYTES = 32


class Checkpoint:
    """The state of one batch on disk. Its SHA-256 comes first in the file, since torch does not detect altered bits.

    Args:
        samples: samples of the batch, in row order. The file's name is a hash of them, of the views per pass, the
            threads, the device and torch's version, since a state gives the same bytes only if all of these are equal.
    """

    def __init__(self, store: Store, samples: Sequence[Sample], plan: Plan) -> None:
        runtime = plan.runtime
        determining = [LAYOUT, *(sample.key for sample in samples), runtime.views_per_pass, runtime.cpu_threads]
        determining += [choose_device(runtime.device).type, str(torch.__version__)]
        name = hashlib.sha256(repr(determining).encode()).hexdigest()[:16]
        self._store, self.path = store, store.root / "checkpoints" / f"{name}.pt"

    def read(self) -> dict[str, Any] | None:
        """The state, on the CPU; None if there is no readable state."""
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            log.warning("%s: cannot read the checkpoint (%s); the batch starts again", self.path, error.strerror)
            return None
        digest, content = data[:_DIGEST_BYTES], data[_DIGEST_BYTES:]
        if hashlib.sha256(content).digest() != digest:
            log.warning("%s: the checkpoint is damaged; the batch starts again", self.path)
            return None
        state: dict[str, Any] = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        return state

    def write(self, state: dict[str, Any]) -> None:
        """Replaces the last state on disk.

        Raises:
            UserError: the disk is full or cannot be written to; the last state stays.
        """
        buffer = io.BytesIO()
        torch.save(state, buffer)
        content = buffer.getvalue()
        self._store.folder.write(self.path, hashlib.sha256(content).digest() + content)

    def remove(self) -> None:
        """Deletes the state if it exists."""
        self.path.unlink(missing_ok=True)

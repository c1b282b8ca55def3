"""Where a batch stood when its process died."""

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
"""Counts changes of what a state holds."""
_DIGEST_BYTES = 32


class Checkpoint:
    """The state of one batch on disk, behind its SHA-256, since torch reads a state with altered bits without a word.

    Args:
        samples: of the batch, in their rows; with the views of a pass, threads, device and torch's version they name
            the file, since a state goes on to the same bytes only in the same company.
    """

    def __init__(self, store: Store, samples: Sequence[Sample], plan: Plan) -> None:
        runtime = plan.runtime
        company = [LAYOUT, *(sample.key for sample in samples), runtime.views_per_pass, runtime.cpu_threads]
        company += [choose_device(runtime.device).type, str(torch.__version__)]
        name = hashlib.sha256(repr(company).encode()).hexdigest()[:16]
        self._store, self.path = store, store.root / "checkpoints" / f"{name}.pt"

    def read(self) -> dict[str, Any] | None:
        """The state, on the CPU; None where there is none that can be read."""
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            log.warning("%s: could not be read (%s); its batch begins again", self.path, error.strerror)
            return None
        digest, content = data[:_DIGEST_BYTES], data[_DIGEST_BYTES:]
        if hashlib.sha256(content).digest() != digest:
            log.warning("%s: is damaged; its batch begins again", self.path)
            return None
        state: dict[str, Any] = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        return state

    def write(self, state: dict[str, Any]) -> None:
        """Keeps a state instead of the last one.

        Raises:
            UserError: the disk is full or cannot be written to; the last state stays.
        """
        buffer = io.BytesIO()
        torch.save(state, buffer)
        content = buffer.getvalue()
        self._store.folder.write(self.path, hashlib.sha256(content).digest() + content)

    def remove(self) -> None:
        """Forgets it."""
        self.path.unlink(missing_ok=True)

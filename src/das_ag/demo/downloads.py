"""Downloads of weights in the background, one at a time for the whole process; all sessions see the same one."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

from das_ag.errors import UserError, first_line
from das_ag.models.download import DownloadStopped
from das_ag.models.files import Source, size_in_words, total_bytes

log = logging.getLogger(__name__)


class Download:
    """A download of several files, one after the other; its thread writes the attributes, all others only read them.

    Attributes:
        files: the files.
        is_over: whether it has ended.
        message: why it failed; empty otherwise.
    """

    def __init__(self, files: Sequence[Source]) -> None:
        self.files, self._total = tuple(files), total_bytes(files)
        self.is_over, self.message = False, ""
        self._finished, self._received = 0, 0
        """Bytes of the finished files, and of the current one."""
        self._stopping = threading.Event()
        threading.Thread(target=self._run, name="download", daemon=True).start()

    def stop(self) -> None:
        """Stops it after the current part; the next download continues there."""
        self._stopping.set()

    @property
    def is_stopping(self) -> bool:
        """Whether a stop was requested."""
        return self._stopping.is_set()

    @property
    def progress(self) -> float:
        """Share of the bytes received, 0…1; 0 if their number is unknown."""
        return min(1.0, (self._finished + self._received) / self._total) if self._total else 0.0

    @property
    def told(self) -> str:
        """The progress in words."""
        if self.is_stopping:
            return "Stopping…"
        received = size_in_words(self._finished + self._received)
        if not self._total:
            return f"{received} received"
        return f"{received} of {size_in_words(self._total)}" if self.progress < 1 else "Checking the files…"

    def _run(self) -> None:
        """Downloads the files; no exception leaves it."""
        try:
            for file in self.files:
                file.fetch(self._report)
                self._finished, self._received = self._finished + (file.size_bytes or self._received), 0
        except DownloadStopped:
            pass
        except UserError as error:
            self.message = "" if self.is_stopping else str(error)
        except Exception as error:
            log.exception("%s", self.files)
            what = f"{type(error).__name__} ({first_line(error)})"
            self.message = f"The download failed with {what}; the terminal of the demo shows the details."
        finally:
            self.is_over = True

    def _report(self, received: int, total: int | None) -> None:  # noqa: ARG002
        self._received = received
        if self.is_stopping:
            raise DownloadStopped


class Downloads:
    """The downloads of this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.latest: Download | None = None

    def start(self, files: Sequence[Source]) -> None:
        """Starts a download, unless another is running."""
        with self._lock:
            if self.latest is None or self.latest.is_over:
                self.latest = Download(files)

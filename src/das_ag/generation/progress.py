"""Shows the progress of a batch: a bar on a terminal, otherwise a few log lines."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from types import TracebackType
from typing import NoReturn

from tqdm import tqdm

from das_ag.synthesis.ascent import Iterate

log = logging.getLogger(__name__)
tqdm.monitor_interval = 0  # no thread of its own, which a limit on memory may refuse
LINES = 4
"""Log lines for each batch if there is no terminal."""
_GONE = (AttributeError, OSError, ValueError)
"""Errors of a stderr that is missing, gone or closed. Progress must never fail a sample."""


class Progress:
    """Shows step, mean loss and mean similarity of a batch.

    Args:
        done: number of steps before this process started.
        bar: whether to show a bar; None: if stderr is a terminal.
    """

    def __init__(self, steps: int, title: str, done: int = 0, *, bar: bool | None = None) -> None:
        self._steps, self._title, self._before = steps, title, done
        self._started = time.monotonic()
        self._bar = _bar(steps, title, done, bar)
        if done and self._bar.disable:
            log.info("%s: continues after step %d of %d", title, done, steps)

    def __enter__(self) -> Progress:
        return self

    def update(self, iterate: Iterate) -> None:
        """Shows the numbers of a step."""
        done = iterate.step + 1
        try:
            self._bar.update()
        except _GONE:
            self._close()  # from now on, log lines
        due = done in {max(1, round(self._steps * part / LINES)) for part in range(1, LINES + 1)}
        if not due and (self._bar.disable or done % 5):
            return
        loss = iterate.loss.mean().item()
        similarity = iterate.terms["positive"].mean().item()
        self._bar.set_postfix_str(f"loss {loss:.3f}, similarity {similarity:.3f}", refresh=False)
        if self._bar.disable:
            left = (time.monotonic() - self._started) / (done - self._before) * (self._steps - done)
            log.info(
                "%s: step %d of %d, loss %.3f, similarity %.3f, %.0f s left",
                self._title, done, self._steps, loss, similarity, left,
            )  # fmt: skip

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def _close(self) -> None:
        with contextlib.suppress(*_GONE):
            self._bar.close()


def _bar(steps: int, title: str, done: int, bar: bool | None) -> tqdm[NoReturn]:
    """A bar on stderr; a disabled one if `bar` or the lack of a terminal says so."""
    try:
        disable = not (sys.stderr.isatty() if bar is None else bar)
        return tqdm(total=steps, desc=title, unit="step", dynamic_ncols=True, disable=disable, initial=done)
    except _GONE:
        return tqdm(total=steps, disable=True)

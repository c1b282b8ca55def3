"""Lets threads of one process compute one at a time, step by step, in the order of their arrival."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterator

from das_ag.generation.batch import Stopped

LOOK_S = 0.1
"""Interval at which a waiting thread checks whether it is stopped."""


class Turns:
    """Turns for resources that exist once per process: torch's flags, the networks.

    A thread that passes its turn on gets it back after each waiting thread has had one.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._line: deque[object] = deque()
        """Tickets; the first has the turn."""

    @contextlib.contextmanager
    def turn(self, is_stopped: Callable[[], bool]) -> Iterator[Turn]:
        """Waits for a turn, and releases it when the block ends.

        Raises:
            Stopped: while waiting for the turn, or for its return.
        """
        turn = Turn(self._condition, self._line, is_stopped)
        turn.queue()
        try:
            turn.wait()
            yield turn
        finally:
            turn.leave()


class Turn:
    """A thread's place in the queue; see `Turns.turn`."""

    def __init__(self, condition: threading.Condition, line: deque[object], is_stopped: Callable[[], bool]) -> None:
        self._condition, self._line, self._is_stopped = condition, line, is_stopped

    def queue(self) -> None:
        """Joins the end of the queue."""
        with self._condition:
            self._line.append(self)

    def wait(self) -> None:
        """Waits for the turn; raises Stopped if the thread is stopped meanwhile."""
        with self._condition:
            while self._line[0] is not self:
                if self._is_stopped():
                    raise Stopped
                self._condition.wait(LOOK_S)

    def leave(self) -> None:
        """Gives up the turn, or the place in the queue."""
        with self._condition:
            with contextlib.suppress(ValueError):
                self._line.remove(self)
            self._condition.notify_all()

    def pass_on(self) -> bool:
        """Gives each waiting thread a turn; returns whether there was one."""
        with self._condition:
            if len(self._line) == 1:
                return False
            self._line.rotate(-1)
            self._condition.notify_all()
        self.wait()
        return True

    @contextlib.contextmanager
    def without(self) -> Iterator[None]:
        """Releases the turn while the block runs, then waits for a new one."""
        self.leave()
        try:
            yield
        finally:
            self.queue()
        self.wait()

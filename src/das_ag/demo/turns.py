"""Who computes, among threads of one process: one at a time, step by step, in the order in which they came."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterator

from das_ag.generation.batch import Stopped

LOOK_S = 0.1
"""Between two looks of a waiting thread at whether it shall still wait."""


class Turns:
    """Turns at what a process has only once: torch's flags, the networks.

    A turn that is passed on comes back after each of the others that wait has had one.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._line: deque[object] = deque()
        """Tickets; the first has the turn."""

    @contextlib.contextmanager
    def turn(self, is_stopped: Callable[[], bool]) -> Iterator[Turn]:
        """Waits for a turn, and gives it back when the block ends.

        Raises:
            Stopped: before the turn came, or comes back.
        """
        turn = Turn(self._condition, self._line, is_stopped)
        turn.queue()
        try:
            turn.wait()
            yield turn
        finally:
            turn.leave()


class Turn:
    """A thread's place in the line; see `Turns.turn`."""

    def __init__(self, condition: threading.Condition, line: deque[object], is_stopped: Callable[[], bool]) -> None:
        self._condition, self._line, self._is_stopped = condition, line, is_stopped

    def queue(self) -> None:
        """Joins the end of the line."""
        with self._condition:
            self._line.append(self)

    def wait(self) -> None:
        """Returns when the turn has come; raises Stopped if it need not come any more."""
        with self._condition:
            while self._line[0] is not self:
                if self._is_stopped():
                    raise Stopped
                self._condition.wait(LOOK_S)

    def leave(self) -> None:
        """Gives the turn, or the place in the line, to whoever is next."""
        with self._condition:
            with contextlib.suppress(ValueError):
                self._line.remove(self)
            self._condition.notify_all()

    def pass_on(self) -> bool:
        """Lets each of the others have a turn first; whether there was one."""
        with self._condition:
            if len(self._line) == 1:
                return False
            self._line.rotate(-1)
            self._condition.notify_all()
        self.wait()
        return True

    @contextlib.contextmanager
    def without(self) -> Iterator[None]:
        """The others have their turns while the block runs; afterwards waits for its own."""
        self.leave()
        try:
            yield
        finally:
            self.queue()
        self.wait()

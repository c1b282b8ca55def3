"""Progress on a terminal, without one, and when the terminal is gone."""

from __future__ import annotations

import errno
import io
import logging
import sys
import time
from unittest.mock import Mock

import pytest
import torch

from das_ag.generation.progress import Progress
from das_ag.synthesis.ascent import Iterate


class Terminal(io.StringIO):
    """A terminal that is gone after `left` writes."""

    def __init__(self, left: int) -> None:
        super().__init__()
        self.left = left

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self.left -= 1
        if self.left < 0:
            raise BrokenPipeError(errno.EPIPE, "Broken pipe")  # tqdm itself ignores EIO
        return super().write(text)


@pytest.fixture
def take_steps(monkeypatch, caplog):
    """Takes four steps with another stderr; gives the log lines."""

    def take_steps(stderr: object, pause_s: float = 0) -> list[str]:
        caplog.set_level(logging.INFO)
        monkeypatch.setattr(sys, "stderr", stderr)
        with Progress(4, "das heart") as progress:
            for step in range(4):
                one = torch.tensor([1.0])
                progress.update(Mock(spec=Iterate, step=step, loss=one, terms={"positive": one}))
                time.sleep(pause_s)
        return [message.partition(",")[0] for message in caplog.messages]

    return take_steps


ALL = [f"das heart: step {step} of 4" for step in (1, 2, 3, 4)]


def test_a_terminal_gets_a_bar_and_no_lines(take_steps):
    terminal = Terminal(left=1000)
    assert take_steps(terminal) == []
    assert "das heart" in terminal.getvalue()
    assert "4/4" in terminal.getvalue()


@pytest.mark.parametrize("stderr", ["none", "closed", "file", "gone at once"])
def test_without_a_terminal_there_are_lines(take_steps, stderr):
    closed = io.StringIO()
    closed.close()
    streams = {"none": None, "closed": closed, "file": io.StringIO(), "gone at once": Terminal(left=0)}
    assert take_steps(streams[stderr]) == ALL


def test_a_terminal_that_goes_away_is_replaced_by_lines(take_steps):
    lines = take_steps(Terminal(left=2), pause_s=0.11)  # the bar is drawn every 0.1 s
    assert lines
    assert lines == ALL[-len(lines) :]


def test_a_terminal_that_goes_away_at_the_end_fails_no_sample(take_steps):
    assert take_steps(Terminal(left=2)) == []

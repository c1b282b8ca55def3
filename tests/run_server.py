"""Runs run.py again and again without importing torch each time: a process that forks another for each run.

The first half is for tests; the second half is the program, which reads and answers lines of JSON:

    {"start": arguments of run.py, "folder": where, "stdout": file, "stderr": file, "variables": of the environment,
     "signal_after": [function, text, signal] or null}     the number of the process
    {"poll": that number}                       its status as os.waitpid gives it, null while it runs
"""

from __future__ import annotations

import functools
import gc
import importlib
import itertools
import json
import os
import runpy
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROGRAM = Path(__file__).parents[1] / "run.py"
IMPORTED = (
    "das_ag.evaluation.evaluate", "das_ag.generation.generate", "das_ag.report.gallery", "das_ag.report.plots",
    "das_ag.sweep", "hydra.main", "safetensors.torch", "scipy.stats",
)  # fmt: skip
"""What takes most of a start."""


class RunServer:
    """Starts run.py within milliseconds; several may run at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._lock, self._numbers, self._runs = folder, threading.Lock(), itertools.count(), list[Run]()
        inherited = {name: value for name, value in os.environ.items() if name != "CUBLAS_WORKSPACE_CONFIG"}
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            env={**inherited, "TMPDIR": str(folder), "PYTHONUTF8": "1", "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(
        self,
        folder: Path,
        *arguments: str,
        signal_after: tuple[str, str, signal.Signals] | None = None,
        **variables: str,
    ) -> Run:
        """Starts run.py in a folder, below which it makes its outputs/.

        Args:
            signal_after: a function as module:name, a text, and what the run sends itself as soon as a call has ended
                that had this text among its arguments: a moment that no busy machine can miss.
            variables: of its environment.
        """
        number = next(self._numbers)
        run = Run(self, self._folder / f"{number}-stdout.txt", self._folder / f"{number}-stderr.txt")
        run.pid = self.ask(
            start=arguments,
            folder=str(folder),
            stdout=str(run.stdout_path),
            stderr=str(run.stderr_path),
            variables=variables,
            signal_after=signal_after,
        )
        self._runs.append(run)
        return run

    def ask(self, **question: Any) -> Any:
        with self._lock:
            print(json.dumps(question), file=self._process.stdin, flush=True)
            return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        for run in self._runs:
            run.kill()
        self._process.communicate()


@dataclass
class Run:
    """A run that was forked.

    Attributes:
        status: None while it runs, negative for a signal.
    """

    server: RunServer
    stdout_path: Path
    stderr_path: Path
    pid: int = 0
    status: int | None = None

    def poll(self) -> int | None:
        if self.status is None:
            status = self.server.ask(poll=self.pid)
            self.status = None if status is None else os.waitstatus_to_exitcode(status)
        return self.status

    def wait(self) -> int:
        ends = time.monotonic() + 300
        while (status := self.poll()) is None:
            assert time.monotonic() < ends, f"still running; it said {self.said}"
            time.sleep(0.01)
        return status

    def wait_until(self, condition: Callable[[], object]) -> None:
        """Waits for something that comes to pass while it runs."""
        ends = time.monotonic() + 240
        while not condition():
            assert self.poll() is None, f"ended with {self.status}; it said {self.said}"
            assert time.monotonic() < ends, f"still waiting; it said {self.said}"
            time.sleep(0.002)

    def send(self, number: signal.Signals) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> int:
        self.send(signal.SIGKILL)
        return self.wait()

    @property
    def stdout(self) -> str:
        return self.stdout_path.read_text(encoding="utf-8")

    @property
    def stderr(self) -> str:
        return self.stderr_path.read_text(encoding="utf-8")

    @property
    def said(self) -> str:
        return self.stdout + self.stderr


def serve() -> None:
    import_what_a_run_imports()
    for line in sys.stdin:
        asked = json.loads(line)
        answer = start(asked) if "start" in asked else poll(asked["poll"])
        print(json.dumps(answer), flush=True)
    gc.unfreeze()


def import_what_a_run_imports() -> None:
    environment = importlib.import_module("das_ag.settings.environment")
    environment.prepare()  # before torch, as run.py does
    for name in IMPORTED:
        importlib.import_module(name)
    gc.freeze()  # else each collection in a run looks through all of torch


def start(job: dict[str, Any]) -> int:
    streams = [os.open(job[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC) for name in ("stdout", "stderr")]
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            for number, stream in enumerate(streams, start=1):
                os.dup2(stream, number)
            status = run(job)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    for stream in streams:
        os.close(stream)
    return pid


def run(job: dict[str, Any]) -> int:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job of a shell ignores it
    os.chdir(job["folder"])
    os.environ.update(job["variables"])
    if job["signal_after"]:
        signal_after(*job["signal_after"])
    sys.argv = [str(PROGRAM), *job["start"]]
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as ended:
        if isinstance(ended.code, str):
            print(ended.code, file=sys.stderr)
            return 1
        return int(ended.code or 0)
    return 0


def signal_after(function: str, text: str, number: int) -> None:
    module, _, name = function.partition(":")
    *path, last = name.split(".")
    owner = functools.reduce(getattr, path, importlib.import_module(module))
    real = getattr(owner, last)

    @functools.wraps(real)
    def signalling(*arguments: Any, **options: Any) -> Any:
        result = real(*arguments, **options)
        if text in repr(arguments):
            os.kill(os.getpid(), number)
        return result

    setattr(owner, last, signalling)


def poll(pid: int) -> int | None:
    found, status = os.waitpid(pid, os.WNOHANG)
    return status if found else None


if __name__ == "__main__":
    serve()

"""The command das-ag demo: how it starts and stops the server of the page."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from das_ag.commands import demo

STREAMLIT = """
import os, signal, sys, time
signal.signal(signal.SIGINT, lambda *_: sys.exit(7))
print(os.getpid(), *sys.argv[1:], flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(os.name != "posix", reason="needs the signals of POSIX")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, -signal.SIGTERM), (signal.SIGINT, 7)])
def test_a_signal_stops_the_server_and_leaves_no_process(tmp_path, number, status):
    (tmp_path / "streamlit").mkdir()
    (tmp_path / "streamlit" / "__init__.py").touch()
    (tmp_path / "streamlit" / "__main__.py").write_text(STREAMLIT)
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-m", "das_ag.cli", "demo", "--server.port", "8502"]
    with subprocess.Popen(command, env={**os.environ, "PYTHONPATH": path}, stdout=subprocess.PIPE, text=True) as server:
        line = server.stdout.readline()
        server.send_signal(number)
    assert line == f"{server.pid} run {demo.APP} --server.port 8502\n"
    assert server.returncode == status


def test_without_exec_the_exit_status_is_that_of_the_server(monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(demo.importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(demo.subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, 3))
    assert demo.main([]) == 3
